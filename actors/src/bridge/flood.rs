//! Tells a peer that misbehaves now and then from one that must be cut off.

use std::time::{Duration, Instant};

/// How many useless frames one peer may send in a window before its call is ended. Real peers send
/// none; a version skew that adds an unknown message per event stays below this.
const BAD_FRAMES_PER_WINDOW: u32 = 100;
/// How many frames of any kind. Twilio sends 50 a second; after a stall of 30 s the 1,500 frames
/// held back arrive at once and are welcome.
const FRAMES_PER_WINDOW: u32 = 5_000;
const WINDOW: Duration = Duration::from_secs(10);

/// Counts one peer's frames in windows of ten seconds.
#[derive(Debug)]
pub(super) struct FloodGuard {
    window_ends: Instant,
    frames: u32,
    bad_frames: u32,
}

impl FloodGuard {
    pub(super) fn new(now: Instant) -> Self {
        FloodGuard { window_ends: now + WINDOW, frames: 0, bad_frames: 0 }
    }

    /// Counts a frame; false when there have been too many.
    pub(super) fn allows_frame(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.frames += 1;
        self.frames <= FRAMES_PER_WINDOW
    }

    /// Counts a frame that was of no use; false when there have been too many.
    pub(super) fn allows_bad_frame(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.bad_frames += 1;
        self.bad_frames <= BAD_FRAMES_PER_WINDOW
    }

    fn roll(&mut self, now: Instant) {
        if now >= self.window_ends {
            *self = FloodGuard::new(now);
        }
    }
}
