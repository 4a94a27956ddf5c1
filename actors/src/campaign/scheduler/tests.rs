//! Campaigns played through: the phones answer at once, in simulated time.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::call::EndReason;
use crate::campaign::RetryRules;
use crate::campaign::hours::Opening;
use crate::campaign::zone_groups::ZoneGroup;

use super::*;

/// Each group is open for the first half of its own hour-long day, shifted by the group's number.
#[derive(Clone, Copy, Debug)]
struct HalfDays;

const DAY_S: i64 = 3_600;

impl Hours for HalfDays {
    fn opening(&mut self, group: ZoneGroup, now: Timestamp) -> Opening {
        match group.0 {
            0 => Opening::Open { until: Timestamp::MAX },
            u16::MAX => Opening::Closed { until: None },
            shift => {
                let into_day = (now.as_second() + i64::from(shift) * 60).rem_euclid(DAY_S);
                let ahead = |seconds| now + SignedDuration::from_secs(seconds - into_day);
                match into_day < DAY_S / 2 {
                    true => Opening::Open { until: ahead(DAY_S / 2) },
                    false => Opening::Closed { until: Some(ahead(DAY_S)) },
                }
            }
        }
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).expect("in range")
}

fn limits(max_concurrent_calls: u32, max_cps: f64) -> Limits {
    Limits { max_concurrent_calls, max_cps }
}

fn rules() -> Rules {
    Rules { retries: RetryRules::never(), expires_at: None, on_break: OnBreak::Pause }
}

fn retry(max_attempts: u8) -> RetryRules {
    RetryRules {
        max_attempts,
        on: RecipientState::RETRIABLE.to_vec(),
        backoff: Duration::from_secs(60),
        factor: 2.0,
    }
}

fn recipient(seq: u32) -> Recipient {
    Recipient { seq, priority: 0, group: ZoneGroup(0), attempts: 0, due: None }
}

/// What the phone of a recipient does in each of its attempts: how long, and how it ends.
type Script = Box<dyn FnMut(u32, u8) -> (i64, Result<Outcome, Refusal>)>;

/// Plays a campaign, and holds everything it does against its promises.
struct Play {
    scheduler: Scheduler<HalfDays>,
    limits: Limits,
    max_attempts: u8,
    now: Timestamp,
    script: Script,
    /// Calls that are under way, by when they end.
    calls: BTreeMap<(Timestamp, u32), Result<Outcome, Refusal>>,
    dialled: Vec<(Timestamp, u32)>,
    attempts: BTreeMap<u32, u8>,
    states: BTreeMap<u32, RecipientState>,
    causes: Vec<String>,
    is_complete: bool,
}

impl Play {
    fn new(limits: Limits, rules: Rules, people: &[Recipient], script: Script) -> Self {
        let mut play = Play {
            max_attempts: rules.retries.max_attempts,
            scheduler: Scheduler::new(HalfDays, limits, rules),
            limits,
            now: at(0),
            script,
            calls: BTreeMap::new(),
            dialled: Vec::new(),
            attempts: BTreeMap::new(),
            states: people.iter().map(|who| (who.seq, RecipientState::Waiting)).collect(),
            causes: Vec::new(),
            is_complete: false,
        };
        play.tell(Input::Recipients(people.to_vec()));
        play
    }

    fn tell(&mut self, input: Input) {
        self.scheduler.handle(self.now, input);
        let mut placed = Vec::new();
        while let Some(action) = self.scheduler.poll_action() {
            assert!(!self.is_complete, "{action:?} after the end");
            match action {
                Action::Dial { seq, .. } => {
                    self.dialled.push((self.now, seq));
                    let attempts = self.attempts.entry(seq).or_default();
                    *attempts += 1;
                    let (lasts_ms, end) = (self.script)(seq, *attempts);
                    let ends = self.now + SignedDuration::from_millis(lasts_ms);
                    if end.is_ok() {
                        placed.push(seq);
                    }
                    self.calls.insert((ends, seq), end);
                    let most = usize::try_from(self.limits.max_concurrent_calls).expect("few");
                    assert!(self.calls.len() <= most, "{} calls at a time", self.calls.len());
                }
                Action::Settle { seq, state, attempts, .. } => {
                    assert!(attempts <= self.max_attempts, "{seq} was dialled {attempts} times");
                    let before = self.states.insert(seq, state).expect("a recipient");
                    assert!(!before.is_final(), "{seq} was {before}, is {state}");
                }
                Action::SettleWaiting { state, .. } => {
                    let calling: Vec<u32> = self.scheduler.calling().collect();
                    for (seq, now) in &mut self.states {
                        if !now.is_final() && !calling.contains(seq) {
                            *now = state;
                        }
                    }
                }
                Action::Pause { cause } => self.causes.push(cause),
                Action::Complete => self.is_complete = true,
            }
        }
        for seq in placed {
            self.tell(Input::Placed(seq));
        }
    }

    /// Goes on until nothing more would happen.
    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let call = self.calls.keys().next().map(|(at, _)| *at);
            let deadlines = [call, self.scheduler.next_deadline()];
            let Some(next) = deadlines.into_iter().flatten().min() else { return };
            assert!(next >= self.now, "a deadline that was");
            self.now = next;
            match call == Some(next) {
                true => {
                    let ((_, seq), end) = self.calls.pop_first().expect("it was there");
                    self.tell(match end {
                        Ok(outcome) => Input::Ended(seq, outcome),
                        Err(refusal) => Input::Refused(seq, refusal),
                    });
                }
                false => self.tell(Input::Tick),
            }
        }
        panic!("it never ends");
    }

    fn order(&self) -> Vec<u32> {
        self.dialled.iter().map(|(_, seq)| *seq).collect()
    }

    fn counts(&self) -> BTreeMap<RecipientState, usize> {
        let mut counts = BTreeMap::new();
        for state in self.states.values() {
            *counts.entry(*state).or_default() += 1;
        }
        counts
    }

    /// The most calls begun in any second.
    fn most_in_a_second(&self) -> usize {
        let second = SignedDuration::from_secs(1);
        let begun: Vec<Timestamp> = self.dialled.iter().map(|(at, _)| *at).collect();
        let within = |from: &Timestamp| {
            begun.iter().filter(|at| *at >= from && at.duration_since(*from) < second).count()
        };
        begun.iter().map(within).max().unwrap_or_default()
    }
}

fn answers() -> Script {
    Box::new(|_, _| (30_000, Ok(Outcome::Completed)))
}

#[test]
fn one_after_another_is_strictly_that() {
    let mut people: Vec<Recipient> = (1..=5).map(recipient).collect();
    people[3].priority = 9;
    let mut play = Play::new(limits(1, 100.0), rules(), &people, answers());
    play.run();
    assert_eq!(play.order(), [4, 1, 2, 3, 5], "the higher priority, then the upload's order");
    let begun: Vec<i64> = play.dialled.iter().map(|(at, _)| at.as_second()).collect();
    assert_eq!(begun, [0, 30, 60, 90, 120]);
    assert!(play.is_complete);
}

#[test]
fn a_day_of_calling_ends_with_everybody_called() {
    let people: Vec<Recipient> = (1..=20_000).map(recipient).collect();
    let mut play = Play::new(limits(50, 2.0), rules(), &people, answers());
    play.run();
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Completed, 20_000)]));
    assert!(play.now.as_second() > 2 * 3_600, "two a second");
}

#[test]
fn the_busy_are_dialled_again_and_those_who_answer_are_not() {
    let people: Vec<Recipient> = (1..=3).map(recipient).collect();
    let script: Script = Box::new(|seq, attempt| match (seq, attempt) {
        (1, _) => (1_000, Ok(Outcome::Completed)),
        (2, 1) => (1_000, Ok(Outcome::Busy)),
        (2, _) => (1_000, Ok(Outcome::Completed)),
        (_, _) => (1_000, Ok(Outcome::NoAnswer)),
    });
    let rules = Rules { retries: retry(3), ..rules() };
    let mut play = Play::new(limits(1, 10.0), rules, &people, script);
    play.run();
    assert_eq!(play.order(), [1, 2, 3, 2, 3, 3]);
    let expected = BTreeMap::from([(RecipientState::Completed, 2), (RecipientState::NoAnswer, 1)]);
    assert_eq!(play.counts(), expected);
}

#[test]
fn what_may_have_been_placed_is_never_dialled_again() {
    let lost = Outcome::Failed(EndReason::DialOutcomeUnknown);
    let script: Script = Box::new(move |_, _| (1_000, Ok(lost.clone())));
    let rules = Rules { retries: retry(5), ..rules() };
    let mut play = Play::new(limits(1, 10.0), rules, &[recipient(1)], script);
    play.run();
    assert_eq!((play.order(), play.is_complete), (vec![1], true));
}

#[test]
fn a_retry_that_would_come_too_late_is_none() {
    let script: Script = Box::new(|_, _| (1_000, Ok(Outcome::Busy)));
    let rules = Rules { retries: retry(9), expires_at: Some(at(200_000)), ..rules() };
    let mut play = Play::new(limits(1, 10.0), rules, &[recipient(1)], script);
    play.run();
    assert_eq!(play.order().len(), 3, "at 0, 61 and 182 seconds; not at 423");
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Busy, 1)]));
}

#[test]
fn whose_time_is_over_expires() {
    let people: Vec<Recipient> = (1..=10).map(recipient).collect();
    let rules = Rules { expires_at: Some(at(65_000)), ..rules() };
    let mut play = Play::new(limits(1, 10.0), rules, &people, answers());
    play.run();
    let expected = BTreeMap::from([(RecipientState::Completed, 3), (RecipientState::Expired, 7)]);
    assert_eq!(play.counts(), expected);
}

#[test]
fn closed_groups_wait_for_their_hour_and_the_others_do_not_wait_for_them() {
    let mut people: Vec<Recipient> = (1..=4).map(recipient).collect();
    people[0].group = ZoneGroup(31); // closed at 0, opens after 29 minutes
    people[1].group = ZoneGroup(u16::MAX); // never
    let mut play = Play::new(limits(1, 10.0), rules(), &people, answers());
    play.run();
    assert_eq!(play.order(), [3, 4, 1]);
    assert_eq!(play.dialled[2].0.as_second(), 29 * 60);
    let expected = BTreeMap::from([(RecipientState::Completed, 3), (RecipientState::Expired, 1)]);
    assert_eq!(play.counts(), expected);
}

#[test]
fn a_busy_vendor_is_left_alone_and_costs_no_attempt() {
    let mut refusals = 0;
    let script: Script = Box::new(move |_, _| {
        refusals += 1;
        let retry_after = Some(Duration::from_secs(30));
        let busy = Refusal::NotNow { cause: "429".to_owned(), retry_after };
        if refusals == 1 { (0, Err(busy)) } else { (1_000, Ok(Outcome::Completed)) }
    });
    let mut play = Play::new(limits(1, 10.0), rules(), &[recipient(1), recipient(2)], script);
    play.run();
    assert_eq!(play.order(), [1, 1, 2]);
    assert_eq!(play.dialled[1].0, at(30_000), "as it said");
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Completed, 2)]));
}

#[test]
fn a_vendor_that_stays_away_pauses_the_campaign_with_nobody_lost() {
    let away = Refusal::NotNow { cause: "HTTP 503".to_owned(), retry_after: None };
    let script: Script = Box::new(move |_, _| (10, Err(away.clone())));
    let people: Vec<Recipient> = (1..=100).map(recipient).collect();
    let mut play = Play::new(limits(20, 20.0), rules(), &people, script);
    play.run();
    assert_eq!(play.causes, ["HTTP 503"]);
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Waiting, 100)]));
}

#[test]
fn a_hopeless_cause_stops_everything_at_once() {
    let wrong_key = Refusal::Hopeless { cause: "code 20003".to_owned() };
    let script: Script = Box::new(move |_, _| (10, Err(wrong_key.clone())));
    let people: Vec<Recipient> = (1..=100).map(recipient).collect();
    let mut play = Play::new(limits(1, 20.0), rules(), &people, script);
    play.run();
    assert_eq!((play.order(), play.causes.len()), (vec![1], 1));
    play.script = answers();
    play.tell(Input::Resume);
    play.run();
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Completed, 100)]));

    let fail = Rules { on_break: OnBreak::Fail, ..rules() };
    let wrong_key = Refusal::Hopeless { cause: "code 20003".to_owned() };
    let script: Script = Box::new(move |_, _| (10, Err(wrong_key.clone())));
    let mut play = Play::new(limits(1, 20.0), fail, &people, script);
    play.run();
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Failed, 100)]));
    assert!(play.is_complete, "somebody waits for the answer");
}

#[test]
fn calls_that_keep_failing_for_one_cause_pause_the_campaign() {
    let failed = Outcome::Failed(EndReason::PhoneFailed);
    let script: Script = Box::new(move |_, _| (1_000, Ok(failed.clone())));
    let people: Vec<Recipient> = (1..=100).map(recipient).collect();
    let mut play = Play::new(limits(1, 20.0), rules(), &people, script);
    play.run();
    assert_eq!(play.order().len(), 10);
    assert!(play.causes[0].contains("phone_failed"), "{:?}", play.causes);
}

#[test]
fn a_pause_begins_nothing_and_loses_nothing() {
    let people: Vec<Recipient> = (1..=40).map(recipient).collect();
    let mut play = Play::new(limits(4, 2.0), rules(), &people, answers());
    play.tell(Input::Pause);
    play.run();
    assert_eq!(play.order(), [1, 2], "those that were begun go on to their end");
    play.tell(Input::Resume);
    play.run();
    assert_eq!(play.counts(), BTreeMap::from([(RecipientState::Completed, 40)]));
}

#[test]
fn a_canceled_campaign_ends_with_its_live_calls() {
    let people: Vec<Recipient> = (1..=40).map(recipient).collect();
    let mut play = Play::new(limits(4, 10.0), rules(), &people, answers());
    play.tell(Input::Cancel);
    play.tell(Input::Cancel);
    play.tell(Input::Resume);
    assert!(!play.is_complete, "four are talking");
    play.run();
    let expected = BTreeMap::from([(RecipientState::Completed, 4), (RecipientState::Skipped, 36)]);
    assert_eq!((play.counts(), play.is_complete), (expected, true));
}

#[test]
fn limits_change_while_it_runs() {
    let people: Vec<Recipient> = (1..=40).map(recipient).collect();
    let mut play = Play::new(limits(1, 10.0), rules(), &people, answers());
    play.limits = limits(5, 10.0);
    play.tell(Input::Limits(play.limits));
    assert_eq!(play.calls.len(), 5, "at once");
    play.run();
    assert!(play.is_complete);
}

#[test]
fn a_campaign_without_anybody_is_complete() {
    let play = Play::new(limits(1, 1.0), rules(), &[], answers());
    assert!(play.is_complete);
}

fn any_recipient() -> impl Strategy<Value = (i32, u16, Option<i64>)> {
    (
        -3_i32..3,
        prop_oneof![4 => Just(0_u16), 2 => 1_u16..60, 1 => Just(u16::MAX)],
        proptest::option::weighted(0.2, 0_i64..7_200),
    )
}

/// How one attempt goes, by a number that was drawn.
fn fate(draw: u8) -> Result<Outcome, Refusal> {
    match draw % 16 {
        0 => Ok(Outcome::Busy),
        1 => Ok(Outcome::NoAnswer),
        2 => Ok(Outcome::Failed(EndReason::PhoneFailed)),
        3 => Ok(Outcome::Machine),
        4 => Ok(Outcome::Canceled),
        5 => Err(Refusal::NotNow { cause: "busy".to_owned(), retry_after: None }),
        6 => Err(Refusal::NoRoom),
        7 => Err(Refusal::NotDialled),
        8 => Err(Refusal::NotThisOne(RecipientState::DoNotCall)),
        9 => Err(Refusal::Failed { cause: "its own".to_owned() }),
        10 => Ok(Outcome::Failed(EndReason::DialOutcomeUnknown)),
        _ => Ok(Outcome::Completed),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        people in proptest::collection::vec(any_recipient(), 1..150),
        concurrent in 1_u32..12,
        cps in prop_oneof![Just(0.5), Just(1.0), Just(1.5), Just(5.0), Just(20.0)],
        attempts in 1_u8..4,
        expires in proptest::option::of(600_i64..20_000),
        draws in proptest::collection::vec((any::<u8>(), 0_i64..90_000), 500),
        disturb in proptest::collection::vec((0_usize..400, 0_u8..3), 0..4),
    ) {
        let people: Vec<Recipient> = (1..).zip(people).map(|(seq, (priority, group, due))| {
            Recipient {
                seq,
                priority,
                group: ZoneGroup(group),
                attempts: 0,
                due: due.map(|s| at(s * 1_000)),
            }
        }).collect();
        let mut next = 0;
        let script: Script = Box::new(move |_, _| {
            next += 1;
            let (draw, lasts) = draws[next % draws.len()];
            (lasts, fate(draw))
        });
        let rules = Rules {
            retries: retry(attempts),
            expires_at: expires.map(|s| at(s * 1_000)),
            on_break: OnBreak::Pause,
        };
        let mut play = Play::new(limits(concurrent, cps), rules, &people, script);
        for (_, what) in disturb {
            play.tell(if what == 0 { Input::Pause } else { Input::Tick });
            play.tell(Input::Resume);
        }
        let mut looks = 0;
        while !play.is_complete {
            play.run();
            looks += 1;
            prop_assert!(looks < 500, "somebody looks after every pause, and yet it never ends");
            play.tell(Input::Resume);
        }
        for (seq, state) in &play.states {
            prop_assert!(state.is_final(), "{seq} is {state}");
        }
        let most = play.most_in_a_second();
        prop_assert!(most <= burst_of(cps), "{most} in a second at {cps}");
    }
}

/// How many calls a second may see.
fn burst_of(cps: f64) -> usize {
    (1..).find(|n| f64::from(*n) >= cps).and_then(|n| usize::try_from(n).ok()).expect("a rate")
}
