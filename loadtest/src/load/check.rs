//! Whether the service passed: a plain decision over what was observed.

use super::outcome::Interruptions;
use super::probe::FrameCounts;
use super::scenario::{Expect, Losses};

/// Descriptors that may stay open without being a leak: connections kept for the next request.
pub(crate) const KEPT_CONNECTIONS: u64 = 32;
/// Examples of one kind of failure that are told; the rest is counted.
const EXAMPLES: usize = 3;

/// What a test saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) calls_asked: u64,
    /// What initiate-call said instead of yes.
    pub(crate) refusals: Vec<String>,
    /// Calls whose phone got its stream.
    pub(crate) came_up: u64,
    /// Calls that the service ended, or lost; nobody but us is to end one.
    pub(crate) ended: u64,
    /// What was wrong with a campaign.
    pub(crate) campaign: Vec<String>,
    /// Where agents are talked over.
    pub(crate) interruptions: Option<Interruptions>,
    pub(crate) to_agent: FrameCounts,
    pub(crate) to_phone: FrameCounts,
    /// Calls, streams and sockets that the simulators still had some time after all hung up.
    pub(crate) left_at_twilio: u64,
    pub(crate) left_at_ultravox: u64,
    /// The same in the service's own words: calls and streams.
    pub(crate) left_in_service: f64,
    pub(crate) descriptors_idle: u64,
    pub(crate) descriptors_after: u64,
    /// What the simulators complain about.
    pub(crate) violations: Vec<String>,
    /// How the service stopped, unless it was as it should.
    pub(crate) bad_exit: Option<String>,
}

/// Everything that was wrong, in sentences. None: the service passed. What a scenario is about,
/// such as the frames that a slow agent cannot take, is no failure.
pub(crate) fn failures(seen: &Observed, expect: Expect) -> Vec<String> {
    let mut failures = seen.campaign.clone();
    let mut fail = |when: bool, what: String| {
        if when {
            failures.push(what);
        }
    };
    let asked = seen.calls_asked;
    let refused = seen.refusals.len();
    fail(refused > 0, format!("{refused} of {asked} calls failed: {}", examples(&seen.refusals)));
    let accepted = asked.saturating_sub(refused as u64);
    let up = seen.came_up;
    fail(up < accepted, format!("only {up} of {accepted} calls came up"));
    let ended = seen.ended;
    fail(ended > 0, format!("{ended} calls ended by themselves"));
    if let Some(Interruptions { asked, reached, .. }) = seen.interruptions {
        fail(asked == 0, "no agent was interrupted at all".to_owned());
        fail(reached < asked, format!("{} of {asked} interruptions were lost", asked - reached));
    }
    for (way, counts, losses) in [
        ("phone to agent", seen.to_agent, expect.lost_to_agent),
        ("agent to phone", seen.to_phone, expect.lost_to_phone),
    ] {
        let FrameCounts { sent, out_of_order, damaged, .. } = counts;
        let lost = counts.lost();
        fail(sent == 0, format!("{way}: no frame was sent at all"));
        let counts_only = losses == Losses::Count;
        fail(lost > 0 && !counts_only, format!("{way}: {lost} of {sent} frames were lost"));
        fail(out_of_order > 0, format!("{way}: {out_of_order} frames were out of order"));
        fail(damaged > 0, format!("{way}: {damaged} frames were damaged or went astray"));
    }
    for (left, place) in
        [(seen.left_at_twilio, "at Twilio"), (seen.left_at_ultravox, "at Ultravox")]
    {
        fail(left > 0, format!("{left} calls or sockets were left {place}"));
    }
    let left = seen.left_in_service;
    fail(left != 0.0, format!("the service still counts {left} calls and streams"));
    let leaked = seen.descriptors_after.saturating_sub(seen.descriptors_idle);
    fail(leaked > KEPT_CONNECTIONS, format!("{leaked} descriptors were left open"));
    let complaints = seen.violations.len();
    fail(complaints > 0, format!("{complaints} rules broken: {}", examples(&seen.violations)));
    failures.extend(seen.bad_exit.clone());
    failures
}

fn examples(all: &[String]) -> String {
    let mut distinct: Vec<&str> = all.iter().map(String::as_str).collect();
    distinct.dedup();
    let mut text = distinct.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join("; ");
    if distinct.len() > EXAMPLES {
        text.push_str("; …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Observed {
        let frames = FrameCounts { sent: 50, in_order: 50, ..FrameCounts::default() };
        Observed {
            calls_asked: 2,
            came_up: 2,
            to_agent: frames,
            to_phone: frames,
            descriptors_idle: 20,
            descriptors_after: 25,
            ..Observed::default()
        }
    }

    const STRICT: Expect = Expect { lost_to_agent: Losses::Fail, lost_to_phone: Losses::Fail };

    #[test]
    fn nothing_wrong_is_nothing_said() {
        assert_eq!(failures(&good(), STRICT), Vec::<String>::new());
    }

    #[test]
    fn silence_put_in_by_the_service_is_no_failure() {
        let mut seen = good();
        seen.to_agent.unmarked = 7;
        assert!(failures(&seen, STRICT).is_empty());
    }

    #[test]
    fn what_a_scenario_is_about_is_no_failure() {
        let mut seen = good();
        seen.to_agent.in_order = 30;
        assert_eq!(failures(&seen, STRICT), ["phone to agent: 20 of 50 frames were lost"]);
        assert!(failures(&seen, Expect { lost_to_agent: Losses::Count, ..STRICT }).is_empty());
    }

    #[test]
    fn an_interruption_that_did_not_reach_the_phone_is_a_failure() {
        let of = |asked, reached| {
            let found = Interruptions { asked, reached, ..Interruptions::default() };
            failures(&Observed { interruptions: Some(found), ..good() }, STRICT)
        };
        assert_eq!(of(5, 5), Vec::<String>::new());
        assert_eq!(of(5, 3), ["2 of 5 interruptions were lost"]);
        assert_eq!(of(0, 0), ["no agent was interrupted at all"]);
    }

    #[test]
    fn each_thing_that_is_wrong_is_said() {
        let mut bad = good();
        bad.calls_asked = 5;
        bad.refusals = vec!["503 full".into()];
        bad.came_up = 3;
        bad.ended = 1;
        bad.campaign = vec!["the campaign was refused: 503".into()];
        bad.to_agent =
            FrameCounts { sent: 9, in_order: 7, out_of_order: 1, damaged: 1, unmarked: 0 };
        bad.to_phone = FrameCounts::default();
        bad.left_at_twilio = 1;
        bad.left_at_ultravox = 2;
        bad.left_in_service = 3.0;
        bad.descriptors_after = 80;
        bad.violations = ["a", "a", "b", "c", "d"].map(String::from).to_vec();
        bad.bad_exit = Some("the service ended with 1".into());
        assert_eq!(
            failures(&bad, STRICT),
            [
                "the campaign was refused: 503",
                "1 of 5 calls failed: 503 full",
                "only 3 of 4 calls came up",
                "1 calls ended by themselves",
                "phone to agent: 2 of 9 frames were lost",
                "phone to agent: 1 frames were out of order",
                "phone to agent: 1 frames were damaged or went astray",
                "agent to phone: no frame was sent at all",
                "1 calls or sockets were left at Twilio",
                "2 calls or sockets were left at Ultravox",
                "the service still counts 3 calls and streams",
                "60 descriptors were left open",
                "5 rules broken: a; b; c; …",
                "the service ended with 1",
            ]
        );
    }
}
