//! From TOML to a [`Scenario`], with the bounds of every number.

use std::time::Duration;

use toml::{Table, Value};

use super::reader::{Reader, number_of};
use super::{
    AgentPlan, AgentSpeech, Expect, Level, Losses, MAX_RATE, PhonePlan, PhoneSpeech, Scenario,
    ScenarioError, Shape,
};

/// Calls a second at which calls are brought up when nobody says otherwise.
const USUAL_RATE: f64 = 50.0;
/// Calls at a time, at most.
pub(crate) const MAX_CALLS: u32 = 5_000;
/// Seconds measured, at most.
pub(crate) const MAX_SECONDS: u32 = 3_600;
/// Calls of one campaign at a time, and placed a second, that the service allows.
const CAMPAIGN_CALLS: u32 = 1_000;
const CAMPAIGN_RATE: u32 = 100;

/// Reads a scenario; `name` is what it is called in errors and reports.
pub(crate) fn parse(name: &str, toml: &str) -> Result<Scenario, ScenarioError> {
    let table: Table = toml.parse().map_err(|problem: toml::de::Error| ScenarioError::NotToml {
        name: name.to_owned(),
        problem: problem.to_string().trim_end().to_owned(),
    })?;
    let mut problems = Vec::new();
    let scenario = read(name, table, &mut problems);
    match problems.is_empty() {
        true => Ok(scenario),
        false => Err(ScenarioError::Wrong { name: name.to_owned(), problems }),
    }
}

fn read(name: &str, table: Table, problems: &mut Vec<String>) -> Scenario {
    let mut top = Reader::new("", table, problems);
    let about = top.text("about").unwrap_or_default();
    let [load, phone, agent, expect] = ["load", "phone", "agent", "expect"].map(|k| top.table(k));
    top.finish();

    let mut load = Reader::new("load.", load, problems);
    let calls = load.whole("calls", 1..=MAX_CALLS, 100);
    let seconds = load.whole("seconds", 1..=MAX_SECONDS, 30);
    let ramp = load.seconds("ramp_seconds", 0.0..=3_600.0, f64::from(calls) / USUAL_RATE);
    let shape = shape(&mut load, calls);
    load.finish();
    let phone = phone_plan(phone, problems);
    let agent = agent_plan(agent, problems);
    let expect = expectations(expect, problems);
    let interrupts = matches!(phone.speech, PhoneSpeech::Interrupts { .. });
    if interrupts != matches!(agent.speech, AgentSpeech::Talks { .. }) {
        problems.push(
            "phone.speech = \"interrupts\" and agent.speech = \"talks\" need each other".to_owned(),
        );
    }
    if interrupts && !matches!(shape, Shape::Hold { .. }) {
        problems.push("phone.speech = \"interrupts\" needs load.shape = \"hold\"".to_owned());
    }
    Scenario {
        name: name.to_owned(),
        about,
        calls,
        seconds: seconds.into(),
        ramp,
        shape,
        phone,
        agent,
        expect,
    }
}

fn shape(load: &mut Reader<'_>, calls: u32) -> Shape {
    let word = load.word("shape", &["hold", "churn", "campaign", "rest"]);
    if word == "hold" {
        return Shape::Hold { profile: profile(load) };
    }
    let call_length = load.seconds("call_seconds", 0.4..=3_600.0, 3.0);
    match word {
        "churn" => {
            if f64::from(calls) / call_length.as_secs_f64() > f64::from(MAX_RATE) {
                let most = f64::from(MAX_RATE) * call_length.as_secs_f64();
                load.wrong(
                    "calls",
                    format!(
                        "at most {most:.0} when calls last {} s: {MAX_RATE} calls a second are \
                         the most that are placed",
                        call_length.as_secs_f64()
                    ),
                );
            }
            Shape::Churn { call_length }
        }
        "campaign" => {
            if calls > CAMPAIGN_CALLS {
                load.wrong("calls", format!("at most {CAMPAIGN_CALLS} in a campaign"));
            }
            Shape::Campaign {
                call_length,
                recipients: load.whole("recipients", 1..=100_000, 0),
                calls_per_second: load.whole("calls_per_second", 1..=CAMPAIGN_RATE, 50),
            }
        }
        _ => Shape::Rest { call_length, rates: rates(load) },
    }
}

fn profile(load: &mut Reader<'_>) -> Vec<Level> {
    let flat = vec![Level { at: 0.0, calls: 100.0 }, Level { at: 100.0, calls: 100.0 }];
    let Some(value) = load.take("profile") else { return flat };
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([at, calls]) => Some(Level { at: number_of(at)?, calls: number_of(calls)? }),
        _ => None,
    };
    let levels = value.as_array().and_then(|pairs| pairs.iter().map(pair).collect());
    let levels: Vec<Level> = levels.unwrap_or_default();
    let percent = |number: f64| (0.0..=100.0).contains(&number);
    let in_range = levels.iter().all(|level| percent(level.at) && percent(level.calls));
    let in_order = levels.is_sorted_by(|one, next| one.at < next.at);
    let ends = levels.first().map(|level| level.at) == Some(0.0)
        && levels.last().map(|level| level.at) == Some(100.0);
    let reaches = levels.iter().any(|level| level.calls == 100.0);
    if levels.len() <= 50 && in_range && in_order && ends && reaches {
        return levels;
    }
    load.wrong(
        "profile",
        "at most 50 pairs [percent of the seconds, percent of the calls]: from 0 to 100 seconds, \
         each later than the one before, and 100 calls in one of them",
    );
    flat
}

fn rates(load: &mut Reader<'_>) -> Vec<u32> {
    let usual = vec![10, 25, 50, 100];
    let Some(value) = load.take("rates") else { return usual };
    let rate = |rate: &Value| {
        let rate = u32::try_from(rate.as_integer()?).ok()?;
        (1..=MAX_RATE).contains(&rate).then_some(rate)
    };
    let rates = value.as_array().and_then(|rates| rates.iter().map(rate).collect::<Option<_>>());
    match rates {
        Some(rates) if (1..=20).contains(&Vec::len(&rates)) => rates,
        _ => {
            load.wrong("rates", format!("1 to 20 whole numbers from 1 to {MAX_RATE}"));
            usual
        }
    }
}

fn phone_plan(table: Table, problems: &mut Vec<String>) -> PhonePlan {
    let mut phone = Reader::new("phone.", table, problems);
    let default = Duration::from_secs(1);
    let speech = match phone.word("speech", &["always", "pauses", "interrupts"]) {
        "pauses" => PhoneSpeech::Pauses {
            speaks: phone.milliseconds("speaks_ms", 20..=60_000).unwrap_or(default),
            pauses: phone.milliseconds("pauses_ms", 20..=60_000).unwrap_or(default),
        },
        "interrupts" => PhoneSpeech::Interrupts {
            after: phone.milliseconds("after_ms", 200..=30_000).unwrap_or(default),
            speaks: phone.milliseconds("speaks_ms", 200..=10_000).unwrap_or(default),
        },
        _ => PhoneSpeech::Always,
    };
    let plan = PhonePlan {
        speech,
        late_up_to: phone.milliseconds("late_up_to_ms", 0..=2_000).unwrap_or_default(),
        burst_frames: phone.whole("burst_frames", 0..=50, 0),
    };
    phone.finish();
    plan
}

fn agent_plan(table: Table, problems: &mut Vec<String>) -> AgentPlan {
    let mut agent = Reader::new("agent.", table, problems);
    let speech = match agent.word("speech", &["echo", "talks"]) {
        "talks" => AgentSpeech::Talks {
            turn: agent.milliseconds("turn_ms", 500..=60_000).unwrap_or(Duration::from_secs(10)),
            speed: agent.real("speed", 1.0..=20.0, 5.0),
        },
        _ => AgentSpeech::Echo,
    };
    let plan = AgentPlan {
        speech,
        rest_after_reading: agent.milliseconds("rest_after_reading_ms", 1..=1_000),
    };
    agent.finish();
    plan
}

fn expectations(table: Table, problems: &mut Vec<String>) -> Expect {
    let mut expect = Reader::new("expect.", table, problems);
    let mut losses = |key| match expect.word(key, &["fail", "count"]) {
        "count" => Losses::Count,
        _ => Losses::Fail,
    };
    let expected =
        Expect { lost_to_agent: losses("lost_to_agent"), lost_to_phone: losses("lost_to_phone") };
    expect.finish();
    expected
}
