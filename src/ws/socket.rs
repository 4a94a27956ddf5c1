//! A WebSocket after its handshake, whichever end of it we are, as something that can be polled.
//!
//! It is read into memory that all sockets of a thread share, and written from such memory: between
//! two wake-ups a socket holds only what is incomplete, or what its connection did not take. Pings
//! and closes are answered here.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actors::protocol::websocket::{self, Decoder, Draft, Kind, Message, Role, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Answers to pings that may wait to be sent. A peer that pings without reading gets no more.
const ANSWERS_BYTES_MOST: usize = 4 * 1024;
/// Read at a time while all that is wanted is the end.
const CLOSING_BYTES: usize = 4 * 1024;
/// What waited for the connection may keep so much memory once it is gone.
const KEPT_BYTES: usize = 1024;

/// TCP, or TLS over it.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Memory to read into, for one socket after the other.
pub(super) struct ReadBuffer {
    room: Box<[u8]>,
    /// What was received and not decoded yet.
    from: usize,
    to: usize,
}

impl ReadBuffer {
    pub(super) fn new(bytes: usize) -> Self {
        ReadBuffer { room: vec![0; bytes].into(), from: 0, to: 0 }
    }
}

/// A WebSocket.
pub struct Socket {
    connection: Box<dyn Connection>,
    role: Role,
    decoder: Decoder,
    /// What was received and has to be decoded before anything else is.
    early: Vec<u8>,
    /// What the connection has not taken.
    unsent: Vec<u8>,
    /// Whether the connection itself holds something back.
    must_flush: bool,
    /// Why nothing can be sent any more.
    broken: Option<io::Error>,
    has_said_goodbye: bool,
    peer_has_said_goodbye: bool,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Socket {
    /// A socket that takes messages up to a size. `early` is what came right after the handshake.
    pub(crate) fn new(
        connection: Box<dyn Connection>,
        role: Role,
        message_bytes_most: usize,
        early: Vec<u8>,
    ) -> Self {
        Socket {
            connection,
            role,
            decoder: Decoder::new(role, message_bytes_most),
            early,
            unsent: Vec::new(),
            must_flush: false,
            broken: None,
            has_said_goodbye: false,
            peer_has_said_goodbye: false,
        }
    }

    /// Reads once, into a buffer of which everything was decoded; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuffer,
    ) -> Poll<io::Result<usize>> {
        buffer.from = 0;
        if !self.early.is_empty() {
            buffer.to = self.early.len().min(buffer.room.len());
            for (to, from) in buffer.room.iter_mut().zip(self.early.drain(..buffer.to)) {
                *to = from;
            }
            if self.early.is_empty() {
                self.early = Vec::new();
            }
            return Poll::Ready(Ok(buffer.to));
        }
        buffer.to = 0;
        let mut room = ReadBuf::new(&mut buffer.room);
        match Pin::new(&mut self.connection).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {
                buffer.to = room.filled().len();
                Poll::Ready(Ok(buffer.to))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.broken.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }

    /// The next message of what was read; `None` when more must be read.
    pub(super) fn next<'m>(
        &'m mut self,
        buffer: &'m mut ReadBuffer,
    ) -> Option<Result<Message<'m>, Violation>> {
        let mut received = &mut buffer.room[buffer.from..buffer.to];
        let message = self.decoder.next(&mut received);
        buffer.from = buffer.to - received.len();
        match message {
            Some(Ok(Message::Ping(payload))) if self.unsent.len() < ANSWERS_BYTES_MOST => {
                append(&mut self.unsent, self.role, Kind::Pong, payload);
            }
            Some(Ok(Message::Close { code, .. })) => {
                self.peer_has_said_goodbye = true;
                if !std::mem::replace(&mut self.has_said_goodbye, true) {
                    let code = code.map(websocket::close_payload);
                    let payload = code.as_ref().map_or(&[][..], |code| code);
                    append(&mut self.unsent, self.role, Kind::Close, payload);
                }
            }
            _ => {}
        }
        message
    }

    /// Keeps what was read and is not to be decoded yet, so that the buffer is free.
    pub(super) fn keep(&mut self, buffer: &mut ReadBuffer) {
        if buffer.from < buffer.to {
            self.early.splice(0..0, buffer.room[buffer.from..buffer.to].iter().copied());
            buffer.from = buffer.to;
        }
    }

    /// Whether all that was to be written has gone, so that more may come; if not, the task is
    /// woken when it has. Never again once the socket is broken or closed.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.unsent.is_empty() {
            let mut unsent = std::mem::take(&mut self.unsent);
            self.push(cx, &mut unsent);
            if self.unsent.is_empty() && unsent.capacity() <= KEPT_BYTES {
                self.unsent = unsent;
            }
        } else if self.must_flush {
            self.flush(cx);
        }
        let is_free = self.unsent.is_empty() && !self.must_flush;
        is_free && self.broken.is_none() && !self.has_said_goodbye
    }

    /// Appends a frame to `bytes`, which are to be written later: what `payload` appends, of the
    /// kind that it gives. Nothing when it gives none.
    pub(super) fn frame<T>(
        &self,
        bytes: &mut Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>) -> Option<(Kind, T)>,
    ) -> Option<T> {
        let draft = Draft::begin(bytes, self.role);
        match payload(bytes) {
            Some((kind, made)) => {
                draft.end(bytes, kind, mask(self.role));
                Some(made)
            }
            None => {
                draft.discard(bytes);
                None
            }
        }
    }

    /// Writes all of `bytes`, and keeps what the connection does not take. After a goodbye, or a
    /// break, they are dropped.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) {
        if !self.has_said_goodbye && self.broken.is_none() {
            self.push(cx, bytes);
        }
        bytes.clear();
    }

    fn push(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) {
        let mut sent = 0;
        while sent < bytes.len() && self.unsent.is_empty() {
            match Pin::new(&mut self.connection).poll_write(cx, &bytes[sent..]) {
                Poll::Ready(Ok(0)) => return self.breaks(cx, io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => return self.breaks(cx, error),
                Poll::Pending => break,
            }
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        bytes.clear();
        self.flush(cx);
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        match Pin::new(&mut self.connection).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.must_flush = false,
            Poll::Ready(Err(error)) => self.breaks(cx, error),
            Poll::Pending => self.must_flush = true,
        }
    }

    /// What came before the break is still to be read, and reading shows it.
    fn breaks(&mut self, cx: &mut Context<'_>, error: io::Error) {
        self.broken = Some(error);
        self.unsent = Vec::new();
        self.must_flush = false;
        cx.waker().wake_by_ref();
    }

    /// Closes the socket in order: says goodbye, and reads past everything up to the peer's goodbye.
    /// Takes as long as the peer does.
    pub async fn close(mut self, code: u16) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            let payload = websocket::close_payload(code);
            append(&mut self.unsent, self.role, Kind::Close, &payload);
        }
        poll_fn(|cx| self.poll_sent(cx)).await?;
        let mut buffer = ReadBuffer::new(CLOSING_BYTES);
        let ended = poll_fn(|cx| self.poll_goodbye(cx, &mut buffer)).await;
        let shut = poll_fn(|cx| Pin::new(&mut self.connection).poll_shutdown(cx)).await;
        // Once both have said goodbye, it does not matter how the connection ends.
        if self.peer_has_said_goodbye { Ok(()) } else { ended.and(shut) }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx);
        match self.broken.take() {
            Some(error) => Poll::Ready(Err(error)),
            None if self.unsent.is_empty() && !self.must_flush => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// A server closes the connection once both have said goodbye; a client waits for that.
    fn poll_goodbye(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuffer,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.peer_has_said_goodbye && self.role == Role::Server {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_read(cx, buffer))? == 0 {
                return Poll::Ready(Ok(()));
            }
            // After a violation nothing can be told any more, but there is an end.
            while let Some(Ok(_)) = self.next(buffer) {}
        }
    }
}

fn append(bytes: &mut Vec<u8>, role: Role, kind: Kind, payload: &[u8]) {
    let draft = Draft::begin(bytes, role);
    bytes.extend_from_slice(payload);
    draft.end(bytes, kind, mask(role));
}

/// Masks keep a hostile web page from writing what a proxy would understand (RFC 6455, 10.3).
fn mask(role: Role) -> [u8; 4] {
    match role {
        Role::Client => rand::random(),
        Role::Server => [0; 4],
    }
}
