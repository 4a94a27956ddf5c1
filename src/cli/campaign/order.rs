//! What a campaign is to be, from what the command line says.
//!
//! Settings have rules, and the service knows them: here is checked only what a request cannot be
//! made without.

use actors::campaign::RecipientState;
use actors::ids::AgentId;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::{Map, Value, json};

use crate::cli::context::{self, ContextError};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Names are no longer than this; file names may be.
const NAME_CHARS: usize = 100;

/// The arguments that say how a campaign is to be.
pub(super) fn arguments() -> Vec<Arg> {
    let option = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    let number = |name, value, help| option(name, value, help).value_parser(value_parser!(u64));
    let switch = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let agent = |text: &str| text.parse::<AgentId>().map_err(|error| error.to_string());
    let retriable =
        PossibleValuesParser::new(RecipientState::RETRIABLE.map(RecipientState::as_str));
    let mut arguments = vec![
        option("agent", "ID", "Agent that speaks; without one, the company's own settings")
            .value_parser(agent),
        option("name", "TEXT", "What people call the campaign [default: the name of the file]"),
        number("max-concurrent", "N", "Calls at the same time, 1 to 1000 [default: 5]"),
        option("max-cps", "N", "Calls begun in a second, such as 0.5; never above the company's")
            .value_parser(value_parser!(f64)),
        number("max-attempts", "N", "How often a number is dialled at most [default: 1]"),
        option("retry-on", "OUTCOME,…", "Whom to dial again [default: busy,no-answer]")
            .value_delimiter(',')
            .value_parser(retriable)
            .requires("max-attempts"),
        number("backoff", "SECONDS", "How long before somebody is dialled again [default: 900]")
            .requires("max-attempts"),
        number("time-to-live", "SECONDS", "Nobody is dialled later than this after the beginning"),
        number("max-call", "SECONDS", "How long a call may last"),
        number("ring-timeout", "SECONDS", "How long a phone rings"),
        option("hours", "DAYS/FROM-TO", "When to call, as mon-fri/09:00-20:00; may be given often")
            .action(ArgAction::Append)
            .value_parser(window)
            .requires("timezone"),
        option("timezone", "ZONE", "Where those hours are, such as Europe/Berlin")
            .requires("hours"),
        switch("recipient-time", "Those hours are by the clock of whoever is called")
            .requires("hours"),
        option(
            "answering-machine",
            "ACTION",
            "What to do about one: hang-up, go-on, or leave-message=TEXT",
        )
        .value_parser(machine),
        option("message-by", "WHO", "Who leaves the message [default: agent]")
            .value_parser(["agent", "twilio"])
            .requires("answering-machine"),
    ];
    arguments.extend(context::arguments());
    arguments.push(switch("dry-run", "Checks everything, stores nothing and calls nobody"));
    arguments
}

/// The query of a request for a campaign; `file` is where its numbers come from.
pub(super) fn query(
    matches: &ArgMatches,
    file: &str,
) -> Result<Vec<(&'static str, String)>, ContextError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let agent = matches.get_one::<AgentId>("agent");
    let name = text("name").unwrap_or_else(|| name_of(file));
    let context = Some(context::read(matches)?).filter(|context| !context.is_empty());
    let query = [
        ("name", Some(name)),
        ("agent_id", agent.map(|id| id.as_str().to_owned())),
        ("max_concurrent_calls", number("max-concurrent").map(|n| n.to_string())),
        ("max_cps", matches.get_one::<f64>("max-cps").map(f64::to_string)),
        ("max_call_seconds", number("max-call").map(|n| n.to_string())),
        ("ring_timeout_seconds", number("ring-timeout").map(|n| n.to_string())),
        ("time_to_live_seconds", number("time-to-live").map(|n| n.to_string())),
        ("retries", retries(matches).map(|retries| retries.to_string())),
        ("hours", hours(matches).map(|hours| hours.to_string())),
        ("answering_machine", answering_machine(matches).map(|machine| machine.to_string())),
        ("template_context", context.map(|context| Value::from(context).to_string())),
        ("dry_run", matches.get_flag("dry-run").then(|| "true".to_owned())),
    ];
    Ok(query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The file's own name, without where it is and of what kind.
fn name_of(file: &str) -> String {
    let stem = match file {
        "-" => None,
        file => std::path::Path::new(file).file_stem(),
    };
    let name = stem.map_or("standard input".into(), |stem| stem.to_string_lossy());
    name.chars().take(NAME_CHARS).collect()
}

fn retries(matches: &ArgMatches) -> Option<Value> {
    let attempts = matches.get_one::<u64>("max-attempts")?;
    let mut retries = Map::from_iter([("max_attempts".to_owned(), json!(attempts))]);
    if let Some(outcomes) = matches.get_many::<String>("retry-on") {
        retries.insert("on".to_owned(), outcomes.cloned().collect());
    }
    if let Some(seconds) = matches.get_one::<u64>("backoff") {
        retries.insert("backoff_seconds".to_owned(), json!(seconds));
    }
    Some(retries.into())
}

fn hours(matches: &ArgMatches) -> Option<Value> {
    let windows: Vec<Value> = matches.get_many::<Value>("hours")?.cloned().collect();
    let zone = if matches.get_flag("recipient-time") { "recipient" } else { "campaign" };
    let timezone = matches.get_one::<String>("timezone");
    Some(json!({ "timezone": timezone, "zone": zone, "windows": windows }))
}

fn answering_machine(matches: &ArgMatches) -> Option<Value> {
    let mut machine = matches.get_one::<Map<String, Value>>("answering-machine")?.clone();
    if let Some(who) = matches.get_one::<String>("message-by") {
        machine.insert("spoken_by".to_owned(), json!(who));
    }
    Some(machine.into())
}

/// `mon-fri,sun/09:00-20:00`. A span of days may go over the end of the week.
fn window(text: &str) -> Result<Value, String> {
    let whole = || "it must be days, a slash and times, such as mon-fri/09:00-20:00".to_owned();
    let (spans, times) = text.split_once('/').ok_or_else(whole)?;
    let (from, to) = times.split_once('-').ok_or_else(whole)?;
    let mut days: Vec<&str> = Vec::new();
    for span in spans.split(',') {
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + DAYS.len() - first) % DAYS.len() + 1;
        days.extend(DAYS.iter().cycle().skip(first).take(length));
    }
    Ok(json!({ "days": days, "from": from, "to": to }))
}

fn day(name: &str) -> Result<usize, String> {
    let place = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    place.ok_or_else(|| format!("{name:?} is no day; days are {}", DAYS.join(", ")))
}

/// What is done about answering machines.
fn machine(text: &str) -> Result<Map<String, Value>, String> {
    let object = |fields: &[(&str, &str)]| {
        fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    };
    match (text, text.strip_prefix("leave-message=")) {
        ("hang-up", _) => Ok(object(&[("action", "hang_up")])),
        ("go-on", _) => Ok(object(&[("action", "go_on")])),
        (_, Some(message)) if !message.trim().is_empty() => {
            Ok(object(&[("action", "leave_message"), ("message", message)]))
        }
        _ => Err("it must be hang-up, go-on, or leave-message=TEXT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query_of(args: &[&str]) -> Result<Value, String> {
        let command = clap::Command::new("run").no_binary_name(true).args(arguments());
        let matches = command.try_get_matches_from(args).map_err(|error| error.to_string())?;
        let query = query(&matches, "lists/Spring 2026.csv").expect("no file is read");
        let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::from(text));
        Ok(query.into_iter().map(|(name, text)| (name.to_owned(), read(text))).collect())
    }

    #[test]
    fn what_is_not_said_is_left_to_the_service() {
        assert_eq!(query_of(&[]), Ok(json!({"name": "Spring 2026"})));
    }

    #[test]
    fn everything_that_is_said_is_asked_for() {
        let query = query_of(&[
            "--agent=agent_1",
            "--name=Reminders",
            "--max-concurrent=20",
            "--max-cps=0.5",
            "--max-attempts=3",
            "--retry-on=busy,failed",
            "--backoff=60",
            "--time-to-live=3600",
            "--max-call=120",
            "--ring-timeout=20",
            "--timezone=Europe/Berlin",
            "--hours=mon-wed/09:00-12:00",
            "--hours=sat/10:00-11:00",
            "--recipient-time",
            "--answering-machine=leave-message=Call us = now",
            "--message-by=twilio",
            "--context=shop=A=B",
            "--dry-run",
        ]);
        let expected = json!({
            "name": "Reminders", "agent_id": "agent_1", "max_concurrent_calls": 20,
            "max_cps": 0.5, "max_call_seconds": 120, "ring_timeout_seconds": 20,
            "time_to_live_seconds": 3600,
            "retries": {"max_attempts": 3, "on": ["busy", "failed"], "backoff_seconds": 60},
            "hours": {"timezone": "Europe/Berlin", "zone": "recipient", "windows": [
                {"days": ["mon", "tue", "wed"], "from": "09:00", "to": "12:00"},
                {"days": ["sat"], "from": "10:00", "to": "11:00"},
            ]},
            "answering_machine":
                {"action": "leave_message", "message": "Call us = now", "spoken_by": "twilio"},
            "template_context": {"shop": "A=B"}, "dry_run": true,
        });
        assert_eq!(query, Ok(expected));
    }

    #[test]
    fn days_are_single_ones_and_spans() {
        let days = |text: &str| window(text).map(|window| window["days"].clone());
        assert_eq!(days("fri-MON,wed/1-2"), Ok(json!(["fri", "sat", "sun", "mon", "wed"])));
        assert_eq!(days("mon-sun/1-2"), Ok(json!(DAYS)));
        assert!(days("monday/1-2").expect_err("is no day").contains("\"monday\""));
        for bad in ["", "mon", "mon/", "mon/09:00", "/09:00-10:00", "mon-/1-2"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_request_is_refused() {
        for (args, words) in [
            (&["--hours=mon/09:00-10:00"][..], "--timezone"),
            (&["--timezone=UTC"], "--hours"),
            (&["--retry-on=busy"], "--max-attempts"),
            (&["--max-attempts=2", "--retry-on=completed"], "no-answer"),
            (&["--agent=a/b"], "agent"),
            (&["--answering-machine=leave-message="], "leave-message=TEXT"),
            (&["--answering-machine=sing"], "hang-up"),
            (&["--max-concurrent=-1"], "-1"),
            (&["--max-cps=many"], "many"),
        ] {
            let said = query_of(args).expect_err("is refused");
            assert!(said.contains(words), "{args:?}: {said}");
        }
    }

    #[test]
    fn a_campaign_is_called_like_its_file() {
        assert_eq!(name_of("/tmp/a.b/numbers.tar.csv"), "numbers.tar");
        assert_eq!(name_of("-"), "standard input");
        assert_eq!(name_of(&format!("{}.csv", "ü".repeat(120))), "ü".repeat(NAME_CHARS));
    }
}
