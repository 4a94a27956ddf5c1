//! Follows every frame of every call through the service, at a cost that hardly shows.
//!
//! Phones mark what they say. The agent's side reads the mark, notes the delay, and sends the frame
//! back with the time at which it leaves again; the phone's side reads that. So both directions are
//! measured on one clock, without remembering a single frame, and a frame that is lost, repeated,
//! out of order, damaged or delivered to another call is known as such.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;

use super::frame::{self, Found, Mark};
use crate::audio::{FRAME_PCM_BYTES, FRAME_SAMPLES};

/// Longest delay told apart from longer ones.
const LONGEST_MICROS: u64 = 60_000_000;

/// Where frames of one load test are marked and found again. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Probe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    speaking: AtomicBool,
    measuring: AtomicBool,
    streams: AtomicU32,
    to_agent: Direction,
    to_phone: Direction,
    lateness: Mutex<Histogram<u64>>,
}

/// One direction's frames.
#[derive(Debug)]
struct Direction {
    sent: AtomicU64,
    in_order: AtomicU64,
    out_of_order: AtomicU64,
    damaged: AtomicU64,
    unmarked: AtomicU64,
    delay: Mutex<Histogram<u64>>,
}

/// What has become of the frames of one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FrameCounts {
    /// Frames sent.
    pub sent: u64,
    /// Frames that arrived whole, and after no later one.
    pub in_order: u64,
    /// Frames that arrived twice, or after a later one.
    pub out_of_order: u64,
    /// Frames whose audio was changed, or that belong to another call.
    pub damaged: u64,
    /// Other audio that arrived: silence, put in where a frame was late or missing.
    pub unmarked: u64,
}

impl FrameCounts {
    /// Frames that did not arrive as they should.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.in_order)
    }
}

impl Direction {
    fn new() -> Self {
        Direction {
            sent: AtomicU64::new(0),
            in_order: AtomicU64::new(0),
            out_of_order: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            unmarked: AtomicU64::new(0),
            delay: Mutex::new(histogram()),
        }
    }

    fn counts(&self) -> FrameCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FrameCounts {
            sent: count(&self.sent),
            in_order: count(&self.in_order),
            out_of_order: count(&self.out_of_order),
            damaged: count(&self.damaged),
            unmarked: count(&self.unmarked),
        }
    }
}

/// An empty histogram of microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_MICROS, 3).expect("the bounds are in order")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Default for Probe {
    fn default() -> Self {
        Probe::new()
    }
}

impl Probe {
    /// A probe whose phones speak, and that does not measure yet.
    #[must_use]
    pub fn new() -> Self {
        Probe(Arc::new(Inner {
            epoch: Instant::now(),
            speaking: AtomicBool::new(true),
            measuring: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            to_agent: Direction::new(),
            to_phone: Direction::new(),
            lateness: Mutex::new(histogram()),
        }))
    }

    /// Begins or ends the time whose delays count.
    pub fn measure(&self, on: bool) {
        self.0.measuring.store(on, Ordering::Relaxed);
    }

    /// Makes all phones fall silent, so that every frame on its way can arrive.
    pub fn fall_silent(&self) {
        self.0.speaking.store(false, Ordering::Relaxed);
    }

    /// Frames from phones to agents.
    #[must_use]
    pub fn to_agent(&self) -> FrameCounts {
        self.0.to_agent.counts()
    }

    /// Frames from agents to phones.
    #[must_use]
    pub fn to_phone(&self) -> FrameCounts {
        self.0.to_phone.counts()
    }

    /// Microseconds from phone to agent, while measuring.
    #[must_use]
    pub fn delay_to_agent(&self) -> Histogram<u64> {
        lock(&self.0.to_agent.delay).clone()
    }

    /// Microseconds from agent to phone, while measuring.
    #[must_use]
    pub fn delay_to_phone(&self) -> Histogram<u64> {
        lock(&self.0.to_phone.delay).clone()
    }

    /// Microseconds by which phones were late for their own clock, while measuring.
    #[must_use]
    pub fn lateness(&self) -> Histogram<u64> {
        lock(&self.0.lateness).clone()
    }

    /// One phone's stream.
    pub(crate) fn phone(&self) -> PhoneProbe {
        let stream = self.0.streams.fetch_add(1, Ordering::Relaxed);
        PhoneProbe { probe: self.0.clone(), stream, next: 0, ear: Ear { from: 0 } }
    }

    /// One agent's socket.
    pub(crate) fn agent(&self) -> AgentProbe {
        AgentProbe { probe: self.0.clone(), stream: None, ear: Ear { from: 0 } }
    }
}

impl Inner {
    fn micros(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    fn record(&self, into: &Mutex<Histogram<u64>>, micros: u64) {
        if self.measuring.load(Ordering::Relaxed) {
            lock(into).saturating_record(micros);
        }
    }
}

/// Expects the frames of one stream in order.
#[derive(Debug)]
struct Ear {
    /// The number of the next frame.
    from: u32,
}

impl Ear {
    /// Takes what arrived; a whole frame of this stream in its place is handed back.
    fn hear(
        &mut self,
        probe: &Inner,
        direction: &Direction,
        stream: Option<u32>,
        at: Instant,
        found: Found,
    ) -> Option<Mark> {
        let mark = match found {
            Found::Unmarked => {
                // Once phones are silent, silence is what they say.
                if probe.speaking.load(Ordering::Relaxed) {
                    bump(&direction.unmarked);
                }
                return None;
            }
            Found::Whole(mark) if stream.is_none_or(|stream| stream == mark.stream) => mark,
            Found::Whole(_) | Found::Damaged => {
                bump(&direction.damaged);
                return None;
            }
        };
        if mark.number < self.from {
            bump(&direction.out_of_order);
            return None;
        }
        self.from = mark.number + 1;
        bump(&direction.in_order);
        let micros = probe.micros(at).saturating_sub(mark.left_micros);
        probe.record(&direction.delay, micros);
        Some(mark)
    }
}

/// The phone's end of a probe.
#[derive(Debug)]
pub(crate) struct PhoneProbe {
    probe: Arc<Inner>,
    stream: u32,
    next: u32,
    ear: Ear,
}

impl PhoneProbe {
    /// The next frame to say, due at `due`; None when the phone is to be silent.
    pub(crate) fn say(&mut self, due: Instant) -> Option<[u8; FRAME_SAMPLES]> {
        let now = Instant::now();
        let late = now.saturating_duration_since(due);
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.probe.record(&self.probe.lateness, late);
        if !self.probe.speaking.load(Ordering::Relaxed) {
            return None;
        }
        let left_micros = self.probe.micros(now);
        let mark = Mark { stream: self.stream, number: self.next, left_micros };
        self.next += 1;
        bump(&self.probe.to_agent.sent);
        Some(frame::ulaw(mark))
    }

    /// Hears audio of the service.
    pub(crate) fn hear(&mut self, at: Instant, ulaw: &[u8]) {
        let PhoneProbe { probe, stream, ear, .. } = self;
        for frame in ulaw.chunks(FRAME_SAMPLES) {
            ear.hear(probe, &probe.to_phone, Some(*stream), at, frame::read_ulaw(frame));
        }
    }
}

/// The agent's end of a probe.
#[derive(Debug)]
pub(crate) struct AgentProbe {
    probe: Arc<Inner>,
    stream: Option<u32>,
    ear: Ear,
}

impl AgentProbe {
    /// Hears audio of the service, and gives what is to be sent back.
    pub(crate) fn answer(&mut self, at: Instant, pcm: &[u8]) -> Bytes {
        let mut answer = Vec::with_capacity(FRAME_PCM_BYTES);
        for frame in pcm.chunks(FRAME_PCM_BYTES) {
            let found = frame::read_pcm(frame);
            let probe = &self.probe;
            let Some(mark) = self.ear.hear(probe, &probe.to_agent, self.stream, at, found) else {
                continue;
            };
            self.stream = Some(mark.stream);
            let left_micros = probe.micros(Instant::now());
            bump(&probe.to_phone.sent);
            answer.extend_from_slice(&frame::pcm(Mark { left_micros, ..mark }));
        }
        answer.into()
    }
}

/// How long a 20 ms clock may be late at its 99th percentile before delays measured by it say more
/// about the generator than about the service.
pub const TRUSTED_LATENESS: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(probe: &mut PhoneProbe, count: usize) -> Vec<Vec<u8>> {
        let due = Instant::now();
        let mut say = || probe.say(due).expect("phones speak").to_vec();
        (0..count).map(|_| say()).collect()
    }

    fn pcm(ulaw: &[u8]) -> Vec<u8> {
        crate::audio::pcm_bytes(&crate::audio::g711::decode_all(ulaw))
    }

    fn ulaw(pcm: &[u8]) -> Vec<u8> {
        crate::audio::g711::encode_all(&crate::audio::pcm_samples(pcm))
    }

    #[test]
    fn a_frame_is_followed_there_and_back() {
        let probe = Probe::new();
        let (mut phone, mut agent) = (probe.phone(), probe.agent());
        probe.measure(true);
        for frame in frames(&mut phone, 3) {
            let answer = agent.answer(Instant::now(), &pcm(&frame));
            phone.hear(Instant::now(), &ulaw(&answer));
        }
        let expected = FrameCounts { sent: 3, in_order: 3, ..FrameCounts::default() };
        assert_eq!((probe.to_agent(), probe.to_phone()), (expected, expected));
        assert_eq!(probe.delay_to_agent().len(), 3);
        assert_eq!(probe.delay_to_phone().len(), 3);
        assert_eq!(probe.lateness().len(), 3);
    }

    #[test]
    fn delays_count_only_while_measuring() {
        let probe = Probe::new();
        let (mut phone, mut agent) = (probe.phone(), probe.agent());
        let first = frames(&mut phone, 2);
        agent.answer(Instant::now(), &pcm(&first[0]));
        probe.measure(true);
        agent.answer(Instant::now() + Duration::from_millis(7), &pcm(&first[1]));
        assert_eq!(probe.delay_to_agent().len(), 1);
        assert!(probe.delay_to_agent().max() >= 7_000);
    }

    #[test]
    fn lost_late_damaged_and_misdelivered_frames_are_told_apart() {
        let probe = Probe::new();
        let (mut phone, mut agent) = (probe.phone(), probe.agent());
        let mut other = probe.phone();
        let sent = frames(&mut phone, 5);
        let now = Instant::now();
        agent.answer(now, &pcm(&sent[0]));
        agent.answer(now, &pcm(&sent[3]));
        assert!(agent.answer(now, &pcm(&sent[2])).is_empty());
        let mut damaged = sent[4].clone();
        damaged[100] ^= 1;
        agent.answer(now, &pcm(&damaged));
        agent.answer(now, &pcm(&frames(&mut other, 1)[0]));
        agent.answer(now, &[0; FRAME_PCM_BYTES]);
        let counts = probe.to_agent();
        let expected =
            FrameCounts { sent: 6, in_order: 2, out_of_order: 1, damaged: 2, unmarked: 1 };
        assert_eq!(counts, expected);
        assert_eq!(counts.lost(), 4);
    }

    #[test]
    fn a_message_may_hold_several_frames() {
        let probe = Probe::new();
        let (mut phone, mut agent) = (probe.phone(), probe.agent());
        let both = frames(&mut phone, 2).concat();
        let answer = agent.answer(Instant::now(), &pcm(&both));
        phone.hear(Instant::now(), &ulaw(&answer));
        assert_eq!(probe.to_phone().in_order, 2);
    }

    #[test]
    fn silent_phones_send_nothing_to_look_for() {
        let probe = Probe::new();
        let mut phone = probe.phone();
        probe.fall_silent();
        assert_eq!(phone.say(Instant::now()), None);
        assert_eq!(probe.to_agent().sent, 0);
    }
}
