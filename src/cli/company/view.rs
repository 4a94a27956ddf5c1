//! Companies for people at a terminal. Rows hold no secrets, so none can be shown.

use actors::ports::FirstSpeaker;

use crate::store::{CompanyRow, NumberRoute, TwilioView, UltravoxView};

use super::super::table::{fields, table};

/// What stands for a value that is not there.
const NONE: &str = "-";

pub(super) fn list(rows: &[CompanyRow]) -> String {
    let row = |row: &CompanyRow| {
        let twilio = row.twilio.as_ref();
        vec![
            row.id.to_string(),
            row.name.clone(),
            or_none(twilio.map(|twilio| twilio.account_sid.to_string())),
            or_none(twilio.map(|twilio| twilio.phone_number.as_str().to_owned())),
            row.numbers.len().to_string(),
            or_none(row.ultravox.as_ref().map(|ultravox| ultravox.voice.clone())),
        ]
    };
    let titles = ["ID", "NAME", "TWILIO ACCOUNT", "CALLS FROM", "NUMBERS", "ULTRAVOX VOICE"];
    table(&titles, &rows.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn one(row: &CompanyRow) -> String {
    let mut shown = vec![
        ("id", row.id.to_string()),
        ("name", row.name.clone()),
        ("created", row.created_at.to_string()),
        ("inbound agent", or_none(row.inbound_agent.as_ref().map(|id| id.as_str().to_owned()))),
        ("numbers", or_none(joined(row.numbers.iter().map(number)))),
    ];
    match &row.twilio {
        Some(twilio) => shown.extend(of_twilio(twilio)),
        None => shown.push(("twilio", "not configured".to_owned())),
    }
    match &row.ultravox {
        Some(ultravox) => shown.extend(of_ultravox(ultravox)),
        None => shown.push(("ultravox", "not configured".to_owned())),
    }
    fields(&shown)
}

fn of_twilio(view: &TwilioView) -> [(&'static str, String); 5] {
    let fallback = view.fallback_number.as_ref().map(|number| number.as_str().to_owned());
    let prefixes = view.allowed_prefixes.as_ref().map(|prefixes| prefixes.join(", "));
    [
        ("twilio account", view.account_sid.to_string()),
        ("calls from", view.phone_number.as_str().to_owned()),
        ("calls a second", view.max_cps.map_or("the service's".to_owned(), |cps| cps.to_string())),
        ("fallback number", or_none(fallback)),
        ("may call", prefixes.unwrap_or("every number".to_owned())),
    ]
}

fn of_ultravox(view: &UltravoxView) -> [(&'static str, String); 5] {
    let first = match view.firstspeaker {
        FirstSpeaker::User => "user",
        FirstSpeaker::Agent => "agent",
    };
    [
        ("ultravox", view.apiurl.clone().unwrap_or("the service's".to_owned())),
        ("model", view.model.clone()),
        ("voice", view.voice.clone()),
        ("first speaker", first.to_owned()),
        ("system prompt", view.system_prompt.clone()),
    ]
}

fn number(route: &NumberRoute) -> String {
    match &route.agent {
        Some(agent) => format!("{}={}", route.number.as_str(), agent.as_str()),
        None => route.number.as_str().to_owned(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}
