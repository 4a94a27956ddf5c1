//! Watches the rule that a second of audio arrives every second.

use std::time::{Duration, Instant};

/// Audio ran ahead of the wall clock, or fell behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingEvent {
    /// When it was noticed, counted from the join.
    pub at: Duration,
    /// Which way.
    pub kind: TimingKind,
    /// By how much.
    pub by: Duration,
}

/// Which way the audio left the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingKind {
    /// More than a second of audio a second.
    Overflow,
    /// Less than that.
    Underflow,
}

/// Compares the audio of one call with the wall clock since it was joined.
#[derive(Debug)]
pub(crate) struct Meter {
    joined: Instant,
    tolerance: Duration,
    bytes_per_second: u64,
    bytes: u64,
    outside: Option<TimingKind>,
}

impl Meter {
    pub(crate) fn new(joined: Instant, tolerance: Duration, rate_hz: u32) -> Self {
        let bytes_per_second = u64::from(rate_hz) * 2;
        Meter { joined, tolerance, bytes_per_second, bytes: 0, outside: None }
    }

    /// Counts audio that has just arrived; reports the moment the tolerance is exceeded.
    pub(crate) fn arrived(&mut self, now: Instant, bytes: usize) -> Option<TimingEvent> {
        // Whatever is missing was missing before these bytes came.
        let missing = self.judge(now);
        self.bytes += bytes as u64;
        missing.or_else(|| self.judge(now))
    }

    /// Looks at the clock alone, as at the end of the call.
    pub(crate) fn judge(&mut self, now: Instant) -> Option<TimingEvent> {
        let at = now.saturating_duration_since(self.joined);
        let heard = self.heard();
        let (kind, by) = if heard > at {
            (TimingKind::Overflow, heard - at)
        } else {
            (TimingKind::Underflow, at - heard)
        };
        if by <= self.tolerance {
            self.outside = None;
            return None;
        }
        if self.outside == Some(kind) {
            return None;
        }
        self.outside = Some(kind);
        Some(TimingEvent { at, kind, by })
    }

    /// How much audio has arrived.
    pub(crate) fn heard(&self) -> Duration {
        Duration::from_micros(self.bytes * 1_000_000 / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_steady_stream_is_fine() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 100 * MS, 8_000);
        for n in 0..500 {
            assert_eq!(meter.arrived(start + n * 20 * MS, 320), None);
        }
        assert_eq!(meter.heard(), 10_000 * MS);
    }

    #[test]
    fn too_much_and_too_little_are_each_reported_once() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 100 * MS, 8_000);
        let event = meter.arrived(start, 3_200).expect("200 ms too much");
        assert_eq!((event.kind, event.by), (TimingKind::Overflow, 200 * MS));
        assert_eq!(meter.arrived(start, 320), None);

        let event = meter.judge(start + 1_000 * MS).expect("780 ms too little");
        assert_eq!((event.kind, event.by), (TimingKind::Underflow, 780 * MS));
        assert_eq!(meter.judge(start + 1_100 * MS), None);
    }
}
