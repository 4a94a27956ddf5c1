//! Slots: the rule that a company never begins more calls in a second than it may.
//!
//! A call holds a slot from before Twilio is asked until Twilio has answered, and the slot rests
//! after that. Twilio sees the call somewhere between the two, so whatever the network does, it
//! sees the calls of one slot at least a rest apart.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many calls may begin in how long a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// How many calls may begin together.
    pub(super) slots: u32,
    /// How long a slot rests after it was used; at least a second.
    pub(super) rest: Duration,
}

impl Pace {
    /// Of a rate that is no whole number, so many slots that a second never sees more calls than
    /// the next whole number, and so long a rest that no long time sees more than the rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and a huge one saturates"
    )]
    pub(super) fn of(cps: f64) -> Self {
        let slots = (cps.ceil() as u32).max(1);
        let rest = Duration::try_from_secs_f64(f64::from(slots) / cps).unwrap_or(LONGEST_REST);
        Pace { slots, rest: rest.clamp(Duration::from_secs(1), LONGEST_REST) }
    }
}

/// Of a rate that rounds to nothing. A day is as good as for ever.
const LONGEST_REST: Duration = Duration::from_secs(86_400);

/// The slots of one company. There are as many as the pace says that is asked with, so it may
/// change at any time.
#[derive(Debug, Default)]
pub(super) struct Slots {
    in_use: usize,
    /// When Twilio answered, of those that may still be resting.
    used: VecDeque<Instant>,
    /// When all of them were used, as far as anybody knows.
    unknown_until: Option<Instant>,
}

impl Slots {
    /// Nobody knows which slots were used before this moment: all of them rest from then on.
    pub(super) fn all_used_at(moment: Instant) -> Self {
        Slots { unknown_until: Some(moment), ..Slots::default() }
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(&mut self, pace: Pace, now: Instant) -> bool {
        while self.used.front().is_some_and(|at| *at + pace.rest <= now) {
            self.used.pop_front();
        }
        let is_free = self.wait(1, self.in_use, pace, now).is_zero();
        self.in_use += usize::from(is_free);
        is_free
    }

    /// Twilio has answered: the slot rests.
    pub(super) fn give_back(&mut self, now: Instant) {
        self.in_use = self.in_use.saturating_sub(1);
        self.used.push_back(now);
    }

    /// Twilio was not asked after all.
    pub(super) fn put_back(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// How long whoever is at this place of a line, from 1, waits about when `in_use` slots are held
    /// by others. Zero is exact: a slot is free.
    pub(super) fn wait(&self, place: usize, in_use: usize, pace: Pace, now: Instant) -> Duration {
        let left = |at: Instant| (at + pace.rest).saturating_duration_since(now);
        let blocked = self.unknown_until.map(left).unwrap_or_default();
        let slots = usize::try_from(pace.slots).unwrap_or(usize::MAX);
        let resting: Vec<Duration> =
            self.used.iter().map(|at| left(*at)).filter(|left| !left.is_zero()).collect();
        let free = slots.saturating_sub(in_use + resting.len());
        let Some(behind) = place.checked_sub(free + 1) else { return blocked };
        // After the slots that rest come those whose answer is yet to come, and then all again.
        let (rounds, rest) = (behind / slots, behind % slots);
        let first = resting.get(rest).copied().unwrap_or(pace.rest);
        first.saturating_add(pace.rest * u32::try_from(rounds).unwrap_or(u32::MAX)).max(blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_rate_becomes_slots_that_rest() {
        let of = |cps| (Pace::of(cps).slots, Pace::of(cps).rest);
        assert_eq!(of(5.0), (5, ms(1_000)));
        assert_eq!(of(1.0), (1, ms(1_000)));
        assert_eq!(of(2.5), (3, ms(1_200)));
        assert_eq!(of(0.01), (1, ms(100_000)));
        assert_eq!(of(1_000.0), (1_000, ms(1_000)));
        assert_eq!(of(f64::MIN_POSITIVE), (1, LONGEST_REST));
        assert_eq!(of(f64::MAX).0, u32::MAX);
    }

    #[test]
    fn a_slot_rests_from_the_answer_on() {
        let (mut slots, pace, start) = (Slots::default(), Pace::of(2.0), Instant::now());
        assert!(slots.take(pace, start) && slots.take(pace, start));
        assert!(!slots.take(pace, start + ms(60_000)), "Twilio has not answered");
        slots.give_back(start + ms(60_000));
        assert!(!slots.take(pace, start + ms(60_999)));
        assert!(slots.take(pace, start + ms(61_000)));
        slots.put_back();
        assert!(slots.take(pace, start + ms(61_000)), "what was not used does not rest");
    }

    #[test]
    fn another_pace_counts_at_once() {
        let (mut slots, start) = (Slots::default(), Instant::now());
        let slow = Pace::of(0.1);
        assert!(slots.take(slow, start));
        slots.give_back(start);
        assert!(!slots.take(slow, start + ms(9_999)));
        assert!(slots.take(Pace::of(2.0), start + ms(10)));
        assert!(!slots.take(slow, start + ms(10)));
    }

    #[test]
    fn what_nobody_knows_of_was_used() {
        let start = Instant::now();
        let mut slots = Slots::all_used_at(start);
        assert!(!slots.take(Pace::of(5.0), start + ms(999)));
        assert!(slots.take(Pace::of(5.0), start + ms(1_000)));
    }

    #[test]
    fn a_wait_is_foreseen() {
        let (mut slots, pace, now) = (Slots::default(), Pace::of(2.0), Instant::now());
        let wait = |slots: &Slots, place| slots.wait(place, slots.in_use(), pace, now);
        assert_eq!([1, 2, 3, 5].map(|place| wait(&slots, place)), [0, 0, 1_000, 2_000].map(ms));
        assert!(slots.take(pace, now - ms(900)));
        slots.give_back(now - ms(600));
        assert_eq!([1, 2, 3, 4].map(|place| wait(&slots, place)), [0, 400, 1_000, 1_400].map(ms));
    }
}
