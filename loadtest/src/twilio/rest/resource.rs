//! The call resource as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::twilio::account::Account;
use crate::twilio::call::{Call, Snapshot};
use crate::twilio::callbacks::rfc2822;
use crate::twilio::status::CallStatus;

/// The SID of one of an account's numbers.
pub(crate) fn number_sid(account: &Account, number: &str) -> Option<String> {
    let position = account.options.numbers.iter().position(|owned| owned == number)?;
    Some(format!("PN{:032x}", position + 1))
}

/// The answer to a create request: queued, and most of it null.
pub(crate) fn created(call: &Call, number_sid: Option<String>) -> Value {
    let nothing_yet = Snapshot {
        since: std::time::Instant::now(),
        status: CallStatus::Queued,
        date_created: None,
        start_time: None,
        end_time: None,
        answered_by: None,
        duration_s: None,
    };
    describe(call, number_sid, &nothing_yet)
}

/// The call as it is seen some time later.
pub(crate) fn seen(call: &Call, number_sid: Option<String>, delay: Duration) -> Value {
    let snapshot = call.state().seen(delay).clone();
    describe(call, number_sid, &snapshot)
}

fn describe(call: &Call, number_sid: Option<String>, snapshot: &Snapshot) -> Value {
    let uri = format!("/2010-04-01/Accounts/{}/Calls/{}", call.account_sid, call.sid);
    // Once it is dialled, what was null becomes an empty string.
    let dialled = snapshot.date_created.is_some();
    let empty = if dialled { json!("") } else { Value::Null };
    let duration = match snapshot.duration_s {
        Some(seconds) => json!(seconds.to_string()),
        None if dialled => json!("0"),
        None => Value::Null,
    };
    json!({
        "sid": call.sid,
        "account_sid": call.account_sid,
        "parent_call_sid": null,
        "from": call.from,
        "to": call.to,
        "from_formatted": formatted(&call.from),
        "to_formatted": formatted(&call.to),
        "phone_number_sid": number_sid,
        "status": snapshot.status.as_str(),
        "direction": call.direction.as_str(),
        "api_version": "2010-04-01",
        "date_created": snapshot.date_created.map(rfc2822),
        "date_updated": snapshot.date_created.map(|created| rfc2822(snapshot.end_time.or(snapshot.start_time).unwrap_or(created))),
        "start_time": snapshot.start_time.map(rfc2822),
        "end_time": snapshot.end_time.map(rfc2822),
        "duration": duration,
        "price": null,
        "price_unit": "USD",
        "answered_by": snapshot.answered_by,
        "annotation": null,
        "group_sid": null,
        "forwarded_from": null,
        "caller_name": empty.clone(),
        "trunk_sid": empty,
        "queue_time": call.queue_time.as_millis().to_string(),
        "uri": format!("{uri}.json"),
        "subresource_uris": {
            "notifications": format!("{uri}/Notifications.json"),
            "recordings": format!("{uri}/Recordings.json"),
            "payments": format!("{uri}/Payments.json"),
            "events": format!("{uri}/Events.json"),
            "siprec": format!("{uri}/Siprec.json"),
            "streams": format!("{uri}/Streams.json"),
            "transcriptions": format!("{uri}/Transcriptions.json"),
            "user_defined_message_subscriptions": format!("{uri}/UserDefinedMessageSubscriptions.json"),
            "user_defined_messages": format!("{uri}/UserDefinedMessages.json"),
        },
    })
}

fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(n) if n.len() == 10 && n.is_ascii() => {
            format!("({}) {}-{}", &n[..3], &n[3..6], &n[6..])
        }
        _ => number.to_owned(),
    }
}
