//! What passes between a call and the pump that owns its two sockets.
//!
//! Audio never comes this way: only the ticket that opens a stream, the news it sends, and the
//! wish to end it. Both sides notice when the other is gone: a pump that dies reports so by being
//! dropped, and a call that dies lets go of the pump's [`StreamTicket::ended`].

use actix::Addr;
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::bridge::{Admission, Notice};
use crate::call::EndReason;
use crate::call_session::{CallSession, StreamClosed, StreamNews};

/// What a media socket needs to become the stream of a call. Given out once.
#[derive(Debug)]
pub struct StreamTicket {
    /// What Twilio's stream must show.
    pub admission: Admission,
    /// The agent's socket.
    pub join_url: SecretString,
    /// Resolves when the stream is to end: with the reason, or with an error when its call is gone.
    pub ended: oneshot::Receiver<EndReason>,
    /// Where the news goes.
    pub reporter: StreamReporter,
}

/// The pump's line to its call. When it is dropped without [`over`](Self::over), the call learns
/// that the pump died.
#[derive(Debug)]
pub struct StreamReporter {
    call: Option<Addr<CallSession>>,
}

impl StreamReporter {
    pub(crate) fn new(call: Addr<CallSession>) -> Self {
        StreamReporter { call: Some(call) }
    }

    /// Tells the call what happened. False when its mailbox is full: the news is lost, the audio
    /// goes on.
    pub fn news(&self, notice: Notice) -> bool {
        let Some(call) = &self.call else { return false };
        if notice == Notice::DoNotCall {
            // A person's wish finds its way past a full mailbox. It comes once.
            call.do_send(StreamNews(notice));
            return true;
        }
        call.try_send(StreamNews(notice)).is_ok()
    }

    /// Tells the call that the stream is over. To be said before the phone's socket is closed, since
    /// Twilio asks at once what is next.
    pub fn over(mut self, reason: EndReason) {
        if let Some(call) = self.call.take() {
            call.do_send(StreamClosed(reason));
        }
    }
}

impl Drop for StreamReporter {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.do_send(StreamClosed(EndReason::InternalError));
        }
    }
}
