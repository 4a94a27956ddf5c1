//! Stops a campaign whose calls fail for one cause.

use std::collections::VecDeque;

/// How many of the latest attempts are looked at.
const WINDOW: usize = 20;
/// With fewer than this nothing is concluded.
const LEAST: usize = 10;

/// The causes for which the latest attempts failed; `None` for those that did not.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    latest: VecDeque<Option<String>>,
}

impl Breaker {
    /// Takes note of an attempt. The cause comes back when most of the latest failed for it.
    pub(super) fn note(&mut self, cause: Option<String>) -> Option<String> {
        self.latest.push_back(cause.clone());
        if self.latest.len() > WINDOW {
            self.latest.pop_front();
        }
        let cause = cause?;
        let same = self.latest.iter().flatten().filter(|other| **other == cause).count();
        // Four of five.
        (self.latest.len() >= LEAST && same * 5 >= self.latest.len() * 4).then_some(cause)
    }

    /// Begins anew, after somebody has looked.
    pub(super) fn reset(&mut self) {
        self.latest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(breaker: &mut Breaker, cause: &str) -> bool {
        breaker.note(Some(cause.to_owned())).is_some()
    }

    #[test]
    fn one_cause_for_most_of_the_latest_trips_it() {
        let mut breaker = Breaker::default();
        assert!(!(1..LEAST).any(|_| failed(&mut breaker, "a")), "too few to tell");
        assert!(failed(&mut breaker, "a"));
        breaker.reset();
        assert!(!failed(&mut breaker, "a"));
    }

    #[test]
    fn different_causes_and_calls_that_worked_do_not() {
        let mut breaker = Breaker::default();
        let tripped = (0..100).any(|n| match n % 3 {
            0 => breaker.note(None).is_some(),
            1 => failed(&mut breaker, "a"),
            _ => failed(&mut breaker, "b"),
        });
        assert!(!tripped);
    }

    #[test]
    fn old_successes_are_forgotten() {
        let mut breaker = Breaker::default();
        for _ in 0..1_000 {
            breaker.note(None);
        }
        assert!((0..WINDOW).any(|_| failed(&mut breaker, "a")));
    }
}
