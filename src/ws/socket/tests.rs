//! The socket against tungstenite's, over a pipe that holds little.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as TheirMessage;
use tokio_tungstenite::tungstenite::protocol::Role as TheirRole;

use super::*;

const PIPE_BYTES: usize = 1024;
const MOST: usize = 1024 * 1024;

/// A socket of ours, and tungstenite's at its other end.
async fn joined(role: Role) -> (Socket, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let their_role = match role {
        Role::Client => TheirRole::Server,
        Role::Server => TheirRole::Client,
    };
    let theirs = WebSocketStream::from_raw_socket(theirs, their_role, None).await;
    (Socket::new(Box::new(ours), role, MOST, Vec::new()), theirs)
}

/// The next thing that comes, in words.
async fn next(socket: &mut Socket, buffer: &mut ReadBuffer) -> String {
    poll_fn(|cx| {
        loop {
            socket.poll_ready(cx);
            match socket.next(buffer) {
                Some(Ok(Message::Text(text))) => return Poll::Ready(format!("text {text}")),
                Some(Ok(Message::Binary(bytes))) => {
                    return Poll::Ready(format!("{} bytes", bytes.len()));
                }
                Some(Ok(message)) => return Poll::Ready(format!("{message:?}")),
                Some(Err(violation)) => return Poll::Ready(violation.to_string()),
                None => {}
            }
            match ready!(socket.poll_read(cx, buffer)) {
                Ok(0) => return Poll::Ready("the end".to_owned()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error.kind().to_string()),
            }
        }
    })
    .await
}

/// Sends a text as a pump would.
async fn send(socket: &mut Socket, text: &str) {
    poll_fn(|cx| if socket.poll_ready(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    let mut bytes = Vec::new();
    socket.frame(&mut bytes, |payload| {
        payload.extend_from_slice(text.as_bytes());
        Some((Kind::Text, ()))
    });
    poll_fn(|cx| {
        socket.write(cx, &mut bytes);
        Poll::Ready(())
    })
    .await;
    assert!(bytes.is_empty());
}

#[actix_web::test]
async fn a_burst_of_thirty_seconds_fits_and_an_endless_one_does_not() {
    let (mut socket, mut agent) = joined(Role::Client).await;
    let mut buffer = ReadBuffer::new(4_096);
    let sending = agent.send(TheirMessage::binary(vec![7; 480_000]));
    let (sent, received) = tokio::join!(sending, next(&mut socket, &mut buffer));
    sent.expect("sent");
    assert_eq!(received, "480000 bytes");

    actix_web::rt::spawn(async move {
        let _ = agent.send(TheirMessage::binary(vec![7; MOST + 1])).await;
    });
    let received = next(&mut socket, &mut buffer).await;
    assert!(received.contains("at most 1048576"), "{received}");
}

#[actix_web::test]
async fn what_the_peer_does_not_read_waits_and_nothing_more_is_taken() {
    for role in [Role::Client, Role::Server] {
        let (mut socket, mut peer) = joined(role).await;
        let long = "x".repeat(10 * PIPE_BYTES);
        send(&mut socket, &long).await;
        assert!(!poll_fn(|cx| Poll::Ready(socket.poll_ready(cx))).await);
        let reading = async {
            let first = peer.next().await.expect("a message").expect("readable");
            let second = peer.next().await.expect("a message").expect("readable");
            (first, second)
        };
        let (_, (first, second)) = tokio::join!(send(&mut socket, "after"), reading);
        assert_eq!(first.into_text().expect("text").as_str(), long);
        assert_eq!(second.into_text().expect("text").as_str(), "after");
    }
}

#[actix_web::test]
async fn a_ping_is_answered_and_a_close_too() {
    for role in [Role::Client, Role::Server] {
        let (mut socket, mut peer) = joined(role).await;
        let mut buffer = ReadBuffer::new(4_096);
        peer.send(TheirMessage::Ping("are you there".into())).await.expect("sent");
        assert!(next(&mut socket, &mut buffer).await.starts_with("Ping"));
        let pong = tokio::join!(peer.next(), async {
            poll_fn(|cx| Poll::Ready(socket.poll_ready(cx))).await;
        });
        assert_eq!(
            pong.0.expect("a pong").expect("one"),
            TheirMessage::Pong("are you there".into())
        );

        peer.close(None).await.expect("sent");
        let seen = next(&mut socket, &mut buffer).await;
        assert_eq!(seen, r#"Close { code: None, reason: "" }"#);
        let (closed, answer) = tokio::join!(socket.close(1000), async {
            let answer = peer.next().await;
            drop(peer);
            answer
        });
        closed.expect("in order");
        assert!(matches!(answer, Some(Ok(TheirMessage::Close(None)))), "{answer:?}");
    }
}

#[actix_web::test]
async fn closing_reads_past_what_still_comes() {
    for role in [Role::Client, Role::Server] {
        let (socket, mut peer) = joined(role).await;
        let their_side = async {
            for _ in 0..50 {
                peer.send(TheirMessage::binary(vec![0; 320])).await.expect("sent");
            }
            let close = peer.next().await.expect("a close").expect("readable");
            while let Some(Ok(_)) = peer.next().await {}
            drop(peer);
            close
        };
        let (closed, close) = tokio::join!(socket.close(1008), their_side);
        closed.expect("in order");
        let TheirMessage::Close(Some(frame)) = close else { panic!("{close:?}") };
        assert_eq!(u16::from(frame.code), 1008);
    }
}

#[actix_web::test]
async fn what_was_read_and_not_wanted_yet_comes_later() {
    let (ours, mut theirs) = duplex(PIPE_BYTES);
    let early = [0x81, 3, b'o', b'n', b'e'].to_vec();
    let mut socket = Socket::new(Box::new(ours), Role::Client, MOST, early);
    theirs.write_all(&[0x81, 3, b't', b'w', b'o', 0x81, 5]).await.expect("sent");
    theirs.write_all(b"three").await.expect("sent");
    drop(theirs);
    let mut buffer = ReadBuffer::new(64);
    assert_eq!(next(&mut socket, &mut buffer).await, "text one");
    assert_eq!(next(&mut socket, &mut buffer).await, "text two");
    socket.keep(&mut buffer);
    let mut other = ReadBuffer::new(2);
    assert_eq!(next(&mut socket, &mut other).await, "text three");
    assert_eq!(next(&mut socket, &mut other).await, "the end");
}

#[actix_web::test]
async fn a_connection_that_is_gone_is_told_once_all_was_read() {
    let (mut socket, peer) = joined(Role::Server).await;
    drop(peer);
    send(&mut socket, "nobody hears this").await;
    let mut buffer = ReadBuffer::new(64);
    let seen = next(&mut socket, &mut buffer).await;
    assert!(seen == "the end" || seen == "broken pipe", "{seen}");
    assert!(!poll_fn(|cx| Poll::Ready(socket.poll_ready(cx))).await);
}

#[actix_web::test]
async fn a_client_masks_what_it_sends() {
    let (ours, mut theirs) = duplex(PIPE_BYTES);
    let mut socket = Socket::new(Box::new(ours), Role::Client, MOST, Vec::new());
    send(&mut socket, "hello").await;
    send(&mut socket, "hello").await;
    let mut sent = [0; 22];
    theirs.read_exact(&mut sent).await.expect("two frames");
    assert_eq!(sent[..2], [0x81, 0x85]);
    assert_ne!(sent[2..6], sent[13..17], "each frame has a mask of its own");
    let text: Vec<u8> = (0..5).map(|n| sent[6 + n] ^ sent[2 + n % 4]).collect();
    assert_eq!(text, b"hello");
}
