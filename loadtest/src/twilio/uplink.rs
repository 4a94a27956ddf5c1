//! From the phone's microphone to messages for the service, with all that can go wrong between.
//!
//! Does no I/O: the stream hands in 20 ms frames and takes out messages when their time has come.
//! Messages never overtake one another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::faults::{Stall, StallKind, StreamFaults};
use super::playback::FRAME_BYTES;
use super::webhook::random_up_to;
use super::wire::Wire;

/// A message on its way to the service.
pub(crate) struct Outgoing {
    pub(crate) text: String,
    /// The audio in it; None for anything but media.
    pub(crate) audio: Option<Vec<u8>>,
}

pub(crate) struct Uplink {
    faults: StreamFaults,
    wire: Wire,
    start: Instant,
    first_timestamp_ms: u64,
    /// Bytes of audio the timestamps have moved on by, up to the beginning of `pending`.
    clock_bytes: u64,
    pending: Vec<u8>,
    frames: u64,
    messages: usize,
    /// Messages that wait for a burst to be complete.
    held: Vec<Outgoing>,
    queue: VecDeque<(Instant, Outgoing)>,
}

impl Uplink {
    pub(crate) fn new(wire: Wire, faults: StreamFaults, start: Instant) -> Self {
        let first_timestamp_ms =
            faults.first_timestamp_ms.unwrap_or_else(|| rand::rng().random_range(100..=200));
        Uplink {
            faults,
            wire,
            start,
            first_timestamp_ms,
            clock_bytes: 0,
            pending: Vec::new(),
            frames: 0,
            messages: 0,
            held: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    pub(crate) fn stream_sid(&self) -> &str {
        self.wire.stream_sid()
    }

    /// Begins a stall now.
    pub(crate) fn stall(&mut self, now: Instant, lasting: Duration, kind: StallKind) {
        let at = now.saturating_duration_since(self.start);
        self.faults.stalls.push(Stall { at, lasting, kind });
    }

    fn stalled(&self, now: Instant) -> Option<(StallKind, Instant)> {
        let elapsed = now.saturating_duration_since(self.start);
        let active = |stall: &&Stall| elapsed >= stall.at && elapsed < stall.at + stall.lasting;
        let stall = self.faults.stalls.iter().find(active)?;
        Some((stall.kind, self.start + stall.at + stall.lasting))
    }

    /// Whether the phone makes no audio at all at this time.
    pub(crate) fn clock_is_stopped(&self, now: Instant) -> bool {
        matches!(self.stalled(now), Some((StallKind::ClockStops, _)))
    }

    /// Takes 20 ms of the phone's side.
    pub(crate) fn frame(&mut self, now: Instant, frame: &[u8; FRAME_BYTES]) {
        let index = self.frames;
        self.frames += 1;
        let missing = self.faults.missing.iter();
        let lost = missing.clone().any(|&(first, count)| index >= first && index - first < count)
            || matches!(self.stalled(now), Some((StallKind::Lost, _)))
            || self.faults.lose_one_in.is_some_and(|n| rand::rng().random_ratio(1, n.max(1)));
        if lost {
            self.clock_bytes += (self.pending.len() + FRAME_BYTES) as u64;
            self.pending.clear();
            return;
        }
        if self.faults.frame_bytes.is_empty() {
            self.media(now, frame);
            return;
        }
        self.pending.extend_from_slice(frame);
        loop {
            let sizes = &self.faults.frame_bytes;
            let size = sizes[self.messages % sizes.len()].max(1);
            if self.pending.len() < size {
                break;
            }
            let rest = self.pending.split_off(size);
            let audio = std::mem::replace(&mut self.pending, rest);
            self.media(now, &audio);
        }
    }

    fn media(&mut self, now: Instant, audio: &[u8]) {
        let timestamp_ms = self.first_timestamp_ms + self.clock_bytes / 8;
        self.clock_bytes += audio.len() as u64;
        self.messages += 1;
        let text = self.wire.media(timestamp_ms, audio);
        let message = Outgoing { text, audio: Some(audio.to_vec()) };
        let burst = usize::try_from(self.faults.burst_frames).unwrap_or(usize::MAX);
        if burst > 1 {
            self.held.push(message);
            if self.held.len() >= burst {
                self.release_held(now);
            }
        } else {
            self.enqueue(now, message);
        }
    }

    /// Takes a message other than media.
    pub(crate) fn control(&mut self, now: Instant, text: String) {
        let message = Outgoing { text, audio: None };
        if self.held.is_empty() {
            self.enqueue(now, message);
        } else {
            self.held.push(message);
        }
    }

    fn release_held(&mut self, now: Instant) {
        for message in std::mem::take(&mut self.held) {
            self.enqueue(now, message);
        }
    }

    fn enqueue(&mut self, now: Instant, message: Outgoing) {
        let mut at = now + random_up_to(self.faults.jitter);
        if let Some((StallKind::HeldBack, until)) = self.stalled(now) {
            at = at.max(until);
        }
        if let Some((last, _)) = self.queue.back() {
            at = at.max(*last);
        }
        self.queue.push_back((at, message));
    }

    /// The next message whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Outgoing> {
        if self.queue.front()?.0 > now {
            return None;
        }
        self.queue.pop_front().map(|(_, message)| message)
    }

    /// When the next message is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Everything that is still on its way, due or not.
    pub(crate) fn drain(&mut self, now: Instant) -> Vec<Outgoing> {
        self.release_held(now);
        self.queue.drain(..).map(|(_, message)| message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uplink(faults: StreamFaults) -> (Uplink, Instant) {
        let start = Instant::now();
        let faults = StreamFaults { first_timestamp_ms: Some(155), ..faults };
        (Uplink::new(Wire::new("MZ1", "AC1", "CA1"), faults, start), start)
    }

    fn run(uplink: &mut Uplink, start: Instant, frames: u32) -> Vec<(String, usize)> {
        let mut seen = Vec::new();
        for n in 0..frames {
            let now = start + Duration::from_millis(20) * (n + 1);
            uplink.frame(now, &[0xFF; FRAME_BYTES]);
            while let Some(message) = uplink.pop(now) {
                let json: serde_json::Value =
                    serde_json::from_str(&message.text).expect("messages are JSON");
                let timestamp = json["media"]["timestamp"].as_str().expect("a string");
                seen.push((timestamp.to_owned(), message.audio.map_or(0, |audio| audio.len())));
            }
        }
        seen
    }

    fn timestamps(seen: &[(String, usize)]) -> Vec<&str> {
        seen.iter().map(|(timestamp, _)| &**timestamp).collect()
    }

    #[test]
    fn timestamps_count_the_audio() {
        let (mut uplink, start) = uplink(StreamFaults::default());
        assert_eq!(timestamps(&run(&mut uplink, start, 3)), ["155", "175", "195"]);
    }

    #[test]
    fn lost_frames_leave_a_gap_in_the_timestamps() {
        let faults = StreamFaults { missing: vec![(1, 2)], ..StreamFaults::default() };
        let (mut uplink, start) = uplink(faults);
        assert_eq!(timestamps(&run(&mut uplink, start, 4)), ["155", "215"]);
    }

    #[test]
    fn odd_frame_sizes_carry_the_same_audio() {
        let faults = StreamFaults { frame_bytes: vec![80, 400], ..StreamFaults::default() };
        let (mut uplink, start) = uplink(faults);
        let seen = run(&mut uplink, start, 6);
        let expected = [("155", 80), ("165", 400), ("215", 80), ("225", 400)];
        assert_eq!(seen, expected.map(|(timestamp, bytes)| (timestamp.to_owned(), bytes)));
    }

    #[test]
    fn a_stall_holds_frames_back_and_then_delivers_them_at_once() {
        let stall = Stall {
            at: Duration::from_millis(30),
            lasting: Duration::from_millis(50),
            kind: StallKind::HeldBack,
        };
        let faults = StreamFaults { stalls: vec![stall], ..StreamFaults::default() };
        let (mut uplink, start) = uplink(faults);
        assert_eq!(run(&mut uplink, start, 3).len(), 1);
        let now = start + Duration::from_millis(80);
        uplink.frame(now, &[0xFF; FRAME_BYTES]);
        assert_eq!(std::iter::from_fn(|| uplink.pop(now)).count(), 3);
    }

    #[test]
    fn bursts_and_jitter_keep_the_order() {
        let faults = StreamFaults {
            burst_frames: 3,
            jitter: Duration::from_millis(100),
            ..StreamFaults::default()
        };
        let (mut uplink, start) = uplink(faults);
        run(&mut uplink, start, 7);
        let mark = uplink.wire().mark("m");
        uplink.control(start, mark);
        let left = uplink.drain(start);
        assert!(left.last().is_some_and(|message| message.text.contains("\"mark\"")));
    }
}
