//! Frames as the standard prints them, in pieces, out of order, and forged.

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const MOST: usize = 70_000;

/// A frame as the other end sends it, whole or not.
fn frame(first: u8, payload: &[u8], role: Role) -> Vec<u8> {
    let kind = match first & 0x0F {
        TEXT => Kind::Text,
        CLOSE => Kind::Close,
        PING => Kind::Ping,
        PONG => Kind::Pong,
        _ => Kind::Binary,
    };
    let sender = if role == Role::Server { Role::Client } else { Role::Server };
    let mut bytes = Vec::new();
    let draft = Draft::begin(&mut bytes, sender);
    bytes.extend_from_slice(payload);
    draft.end(&mut bytes, kind, MASK);
    bytes[0] = first;
    bytes
}

/// Everything in `stream`, received in pieces.
fn read(role: Role, stream: &[u8], piece: usize) -> Vec<String> {
    let mut decoder = Decoder::new(role, MOST);
    let mut seen = Vec::new();
    for piece in stream.to_vec().chunks_mut(piece) {
        let mut received = &mut *piece;
        while let Some(message) = decoder.next(&mut received) {
            let is_violation = message.is_err();
            seen.push(match message {
                Ok(Message::Text(text)) => format!("text {text}"),
                Ok(Message::Binary(bytes)) => format!("{} bytes", bytes.len()),
                Ok(message) => format!("{message:?}"),
                Err(violation) => violation.to_string(),
            });
            if is_violation {
                return seen;
            }
        }
    }
    seen
}

#[test]
fn frames_are_read_as_the_standard_prints_them() {
    // RFC 6455, section 5.7.
    let masked = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(read(Role::Server, &masked, 64), ["text Hello"]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F];
    assert_eq!(read(Role::Client, &fragments, 64), ["text Hello"]);
    let ping = [0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F];
    assert_eq!(read(Role::Client, &ping, 64), ["Ping([72, 101, 108, 108, 111])"]);
}

#[test]
fn a_control_frame_may_come_between_fragments() {
    let mut stream = frame(TEXT, b"one ", Role::Client);
    stream.extend(frame(FINAL | PONG, b"", Role::Client));
    stream.extend(frame(CONTINUATION, b"two ", Role::Client));
    stream.extend(frame(FINAL | PING, b"", Role::Client));
    stream.extend(frame(FINAL | CONTINUATION, b"three", Role::Client));
    stream.extend(frame(FINAL | TEXT, b"four", Role::Client));
    for piece in [1, 3, 1_000] {
        let seen = read(Role::Client, &stream, piece);
        assert_eq!(seen, ["Pong", "Ping([])", "text one two three", "text four"], "{piece}");
    }
}

#[test]
fn a_close_says_why() {
    let close = |payload: &[u8]| {
        read(Role::Client, &frame(FINAL | CLOSE, payload, Role::Client), 64).join("")
    };
    assert_eq!(close(b""), r#"Close { code: None, reason: "" }"#);
    assert_eq!(close(b"\x03\xE8bye"), r#"Close { code: Some(1000), reason: "bye" }"#);
    assert_eq!(close(b"\x0F\xA1"), r#"Close { code: Some(4001), reason: "" }"#);
    for bad in [&b"\x03"[..], b"\x03\xED", b"\xFF\xFF"] {
        assert_eq!(close(bad), "a close frame has no valid code", "{bad:?}");
    }
}

#[test]
fn what_breaks_the_protocol_is_told() {
    let server = |bytes: &[u8]| read(Role::Server, bytes, 64).join("");
    assert!(server(&[0xC1, 0x80]).contains("reserved bits"));
    assert!(server(&[0x83, 0x80]).contains("unknown kind 0x3"));
    assert!(server(&[0x81, 0x00]).contains("masked"));
    assert!(read(Role::Client, &[0x81, 0x80], 64).join("").contains("masked"));
    assert!(server(&[0x09, 0x80]).contains("control frame"));
    assert!(server(&[0x89, 0xFE, 0x01, 0x00]).contains("control frame"));
    assert!(server(&frame(FINAL | CONTINUATION, b"x", Role::Server)).contains("out of order"));
    let mut nested = frame(TEXT, b"x", Role::Server);
    nested.extend(frame(FINAL | TEXT, b"y", Role::Server));
    assert!(server(&nested).contains("out of order"));
    assert!(server(&frame(FINAL | TEXT, b"\xFF", Role::Server)).contains("UTF-8"));
}

#[test]
fn a_message_beyond_the_limit_is_refused_before_it_is_there() {
    let announced = [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71];
    assert!(read(Role::Client, &announced, 64).join("").contains("at most 70000"));
    let mut pieces = frame(BINARY, &[0; 40_000], Role::Client);
    pieces.extend(frame(FINAL | CONTINUATION, &[0; 40_000], Role::Client));
    assert_eq!(
        read(Role::Client, &pieces, 4_096),
        ["a message has 80000 bytes; at most 70000 are taken"]
    );
    let forged = [0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    assert!(read(Role::Client, &forged, 64).join("").contains("at most 70000"));
}

#[test]
fn memory_of_a_large_message_is_given_back() {
    let stream = frame(FINAL | BINARY, &[0; 50_000], Role::Client);
    let mut decoder = Decoder::new(Role::Client, MOST);
    for piece in stream.clone().chunks_mut(4_096) {
        let mut received = &mut *piece;
        while decoder.next(&mut received).is_some() {}
    }
    assert!(decoder.partial.capacity() <= KEPT_BYTES);
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_pieces_of_any_size(
        texts in prop::collection::vec(".{0,200}", 1..5),
        long in 0..MOST,
        piece in 1_usize..5_000,
    ) {
        for role in [Role::Client, Role::Server] {
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for text in &texts {
                stream.extend(frame(FINAL | TEXT, text.as_bytes(), role));
                expected.push(format!("text {text}"));
            }
            stream.extend(frame(FINAL | BINARY, &vec![7; long], role));
            expected.push(format!("{long} bytes"));
            prop_assert_eq!(read(role, &stream, piece), expected);
        }
    }

    #[test]
    fn nothing_that_comes_makes_it_panic(bytes: Vec<u8>, piece in 1_usize..50) {
        for role in [Role::Client, Role::Server] {
            read(role, &bytes, piece);
        }
    }

    #[test]
    fn a_payload_is_masked_byte_by_byte(payload: Vec<u8>, mask: [u8; 4]) {
        let mut masked = payload.clone();
        apply_mask(&mut masked, Some(mask));
        let expected: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        prop_assert_eq!(masked, expected);
    }
}
