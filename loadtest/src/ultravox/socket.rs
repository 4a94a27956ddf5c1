//! One join socket: messages in both directions at once, on one task.
//!
//! Reading never waits for writing: a client that does not read still has its own messages heard.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message},
};

use crate::tls::{Stream, tcp_of};

type Received = Option<Result<Message, Error>>;

#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<Stream>,
    outgoing: VecDeque<Message>,
    unflushed: bool,
}

impl Socket {
    pub(crate) fn new(stream: WebSocketStream<Stream>) -> Self {
        Socket { stream, outgoing: VecDeque::new(), unflushed: false }
    }

    /// Queues a message. Unbounded, because what Ultravox is sending has to wait somewhere; an
    /// agent never says more than its script.
    pub(crate) fn send(&mut self, message: Message) {
        self.outgoing.push_back(message);
    }

    /// Answers a close that has been received: writes what is already on its way, and nothing more.
    /// Must not read on, since tungstenite then takes the connection for finished and drops what
    /// it has not written.
    pub(crate) async fn answer_close(&mut self) -> Result<(), Error> {
        self.outgoing.clear();
        poll_fn(|cx| self.stream.poll_flush_unpin(cx)).await
    }

    /// Writes what is queued, and returns the next message if `reading`. Safe to cancel.
    pub(crate) async fn next(&mut self, reading: bool) -> Received {
        poll_fn(|cx| {
            if let Err(error) = self.poll_write(cx) {
                return Poll::Ready(Some(Err(error)));
            }
            if reading { self.stream.poll_next_unpin(cx) } else { Poll::Pending }
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while !self.outgoing.is_empty() {
            match self.stream.poll_ready_unpin(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            if let Some(message) = self.outgoing.pop_front() {
                self.stream.start_send_unpin(message)?;
                self.unflushed = true;
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = self.stream.poll_flush_unpin(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Makes the connection end in a reset when it is dropped.
    pub(crate) fn reset_on_drop(&self) {
        reset_on_drop(self.stream.get_ref());
    }
}

/// Makes a connection end in a reset when it is dropped.
pub(crate) fn reset_on_drop(stream: &Stream) {
    if let Err(error) = socket2::SockRef::from(tcp_of(stream)).set_linger(Some(Duration::ZERO)) {
        tracing::warn!(%error, "a connection cannot be reset");
    }
}
