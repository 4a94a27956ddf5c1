//! When each call is placed and ended: an absolute schedule, made before the first call.
//!
//! Requests are due at these times whatever becomes of the ones before them. A service that answers
//! slowly is not asked less, and its answers count from when they were due.

use std::time::Duration;

use super::scenario::{FRAME, Level, MAX_RATE, Scenario, Shape, whole};

/// From one request to the next, at least.
const LEAST_APART: Duration = Duration::from_millis(1_000 / MAX_RATE as u64);

/// One thing to be done, and when, counted from the beginning of its part of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) what: Act,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A call is placed; the number says to which of the rates it belongs.
    Place { rate: usize },
    /// The youngest call is ended.
    HangUp,
}

/// Everything a test does on its own schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Before the measuring: calls that are then up.
    pub(crate) before: Vec<Due>,
    /// While measuring.
    pub(crate) measured: Vec<Due>,
    /// Calls that are up when the measuring is over, if all went well and nobody else ends them.
    pub(crate) held: u32,
}

/// What a scenario does, when.
pub(crate) fn plan(scenario: &Scenario) -> Plan {
    let seconds = Duration::from_secs(scenario.seconds);
    let mut plan = match &scenario.shape {
        Shape::Hold { profile } => hold(scenario, profile, seconds),
        Shape::Churn { call_length } => {
            let between = call_length.div_f64(scenario.calls.into()).max(LEAST_APART);
            Plan { measured: places(Duration::ZERO, seconds, between, 0), ..Plan::default() }
        }
        Shape::Rest { rates, .. } => {
            let share = seconds.div_f64(rates.len() as f64);
            let step = |(n, rate): (usize, &u32)| {
                let between = Duration::from_secs(1).div_f64((*rate).into()).max(LEAST_APART);
                places(share.mul_f64(n as f64), share, between, n)
            };
            let measured = rates.iter().enumerate().flat_map(step).collect();
            Plan { measured, ..Plan::default() }
        }
        Shape::Campaign { .. } => Plan::default(),
    };
    spread(&mut plan.before, 0);
    spread(&mut plan.measured, plan.before.len());
    plan
}

fn places(from: Duration, lasting: Duration, between: Duration, rate: usize) -> Vec<Due> {
    let count = whole(lasting.div_duration_f64(between)).max(1);
    (0..count).map(|n| Due { at: from + between * n, what: Act::Place { rate } }).collect()
}

fn hold(scenario: &Scenario, profile: &[Level], seconds: Duration) -> Plan {
    let calls_of = |level: &Level| whole(f64::from(scenario.calls) * level.calls / 100.0);
    let Some(first) = profile.first() else { return Plan::default() };
    let initial = calls_of(first);
    let between = scenario.ramp.div_f64(f64::from(initial.max(1))).max(LEAST_APART);
    let place = Act::Place { rate: 0 };
    let before = (0..initial).map(|n| Due { at: between * n, what: place }).collect();
    let mut measured: Vec<Due> = Vec::new();
    let mut up = initial;
    for pair in profile.windows(2) {
        let [from, to] = pair else { continue };
        let calls = calls_of(to);
        let steps = calls.abs_diff(up);
        let begins = seconds.mul_f64(from.at / 100.0);
        let lasts = seconds.mul_f64((to.at - from.at) / 100.0);
        let what = if calls > up { place } else { Act::HangUp };
        for step in 0..steps {
            let wanted = begins + lasts.mul_f64(f64::from(step) / f64::from(steps));
            // A profile that is too steep is followed as fast as it may be.
            let at = measured.last().map_or(wanted, |last| wanted.max(last.at + LEAST_APART));
            measured.push(Due { at, what });
        }
        up = calls;
    }
    measured.retain(|due| due.at < seconds);
    let after = |up: u32, due: &Due| match due.what {
        Act::Place { .. } => up + 1,
        Act::HangUp => up.saturating_sub(1),
    };
    let held = measured.iter().fold(initial, after);
    Plan { before, measured, held }
}

/// Spreads calls evenly over the length of a frame, as chance would: the clocks of all phones would
/// otherwise tick together.
fn spread(all: &mut [Due], earlier: usize) {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    for (n, due) in all.iter_mut().enumerate() {
        due.at += FRAME.mul_f64(((earlier + n) as f64 * GOLDEN).fract());
    }
    all.sort_by_key(|due| due.at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::scenario::{Overrides, find};

    fn of(name: &str, calls: u32, seconds: u64, ramp: u64) -> Plan {
        let changes = Overrides { calls: Some(calls), seconds: Some(seconds), ramp: Some(ramp) };
        plan(&find(name).expect(name).with(changes))
    }

    /// Calls that are up after so many percent of the measured time.
    fn up(plan: &Plan, seconds: u64, percent: u32) -> usize {
        let by = Duration::from_secs(seconds) * percent / 100 + FRAME;
        let done = plan.measured.iter().filter(|due| due.at <= by);
        let (placed, ended): (Vec<&Due>, Vec<&Due>) = done.partition(|due| due.what != Act::HangUp);
        plan.before.len() + placed.len() - ended.len()
    }

    fn apart(all: &[Due]) -> Duration {
        let last = all.last().expect("there are some").at;
        last.div_f64((all.len() - 1) as f64)
    }

    #[test]
    fn a_steady_test_has_all_its_calls_before_it_measures() {
        let plan = of("steady", 100, 10, 5);
        assert_eq!((plan.before.len(), plan.measured.len(), plan.held), (100, 0, 100));
        let apart = apart(&plan.before).as_secs_f64();
        assert!((0.049..0.051).contains(&apart), "{apart}");
    }

    #[test]
    fn no_more_calls_are_placed_than_the_bound_allows() {
        for plan in [of("steady", 1_000, 10, 0), of("churn", 5_000, 2, 0)] {
            let all = if plan.before.is_empty() { &plan.measured } else { &plan.before };
            assert!(apart(all) > LEAST_APART.mul_f64(0.99), "{:?}", apart(all));
        }
    }

    #[test]
    fn a_ramp_begins_with_nothing_and_ends_with_everything() {
        let plan = of("ramp", 100, 100, 0);
        assert_eq!(plan.before, []);
        let levels = [0, 17, 51, 85, 100].map(|percent| up(&plan, 100, percent));
        assert_eq!(levels, [1, 21, 61, 100, 100]);
        assert_eq!(plan.held, 100);
    }

    #[test]
    fn a_spike_comes_and_goes() {
        let plan = of("spike", 100, 100, 1);
        assert_eq!(plan.before.len(), 20);
        let levels = [0, 20, 30, 69, 76, 100].map(|percent| up(&plan, 100, percent));
        assert_eq!(levels, [20, 20, 100, 100, 20, 20]);
        assert_eq!(plan.held, 20);
    }

    #[test]
    fn churn_places_a_call_each_time_one_is_due_to_end() {
        let plan = of("churn", 30, 10, 0);
        // 30 calls of 3 s: 10 a second.
        assert_eq!((plan.before.len(), plan.measured.len(), plan.held), (0, 100, 0));
        let apart = apart(&plan.measured).as_secs_f64();
        assert!((0.099..0.101).contains(&apart), "{apart}");
    }

    #[test]
    fn rates_follow_one_another_and_each_is_kept() {
        let plan = of("rest", 1, 4, 0);
        let of_rate = |rate: usize| {
            let place = Act::Place { rate };
            plan.measured.iter().filter(move |due| due.what == place).map(|due| due.at)
        };
        assert_eq!([0, 1, 2, 3].map(|rate| of_rate(rate).count()), [10, 25, 50, 100]);
        assert!(of_rate(3).min() >= Some(Duration::from_secs(3)));
        assert!(of_rate(3).max() < Some(Duration::from_millis(4_020)));
    }

    #[test]
    fn clocks_of_phones_do_not_tick_together() {
        let plan = of("steady", 1_000, 1, 20);
        let mut quarters = [0; 4];
        for due in &plan.before {
            let quarter = (due.at.as_micros() % 20_000 / 5_000).min(3);
            quarters[usize::try_from(quarter).expect("a quarter")] += 1;
        }
        assert!(quarters.iter().all(|count| (240..=260).contains(count)), "{quarters:?}");
    }
}
