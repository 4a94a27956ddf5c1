//! How fast a campaign begins calls: never more in any second than it may, slowly after a pause.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// The share of the full pace that a campaign begins with after a pause. It doubles each second.
const RAMP_FROM: f64 = 0.1;
/// After this long the ramp is over, whatever the pace.
const RAMP: SignedDuration = SignedDuration::from_secs(4);

/// Begins of calls in a sliding window.
#[derive(Debug)]
pub(super) struct Pace {
    max_cps: f64,
    ramp_from: Option<Timestamp>,
    begun: VecDeque<Timestamp>,
}

impl Pace {
    pub(super) fn new(max_cps: f64) -> Self {
        Pace { max_cps, ramp_from: None, begun: VecDeque::new() }
    }

    pub(super) fn set_max_cps(&mut self, max_cps: f64) {
        self.max_cps = max_cps;
    }

    /// Begins slowly from now.
    pub(super) fn ramp(&mut self, now: Timestamp) {
        self.ramp_from = Some(now);
    }

    /// A call is begun.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.begun.push_back(now);
        // The window is never asked about more than this many begins.
        while self.begun.len() > burst(self.max_cps) {
            self.begun.pop_front();
        }
    }

    /// From when on the next call may be begun; `now` or before when it may at once.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        let cps = self.cps(now);
        let (burst, window) = (burst(cps), window(cps));
        match self.begun.len().checked_sub(burst).and_then(|n| self.begun.get(n)) {
            Some(oldest) => oldest.saturating_add(window).unwrap_or(Timestamp::MAX),
            None => now,
        }
    }

    fn cps(&self, now: Timestamp) -> f64 {
        let Some(from) = self.ramp_from else { return self.max_cps };
        let passed = now.duration_since(from);
        if passed >= RAMP || passed < SignedDuration::ZERO {
            return self.max_cps;
        }
        let begin = (self.max_cps * RAMP_FROM).max(self.max_cps.min(1.0));
        let doublings = i32::try_from(passed.as_secs()).unwrap_or(i32::MAX);
        (begin * 2_f64.powi(doublings)).min(self.max_cps)
    }
}

/// How many calls may begin together.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive, and a huge one saturates"
)]
fn burst(cps: f64) -> usize {
    (cps.floor() as usize).max(1)
}

/// In how long a time so many may begin. Longer than any time in which one more would be too many.
fn window(cps: f64) -> SignedDuration {
    let burst = f64::from(u32::try_from(burst(cps)).unwrap_or(u32::MAX));
    SignedDuration::try_from_secs_f64((burst / cps).max(1.0)).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("in range")
    }

    /// When calls begin that are begun as soon as they may.
    fn begins(pace: &mut Pace, count: usize) -> Vec<i64> {
        let mut now = at(0);
        (0..count)
            .map(|_| {
                now = now.max(pace.next(now));
                pace.begin(now);
                now.as_millisecond()
            })
            .collect()
    }

    #[test]
    fn no_second_sees_one_too_many() {
        assert_eq!(begins(&mut Pace::new(3.0), 7), [0, 0, 0, 1_000, 1_000, 1_000, 2_000]);
        assert_eq!(begins(&mut Pace::new(0.5), 3), [0, 2_000, 4_000]);
        assert_eq!(begins(&mut Pace::new(1.5), 3), [0, 1_000, 2_000], "two in a second are two");
    }

    #[test]
    fn after_a_pause_it_is_slow_at_first() {
        let mut pace = Pace::new(10.0);
        pace.ramp(at(0));
        let begins = begins(&mut pace, 40);
        let in_second = |n: i64| begins.iter().filter(|ms| **ms / 1_000 == n).count();
        assert_eq!((in_second(0), in_second(1)), (1, 2));
        assert!(in_second(2) <= 4 && in_second(3) <= 8, "{begins:?}");
        assert_eq!(in_second(5), 10);
    }

    #[test]
    fn a_lower_pace_counts_what_was_begun_before() {
        let mut pace = Pace::new(10.0);
        for _ in 0..10 {
            pace.begin(at(0));
        }
        pace.set_max_cps(2.0);
        assert_eq!(pace.next(at(500)), at(1_000));
    }
}
