//! WebSocket frames (RFC 6455): read where they were received, written where they are sent from.
//!
//! A frame that came whole is unmasked in place and given out as it lies there; only what is still
//! incomplete is kept. No extension is spoken, so a reserved bit is a violation. What is to be done
//! about pings, closes and violations is the owner's business.

#[cfg(test)]
mod tests;

use std::str;

/// Largest header of a frame.
const HEADER_BYTES_MOST: usize = 14;
/// Largest payload of a control frame.
const CONTROL_BYTES_MOST: usize = 125;
/// A buffer larger than this is given back once it has been used.
const KEPT_BYTES: usize = 1024;

/// Which end of the connection we are. A client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// We accepted it.
    Server,
}

/// The kinds of frame we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of text.
    Text = 0x1,
    /// A message of bytes.
    Binary = 0x2,
    /// The last frame of all.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

/// Something that came: a whole message, or a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong,
    /// The peer sends no more.
    Close {
        /// Why; `None` when it did not say.
        code: Option<u16>,
        /// The words that came with it.
        reason: &'a str,
    },
}

/// What breaks the protocol, or a limit. Nothing that follows can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An extension nobody asked for.
    #[error("a frame has reserved bits set")]
    ReservedBits,
    /// A kind of frame that does not exist.
    #[error("a frame is of the unknown kind {0:#x}")]
    UnknownKind(u8),
    /// A client must mask its frames, a server must not.
    #[error("a frame is masked though it must not be, or not masked though it must be")]
    Masking,
    /// A control frame in pieces, or too long.
    #[error("a control frame is fragmented or longer than 125 bytes")]
    BadControl,
    /// A continuation of nothing, or a message within another.
    #[error("the fragments of a message are out of order")]
    Fragments,
    /// More than is taken.
    #[error("a message has {bytes} bytes; at most {most} are taken")]
    TooLong {
        /// So many came, or were announced.
        bytes: u64,
        /// So many would be taken.
        most: usize,
    },
    /// Text that is none.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A close frame that says nothing valid.
    #[error("a close frame has no valid code")]
    BadClose,
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = Kind::Text as u8;
const BINARY: u8 = Kind::Binary as u8;
const CLOSE: u8 = Kind::Close as u8;
const PING: u8 = Kind::Ping as u8;
const PONG: u8 = Kind::Pong as u8;
/// The first byte's bit of a frame that ends its message.
const FINAL: u8 = 0x80;
/// The second byte's bit of a frame that is masked.
const MASKED: u8 = 0x80;

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
struct Head {
    kind: u8,
    is_final: bool,
    mask: Option<[u8; 4]>,
    /// Of the header.
    bytes: usize,
    payload_bytes: usize,
}

impl Head {
    fn frame_bytes(&self) -> usize {
        self.bytes + self.payload_bytes
    }

    /// Reads a header; `None` when it is not there in full.
    fn parse(bytes: &[u8], role: Role, most: usize) -> Result<Option<Head>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let (kind, is_final) = (first & 0x0F, first & FINAL != 0);
        if !matches!(kind, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Violation::UnknownKind(kind));
        }
        let is_masked = second & MASKED != 0;
        if is_masked != (role == Role::Server) {
            return Err(Violation::Masking);
        }
        let (length, rest) = match second & !MASKED {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        if kind >= CLOSE && (!is_final || length > CONTROL_BYTES_MOST as u64) {
            return Err(Violation::BadControl);
        }
        let payload_bytes = usize::try_from(length).ok().filter(|&bytes| bytes <= most);
        let Some(payload_bytes) = payload_bytes else {
            return Err(Violation::TooLong { bytes: length, most });
        };
        let (mask, rest) = match (is_masked, rest.split_first_chunk()) {
            (false, _) => (None, rest),
            (true, Some((mask, rest))) => (Some(*mask), rest),
            (true, None) => return Ok(None),
        };
        let bytes = bytes.len() - rest.len();
        Ok(Some(Head { kind, is_final, mask, bytes, payload_bytes }))
    }
}

/// Where a payload lies.
enum Place<'r> {
    Received(&'r mut [u8]),
    /// In [`Decoder::partial`], from here.
    Partial(usize),
    /// It is all of [`Decoder::fragments`].
    Fragments,
}

/// Reads the frames of one connection.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    most: usize,
    /// The beginning of a frame, or all of it once it has been given out.
    partial: Vec<u8>,
    /// The fragments of a message, and the kind of their first.
    fragments: Vec<u8>,
    fragments_of: Option<u8>,
    /// The last message lay in one of these, which are to be emptied.
    is_used: bool,
}

impl Decoder {
    /// A decoder that takes messages up to a size.
    pub fn new(role: Role, most: usize) -> Self {
        Decoder {
            role,
            most,
            partial: Vec::new(),
            fragments: Vec::new(),
            fragments_of: None,
            is_used: false,
        }
    }

    /// The next message in `received`, which is cut from its front. `None` when more must be
    /// received; all that was there has been taken then. After a violation there is nothing more.
    pub fn next<'m, 'r: 'm>(
        &'m mut self,
        received: &mut &'r mut [u8],
    ) -> Option<Result<Message<'m>, Violation>> {
        if std::mem::take(&mut self.is_used) {
            empty(&mut self.partial);
            if self.fragments_of.is_none() {
                empty(&mut self.fragments);
            }
        }
        let (kind, place) = match self.find(received) {
            Ok(Some(found)) => found,
            Ok(None) => return None,
            Err(violation) => return Some(Err(violation)),
        };
        self.is_used = !matches!(place, Place::Received(_));
        let payload = match place {
            Place::Received(payload) => payload,
            Place::Partial(from) => &self.partial[from..],
            Place::Fragments => &self.fragments,
        };
        Some(message(kind, payload))
    }

    fn find<'r>(
        &mut self,
        received: &mut &'r mut [u8],
    ) -> Result<Option<(u8, Place<'r>)>, Violation> {
        while let Some((head, place)) = self.frame(received)? {
            if head.kind >= CLOSE {
                return Ok(Some((head.kind, place)));
            }
            let kind = match (head.kind, self.fragments_of) {
                (CONTINUATION, Some(kind)) => kind,
                (CONTINUATION, None) | (_, Some(_)) => return Err(Violation::Fragments),
                (kind, None) if head.is_final => return Ok(Some((kind, place))),
                (kind, None) => kind,
            };
            let most = self.most;
            let bytes = self.fragments.len() + head.payload_bytes;
            if bytes > most {
                return Err(Violation::TooLong { bytes: bytes as u64, most });
            }
            match place {
                Place::Partial(from) => {
                    self.fragments.extend_from_slice(&self.partial[from..]);
                    empty(&mut self.partial);
                }
                Place::Received(payload) => self.fragments.extend_from_slice(payload),
                Place::Fragments => {}
            }
            self.fragments_of = (!head.is_final).then_some(kind);
            if head.is_final {
                return Ok(Some((kind, Place::Fragments)));
            }
        }
        Ok(None)
    }

    /// The next frame, its payload unmasked.
    fn frame<'r>(
        &mut self,
        received: &mut &'r mut [u8],
    ) -> Result<Option<(Head, Place<'r>)>, Violation> {
        if self.partial.is_empty() {
            let head = Head::parse(received, self.role, self.most)?;
            if let Some(head) = head.filter(|head| head.frame_bytes() <= received.len()) {
                let (frame, rest) = std::mem::take(received).split_at_mut(head.frame_bytes());
                *received = rest;
                let payload = &mut frame[head.bytes..];
                apply_mask(payload, head.mask);
                return Ok(Some((head, Place::Received(payload))));
            }
        }
        loop {
            let head = Head::parse(&self.partial, self.role, self.most)?;
            let missing = match head {
                Some(head) => head.frame_bytes() - self.partial.len(),
                None => 1,
            };
            if let Some(head) = head.filter(|_| missing == 0) {
                apply_mask(&mut self.partial[head.bytes..], head.mask);
                return Ok(Some((head, Place::Partial(head.bytes))));
            }
            if received.is_empty() {
                return Ok(None);
            }
            let missing = missing.min(received.len());
            let (taken, rest) = std::mem::take(received).split_at_mut(missing);
            *received = rest;
            self.partial.extend_from_slice(taken);
        }
    }
}

/// Empties a buffer, which keeps its memory only if that is little.
fn empty(buffer: &mut Vec<u8>) {
    match buffer.capacity() > KEPT_BYTES {
        true => *buffer = Vec::new(),
        false => buffer.clear(),
    }
}

fn message(kind: u8, payload: &[u8]) -> Result<Message<'_>, Violation> {
    let text = |bytes| str::from_utf8(bytes).map_err(|_| Violation::NotUtf8);
    Ok(match kind {
        TEXT => Message::Text(text(payload)?),
        PING => Message::Ping(payload),
        PONG => Message::Pong,
        CLOSE => match payload {
            [] => Message::Close { code: None, reason: "" },
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(Violation::BadClose);
                }
                Message::Close { code: Some(code), reason: text(reason)? }
            }
            [_] => return Err(Violation::BadClose),
        },
        _ => Message::Binary(payload),
    })
}

fn apply_mask(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(mask) = mask else { return };
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes: [u8; 8] = (&*chunk).try_into().expect("chunks have eight bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// A frame that is being written at the end of a buffer: its payload is appended to the buffer
/// between [`begin`](Self::begin) and [`end`](Self::end).
#[derive(Debug)]
pub struct Draft {
    role: Role,
    start: usize,
}

impl Draft {
    /// Begins a frame, leaving room for the header of a payload of ordinary size.
    pub fn begin(buffer: &mut Vec<u8>, role: Role) -> Draft {
        let start = buffer.len();
        buffer.resize(start + Self::usual_head(role), 0);
        Draft { role, start }
    }

    fn usual_head(role: Role) -> usize {
        4 + if role == Role::Client { 4 } else { 0 }
    }

    /// Ends the frame. A client's mask must be one that nobody can foresee.
    pub fn end(self, buffer: &mut Vec<u8>, kind: Kind, mask: [u8; 4]) {
        let usual = Self::usual_head(self.role);
        let payload_bytes = buffer.len() - self.start - usual;
        let mut head = [0; HEADER_BYTES_MOST];
        head[0] = FINAL | kind as u8;
        let length_bytes = match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
            (Ok(length), _) if length < 126 => {
                head[1] = length;
                0
            }
            (_, Ok(length)) => {
                head[1] = 126;
                head[2..4].copy_from_slice(&length.to_be_bytes());
                2
            }
            _ => {
                head[1] = 127;
                head[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
                8
            }
        };
        let mut head_bytes = 2 + length_bytes;
        if self.role == Role::Client {
            head[1] |= MASKED;
            head[head_bytes..head_bytes + 4].copy_from_slice(&mask);
            head_bytes += 4;
            apply_mask(&mut buffer[self.start + usual..], Some(mask));
        }
        if head_bytes == usual {
            buffer[self.start..self.start + usual].copy_from_slice(&head[..usual]);
        } else {
            buffer.splice(self.start..self.start + usual, head[..head_bytes].iter().copied());
        }
    }

    /// There is nothing to send after all.
    pub fn discard(self, buffer: &mut Vec<u8>) {
        buffer.truncate(self.start);
    }
}

/// The payload of a close frame.
pub fn close_payload(code: u16) -> [u8; 2] {
    code.to_be_bytes()
}
