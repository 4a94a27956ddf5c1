//! Follows every frame of every call through the service, at a cost that hardly shows.
//!
//! Phones mark what they say. The agent's side reads the mark, notes the delay, and sends the frame
//! back with the time at which it leaves again; the phone's side reads that. So both directions are
//! measured on one clock, without remembering a single frame, and a frame that is lost, repeated,
//! out of order, damaged or delivered to another call is known as such.
//!
//! A frame's delay counts from the moment the phone's (or the agent's) clock made it, before
//! anything that the simulated network does to it, until its message has been read whole at the
//! other end. How late that clock was itself is counted apart, as lateness.

mod ends;
mod manner;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

pub(crate) use ends::{AgentProbe, PhoneProbe};
pub(crate) use manner::{Manner, Speech};

/// Longest delay told apart from longer ones.
const LONGEST_MICROS: u64 = 60_000_000;

/// How long a 20 ms clock may be late at its 99th percentile before delays measured by it say more
/// about the generator than about the service.
pub const TRUSTED_LATENESS: Duration = Duration::from_millis(5);

/// Where frames of one load test are marked and found again. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Probe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    manner: Manner,
    speaking: AtomicBool,
    /// Some phones have fallen silent for good, and their silence is their own.
    some_silent: AtomicBool,
    measuring: AtomicBool,
    streams: AtomicU32,
    to_agent: Direction,
    to_phone: Direction,
    lateness: Times,
    interruptions: Times,
    interruptions_asked: AtomicU64,
    /// Interruptions on their way to the phone, by stream. They are rare.
    clears: Mutex<HashMap<u32, VecDeque<Clear>>>,
}

/// An agent's wish that the phone fall silent.
#[derive(Clone, Copy, Debug)]
struct Clear {
    left_micros: u64,
    /// The first frame that the phone may still hear.
    next_frame: u32,
}

/// One direction's frames.
#[derive(Debug, Default)]
struct Direction {
    sent: AtomicU64,
    in_order: AtomicU64,
    out_of_order: AtomicU64,
    damaged: AtomicU64,
    unmarked: AtomicU64,
    skipped: AtomicU64,
    delay: Times,
}

/// Measured times: those of the current second, and those of the whole measurement before it.
#[derive(Debug, Default)]
struct Times(Mutex<TwoHistograms>);

#[derive(Debug)]
struct TwoHistograms {
    recent: Histogram<u64>,
    whole: Histogram<u64>,
}

impl Default for TwoHistograms {
    fn default() -> Self {
        TwoHistograms { recent: histogram(), whole: histogram() }
    }
}

impl Times {
    fn record(&self, micros: u64) {
        lock(&self.0).recent.saturating_record(micros);
    }

    /// Takes what was recorded since the last time, and keeps it if it is part of a measurement.
    fn take(&self, keep: bool) -> Histogram<u64> {
        let mut times = lock(&self.0);
        let TwoHistograms { recent, whole } = &mut *times;
        if keep {
            whole.add(&*recent).expect("both have the same bounds");
        }
        std::mem::replace(recent, histogram())
    }

    fn whole(&self) -> Histogram<u64> {
        lock(&self.0).whole.clone()
    }
}

/// What was measured since the last look.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) to_agent: Histogram<u64>,
    pub(crate) to_phone: Histogram<u64>,
    pub(crate) lateness: Histogram<u64>,
}

/// What has become of the frames of one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct FrameCounts {
    /// Frames sent.
    pub sent: u64,
    /// Frames that arrived whole, and after no later one.
    pub in_order: u64,
    /// Frames that arrived twice, or after a later one.
    pub out_of_order: u64,
    /// Frames whose audio was changed, or that belong to another call.
    pub damaged: u64,
    /// Other audio that arrived: silence, put in where a frame was late or missing. Counted only
    /// where phones never pause, since their own silence looks the same.
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
    fn counts(&self) -> FrameCounts {
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

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Default for Probe {
    fn default() -> Self {
        Probe::new()
    }
}

impl Probe {
    /// A probe whose phones speak without a pause, and that does not measure yet.
    #[must_use]
    pub fn new() -> Self {
        Probe::with(Manner::default())
    }

    /// A probe whose phones speak in this manner.
    pub(crate) fn with(manner: Manner) -> Self {
        Probe(Arc::new(Inner {
            epoch: Instant::now(),
            manner,
            speaking: AtomicBool::new(true),
            some_silent: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            to_agent: Direction::default(),
            to_phone: Direction::default(),
            lateness: Times::default(),
            interruptions: Times::default(),
            interruptions_asked: AtomicU64::new(0),
            clears: Mutex::default(),
        }))
    }

    /// Begins or ends the time whose delays count.
    pub fn measure(&self, on: bool) {
        // What was recorded before belongs to the state that ends here.
        self.take_recent();
        self.0.measuring.store(on, Ordering::Relaxed);
    }

    /// Takes the times recorded since the last look.
    pub(crate) fn take_recent(&self) -> Recent {
        let keep = self.0.measuring.load(Ordering::Relaxed);
        Recent {
            to_agent: self.0.to_agent.delay.take(keep),
            to_phone: self.0.to_phone.delay.take(keep),
            lateness: self.0.lateness.take(keep),
        }
    }

    /// Lets all phones speak in their manner, or makes them fall silent so that every frame on its
    /// way can arrive.
    pub fn speak(&self, on: bool) {
        self.0.speaking.store(on, Ordering::Relaxed);
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

    /// Frames of both directions that are known to be missing, because a later one has arrived.
    pub(crate) fn skipped(&self) -> u64 {
        count(&self.0.to_agent.skipped) + count(&self.0.to_phone.skipped)
    }

    /// Microseconds from phone to agent, of the measurements that are over.
    #[must_use]
    pub fn delay_to_agent(&self) -> Histogram<u64> {
        self.0.to_agent.delay.whole()
    }

    /// Microseconds from agent to phone, of the measurements that are over.
    #[must_use]
    pub fn delay_to_phone(&self) -> Histogram<u64> {
        self.0.to_phone.delay.whole()
    }

    /// Microseconds by which phones were late for their own clock, of the measurements that are
    /// over.
    #[must_use]
    pub fn lateness(&self) -> Histogram<u64> {
        self.0.lateness.whole()
    }

    /// How often agents asked for silence, and the microseconds until the phone was told.
    pub(crate) fn interruptions(&self) -> (u64, Histogram<u64>) {
        self.0.interruptions.take(true);
        (count(&self.0.interruptions_asked), self.0.interruptions.whole())
    }

    /// One phone's stream.
    pub(crate) fn phone(&self) -> PhoneProbe {
        let stream = self.0.streams.fetch_add(1, Ordering::Relaxed);
        PhoneProbe::new(self.0.clone(), stream)
    }

    /// One agent's socket.
    pub(crate) fn agent(&self) -> AgentProbe {
        AgentProbe::new(self.0.clone())
    }
}

impl Inner {
    /// Whether silence can only be somebody else's doing.
    fn all_speak(&self) -> bool {
        self.manner.is_constant()
            && self.speaking.load(Ordering::Relaxed)
            && !self.some_silent.load(Ordering::Relaxed)
    }

    fn micros(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
