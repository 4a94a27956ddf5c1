//! Twilio's side of a stream, as something that can be polled.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_ws::{
    AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Message, MessageStream,
    ProtocolError, Session,
};
use bytestring::ByteString;
use futures_util::{Sink, Stream, StreamExt as _};

/// Largest message taken from Twilio. Real ones have about 400 bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// How long Twilio may take to answer our close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What came from Twilio's socket.
pub(super) enum FromPhone {
    Text(ByteString),
    Binary,
    /// A ping or pong.
    Alive,
    /// Broken, or beyond the size limit.
    Violation,
    Closed,
}

/// Twilio's socket.
pub(super) struct PhoneLink {
    session: Session,
    messages: AggregatedMessageStream,
    is_open: bool,
}

impl PhoneLink {
    pub(super) fn new(session: Session, messages: MessageStream) -> Self {
        let messages = messages
            .max_frame_size(MAX_MESSAGE_BYTES)
            .aggregate_continuations()
            .max_continuation_size(MAX_MESSAGE_BYTES);
        PhoneLink { session, messages, is_open: true }
    }

    /// The next thing Twilio sent. Pending for good after [`FromPhone::Closed`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<FromPhone> {
        if !self.is_open {
            return Poll::Pending;
        }
        let message = loop {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                // The connection broke, which is told ahead of what came just before, `stop`
                // perhaps. That is still to be had, and then the end. A frame with reserved bits
                // set, though, comes as bad data.
                Some(Err(ProtocolError::Io(error))) if error.kind() != ErrorKind::InvalidData => {}
                message => break message,
            }
        };
        Poll::Ready(match message {
            Some(Ok(AggregatedMessage::Text(text))) => FromPhone::Text(text),
            Some(Ok(AggregatedMessage::Binary(_))) => FromPhone::Binary,
            Some(Ok(AggregatedMessage::Ping(payload))) => {
                // A peer that pings without reading the answers does not get them all.
                if let Poll::Ready(Ok(())) = Pin::new(&mut self.session).poll_ready(cx) {
                    let _ = Pin::new(&mut self.session).start_send(Message::Pong(payload));
                }
                FromPhone::Alive
            }
            Some(Ok(AggregatedMessage::Pong(_))) => FromPhone::Alive,
            Some(Ok(AggregatedMessage::Close(_))) | None => {
                self.is_open = false;
                FromPhone::Closed
            }
            Some(Err(_)) => {
                self.is_open = false;
                FromPhone::Violation
            }
        })
    }

    /// Whether the socket takes another frame now; if not, the task is woken when it does.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(Pin::new(&mut self.session).poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Sends a text frame; only after [`poll_ready`](Self::poll_ready).
    pub(super) fn send(&mut self, text: String) {
        // A closed session shows up as a closed stream.
        let _ = Pin::new(&mut self.session).start_send(Message::Text(text.into()));
    }

    /// Closes the socket in order, and waits a little for Twilio to do the same.
    pub(super) async fn close(mut self, is_violation: bool) {
        let code = if is_violation { CloseCode::Policy } else { CloseCode::Normal };
        let close = async {
            if self.session.close(Some(CloseReason::from(code))).await.is_ok() && self.is_open {
                while let Some(Ok(message)) = self.messages.next().await {
                    if matches!(message, AggregatedMessage::Close(_)) {
                        break;
                    }
                }
            }
        };
        // After this the connection is dropped, closed or not.
        let _ = tokio::time::timeout(CLOSE_LIMIT, close).await;
    }
}
