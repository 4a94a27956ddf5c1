//! Memory that the pumps of a thread share: they take turns, and nothing stays in it between two.

use std::cell::RefCell;
use std::task::Context;
use std::time::{Duration, Instant};

use super::socket::{ReadBuffer, Socket};

/// Read in one go: forty messages of Twilio's, should so many have come.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// The pumps of a thread take turns, so they share what they read into and write from.
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        read: ReadBuffer::new(READ_BYTES),
        to_phone: Outgoing::default(),
        to_agent: Outgoing::default(),
    });
}

pub(super) struct Buffers {
    pub(super) read: ReadBuffer,
    pub(super) to_phone: Outgoing,
    pub(super) to_agent: Outgoing,
}

/// Frames that are put together, to be written at once.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    /// When the audio in them came in.
    pub(super) since: Vec<Instant>,
}

impl Outgoing {
    /// Writes all of it, and observes how long its audio was here.
    pub(super) fn write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        observe: impl Fn(Duration),
    ) {
        if self.bytes.is_empty() {
            return;
        }
        socket.write(cx, &mut self.bytes);
        let now = Instant::now();
        self.since.drain(..).for_each(|since| observe(now.saturating_duration_since(since)));
    }

    /// Nobody is there to take it.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.since.clear();
    }
}

/// Lends this thread's buffers.
pub(super) fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    BUFFERS.with_borrow_mut(|buffers| {
        // Had the last pump panicked, its audio would be here still, and reach another call.
        buffers.to_phone.forget();
        buffers.to_agent.forget();
        work(buffers)
    })
}
