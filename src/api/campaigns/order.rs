//! What a request asks of a campaign, with its rules.
//!
//! A campaign runs for hours with nobody looking, so a typing mistake must not go unseen: unknown
//! fields are refused.

use actors::campaign::RecipientState;
use actors::campaign::hours::CallingHours;
use actors::ids::AgentId;
use actors::machine::{DetectionMode, MachineDetection, Message, OnMachine};
use serde_json::{Map, Value};

use crate::api::fields::{Fields, Ruled};
use crate::api::rules;
use crate::campaigns::{CampaignSettings, Origin, Retries};

/// Calls at the same time, when nobody says.
pub(super) const DEFAULT_CONCURRENT: u32 = 5;
/// Calls at the same time that one campaign may have.
const MAX_CONCURRENT: i64 = 1_000;
const NAME_CHARS: usize = 100;
/// What a machine is told.
const MESSAGE_CHARS: usize = 1_000;

/// A campaign that is asked for, without its recipients.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) name: String,
    pub(super) agent: Option<AgentId>,
    pub(super) settings: CampaignSettings,
    pub(super) dry_run: bool,
}

/// Reads an order; problems are told by the fields. `max_call_seconds` is the service's limit.
pub(super) fn order(fields: &mut Fields, max_call_seconds: u64) -> Option<Order> {
    let name = fields.required("name", name);
    let agent = fields.optional("agent_id", rules::agent_id);
    let concurrent = fields.optional("max_concurrent_calls", max_concurrent_calls);
    let max_cps = fields.optional("max_cps", max_cps);
    let longest = i64::try_from(max_call_seconds).unwrap_or(i64::MAX);
    let max_call =
        fields.optional("max_call_seconds", |value| seconds(value, 60.min(longest), longest));
    let ring = fields.optional("ring_timeout_seconds", |value| seconds(value, 5, 600));
    let retries = retries(fields);
    let life = fields.optional("time_to_live_seconds", |value| seconds(value, 60, 30 * 86_400));
    let hours = hours(fields).flatten();
    let answering_machine = answering_machine(fields);
    let template_context = fields.optional("template_context", rules::template_context);
    let dry_run = fields.optional("dry_run", yes_or_no);
    Some(Order {
        name: name?,
        agent,
        settings: CampaignSettings {
            origin: Origin::Campaign,
            max_concurrent_calls: concurrent.unwrap_or(DEFAULT_CONCURRENT),
            max_cps,
            max_call_seconds: max_call,
            ring_timeout_seconds: ring,
            retries: retries.unwrap_or_default(),
            time_to_live_seconds: life.map(u64::from),
            hours,
            answering_machine,
            template_context: template_context.unwrap_or_default(),
            twiml_url: None,
        },
        dry_run: dry_run.unwrap_or_default(),
    })
}

/// What may change while a campaign runs; what is absent stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Changes {
    pub(super) name: Option<String>,
    max_concurrent_calls: Option<u32>,
    max_cps: Option<Option<f64>>,
    hours: Option<Option<CallingHours>>,
    retries: Option<Retries>,
}

impl Changes {
    pub(super) fn read(fields: &mut Fields) -> Self {
        Changes {
            name: fields.optional("name", name),
            max_concurrent_calls: fields.optional("max_concurrent_calls", max_concurrent_calls),
            max_cps: fields.clearable("max_cps", max_cps),
            hours: hours(fields),
            retries: retries(fields),
        }
    }

    pub(super) fn apply(&self, settings: &mut CampaignSettings) {
        if let Some(calls) = self.max_concurrent_calls {
            settings.max_concurrent_calls = calls;
        }
        if let Some(max_cps) = self.max_cps {
            settings.max_cps = max_cps;
        }
        if let Some(hours) = &self.hours {
            settings.hours.clone_from(hours);
        }
        if let Some(retries) = &self.retries {
            settings.retries = retries.clone();
        }
    }
}

pub(super) fn name(value: &Value) -> Ruled<String> {
    let name = rules::text(value, 1, NAME_CHARS)?;
    match name.trim().is_empty() || name.chars().any(char::is_control) {
        true => Err("must be a line of text, and not only spaces".to_owned()),
        false => Ok(name),
    }
}

fn max_concurrent_calls(value: &Value) -> Ruled<u32> {
    rules::whole_number(value, 1, MAX_CONCURRENT).map(small)
}

fn max_cps(value: &Value) -> Ruled<f64> {
    number(value, 0.01, 100.0)
}

fn seconds(value: &Value, min: i64, max: i64) -> Ruled<u32> {
    rules::whole_number(value, min, max).map(small)
}

/// A number, in JSON or in a query.
fn number(value: &Value, min: f64, max: f64) -> Ruled<f64> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let number = number.filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("must be a number from {min} to {max}"))
}

fn yes_or_no(value: &Value) -> Ruled<bool> {
    match (value.as_bool(), value.as_str()) {
        (Some(said), _) => Ok(said),
        (_, Some("true")) => Ok(true),
        (_, Some("false")) => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn retries(outer: &mut Fields) -> Option<Retries> {
    let mut fields = outer.object("retries", "retries.")?;
    let default = Retries::default();
    let attempts = fields.optional("max_attempts", |value| rules::whole_number(value, 1, 10));
    let on = fields.optional("on", |value| states(value, &RecipientState::RETRIABLE));
    let backoff = fields.optional("backoff_seconds", |value| seconds(value, 0, 7 * 86_400));
    let factor = fields.optional("backoff_factor", |value| number(value, 1.0, 10.0));
    fields.refuse_unknown();
    outer.absorb(fields);
    Some(Retries {
        max_attempts: attempts.map_or(default.max_attempts, |n| u8::try_from(n).unwrap_or(u8::MAX)),
        on: on.unwrap_or(default.on),
        backoff_seconds: backoff.map_or(default.backoff_seconds, u64::from),
        backoff_factor: factor.unwrap_or(default.backoff_factor),
    })
}

/// Some of these states, each once.
pub(super) fn states(value: &Value, known: &[RecipientState]) -> Ruled<Vec<RecipientState>> {
    let given = value.as_array().ok_or("must be a list")?;
    let mut states = Vec::new();
    for word in given {
        let found = known.iter().find(|state| word.as_str() == Some(state.as_str()));
        let Some(state) = found else {
            let words: Vec<&str> = known.iter().map(|state| state.as_str()).collect();
            return Err(format!("must be a list of {}", words.join(", ")));
        };
        if !states.contains(state) {
            states.push(*state);
        }
    }
    Ok(states)
}

/// `Some(None)` is null: at any time.
fn hours(fields: &mut Fields) -> Option<Option<CallingHours>> {
    let given = fields.clearable("hours", |value| Ok(value.clone()))?;
    let Some(given) = given else { return Some(None) };
    match CallingHours::read(&given) {
        Ok(hours) => Some(Some(hours)),
        Err(invalid) => {
            for (field, why) in invalid.problems("hours") {
                fields.problem(&field, why.to_owned());
            }
            None
        }
    }
}

/// What is done about machines, as clients write it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    HangUp,
    LeaveMessage,
    GoOn,
}

fn answering_machine(outer: &mut Fields) -> Option<MachineDetection> {
    let mut fields = outer.object("answering_machine", "answering_machine.")?;
    let action = fields.required("action", |value| match value.as_str() {
        Some("hang_up") => Ok(Action::HangUp),
        Some("leave_message") => Ok(Action::LeaveMessage),
        Some("go_on") => Ok(Action::GoOn),
        _ => Err("must be 'hang_up', 'leave_message' or 'go_on'".to_owned()),
    });
    let message = fields.optional("message", |value| rules::text(value, 1, MESSAGE_CHARS));
    let is_fixed = fields.optional("spoken_by", |value| match value.as_str() {
        Some("agent") => Ok(false),
        Some("twilio") => Ok(true),
        _ => Err("must be 'agent' or 'twilio'".to_owned()),
    });
    fields.refuse_unknown();
    let on_machine = match (action, message, is_fixed) {
        (Some(Action::LeaveMessage), Some(words), by) => Some(OnMachine::LeaveMessage(match by {
            Some(true) => Message::Fixed(words),
            _ => Message::ToldAgent(words),
        })),
        (Some(Action::LeaveMessage), None, _) => {
            fields.problem_unless_told("message", "is required to leave a message");
            None
        }
        (Some(Action::HangUp), None, None) => Some(OnMachine::HangUp),
        (Some(Action::GoOn), None, None) => Some(OnMachine::GoOn),
        (Some(_), message, _) => {
            let name = if message.is_some() { "message" } else { "spoken_by" };
            fields.problem(name, "is only for the action 'leave_message'".to_owned());
            None
        }
        (None, ..) => None,
    };
    outer.absorb(fields);
    let on_machine = on_machine?;
    // A message has to wait for the end of the greeting; everything else should be quick.
    let mode = match on_machine {
        OnMachine::LeaveMessage(_) => DetectionMode::DetectMessageEnd,
        OnMachine::HangUp | OnMachine::GoOn => DetectionMode::Enable,
    };
    Some(MachineDetection { mode, on_machine })
}

/// As [`answering_machine`] reads it.
pub(super) fn written(detection: &MachineDetection) -> Value {
    let object = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        Value::from(Map::from_iter(fields))
    };
    match &detection.on_machine {
        OnMachine::HangUp => object(&[("action", "hang_up")]),
        OnMachine::GoOn => object(&[("action", "go_on")]),
        OnMachine::LeaveMessage(message) => {
            let (words, by) = match message {
                Message::ToldAgent(words) => (words, "agent"),
                Message::Fixed(words) => (words, "twilio"),
            };
            object(&[("action", "leave_message"), ("message", words), ("spoken_by", by)])
        }
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(given: Value) -> Result<Order, String> {
        let mut fields = Fields::of(given.as_object().expect("an object").clone());
        let order = order(&mut fields, 3_600);
        fields.refuse_unknown();
        fields.finish().map_err(|error| error.to_string())?;
        Ok(order.expect("no problem was found"))
    }

    #[test]
    fn a_name_is_all_that_is_needed() {
        let order = read(json!({"name": "Reminders"})).expect("good");
        assert_eq!(order.settings.max_concurrent_calls, 5);
        assert_eq!(order.settings.retries, Retries::default());
        assert_eq!((order.agent, order.dry_run, order.settings.hours), (None, false, None));
    }

    #[test]
    fn whatever_is_wrong_is_said_at_once() {
        let said = read(json!({
            "name": " ", "max_concurrent_calls": 0, "max_cps": -1, "max_call_seconds": 3_601,
            "ring_timeout_seconds": 4, "time_to_live_seconds": 1e12, "dry_run": "maybe",
            "retries": {"max_attempts": 11, "on": ["completed"], "backoff_factor": 0, "x": 1},
            "hours": {"timezone": "Mars/Olympus", "windows": []},
            "answering_machine": {"action": "leave_message", "spoken_by": "a robot"},
            "max_cpss": 5,
        }));
        let said = said.expect_err("nearly all of it");
        for problem in [
            "name must be a line of text",
            "max_concurrent_calls must be a whole number from 1 to 1000",
            "max_cps must be a number from 0.01 to 100",
            "max_call_seconds must be a whole number from 60 to 3600",
            "ring_timeout_seconds must be a whole number from 5 to 600",
            "time_to_live_seconds must be a whole number from 60 to 2592000",
            "dry_run must be true or false",
            "retries.max_attempts must be a whole number from 1 to 10",
            "retries.on must be a list of busy, no-answer, failed, canceled, machine",
            "retries.backoff_factor must be a number from 1 to 10",
            "retries.x is not known here",
            "hours.timezone must be the name of a time zone",
            "hours.windows must have at least one window",
            "answering_machine.message is required",
            "answering_machine.spoken_by must be 'agent' or 'twilio'",
            "max_cpss is not known here",
        ] {
            assert!(said.contains(problem), "no {problem:?} in {said}");
        }
    }

    #[test]
    fn machines_are_written_as_they_were_read() {
        for given in [
            json!({"action": "hang_up"}),
            json!({"action": "go_on"}),
            json!({"action": "leave_message", "message": "Call us.", "spoken_by": "agent"}),
            json!({"action": "leave_message", "message": "Call us.", "spoken_by": "twilio"}),
        ] {
            let order = read(json!({"name": "x", "answering_machine": given})).expect("good");
            assert_eq!(written(&order.settings.answering_machine.expect("given")), given);
        }
        let idle = json!({"action": "hang_up", "message": "Call us."});
        let said = read(json!({"name": "x", "answering_machine": idle})).expect_err("pointless");
        assert!(said.starts_with("answering_machine.message is only for"), "{said}");
    }

    #[test]
    fn settings_of_a_query_are_read_like_those_of_a_body() {
        let query = "name=Ann&max_cps=0.5&max_concurrent_calls=3&dry_run=true&hours=%7B%22\
            timezone%22:%22UTC%22,%22windows%22:%5B%7B%22days%22:%5B%22mon%22%5D,%22from%22:\
            %2209:00%22,%22to%22:%2220:00%22%7D%5D%7D";
        let mut fields = Fields::of_query(query);
        fields.read_json(&["hours"]);
        let order = order(&mut fields, 3_600).expect("good");
        assert!(fields.finish().is_ok());
        assert_eq!((order.settings.max_cps, order.settings.max_concurrent_calls), (Some(0.5), 3));
        assert!(order.dry_run && order.settings.hours.is_some());
    }

    #[test]
    fn what_is_absent_stays_and_null_clears() {
        let mut settings = read(json!({"name": "x", "max_cps": 2})).expect("good").settings;
        let change = |settings: &mut CampaignSettings, changes: Value| {
            let mut fields = Fields::of(changes.as_object().expect("an object").clone());
            let changes = Changes::read(&mut fields);
            assert!(fields.finish().is_ok());
            changes.apply(settings);
        };
        change(&mut settings, json!({"max_concurrent_calls": 9}));
        assert_eq!((settings.max_concurrent_calls, settings.max_cps), (9, Some(2.0)));
        change(&mut settings, json!({"max_cps": null, "retries": {"max_attempts": 3}}));
        assert_eq!((settings.max_cps, settings.retries.max_attempts), (None, 3));
    }
}
