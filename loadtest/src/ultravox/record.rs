//! A call as the API writes it: every field there, most of them null.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{CallState, Said};

/// Fields that come back as they were asked for.
const ECHOED: [&str; 18] = [
    "firstSpeakerSettings",
    "inactivityMessages",
    "joinTimeout",
    "languageHint",
    "maxDuration",
    "medium",
    "model",
    "recordingEnabled",
    "systemPrompt",
    "temperature",
    "timeExceededMessage",
    "voice",
    "externalVoice",
    "voiceOverrides",
    "transcriptOptional",
    "vadSettings",
    "experimentalSettings",
    "callbacks",
];

/// The call as it is now.
pub(crate) fn call_json(call: &CallState) -> Value {
    let log = call.log();
    let request = &call.request;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let user_first = request["firstSpeaker"] == "FIRST_SPEAKER_USER"
        || request["firstSpeakerSettings"]["user"].is_object();
    // In units of six seconds, each begun one counted.
    let billed = log.joined.zip(log.ended).map(|(joined, ended)| {
        let seconds = ended.duration_since(joined).as_secs().max(0);
        (seconds / 6 + 1) * 6
    });
    let retention = match request["retentionPolicy"].as_str() {
        Some("CALL_RETENTION_POLICY_RETAIN") => json!("retain"),
        Some("CALL_RETENTION_POLICY_AUTO_DELETE") => json!("auto_delete"),
        _ => Value::Null,
    };
    let agent = call.agent.as_ref().map(|(id, name)| json!({"agentId": id, "name": name}));
    let mut fields: Map<String, Value> = Map::new();
    for (name, default) in [
        ("firstSpeakerSettings", json!({"agent": {}})),
        ("inactivityMessages", json!([])),
        ("joinTimeout", json!("30s")),
        ("maxDuration", json!("3600s")),
        ("model", json!("ultravox-v0.7")),
        ("recordingEnabled", json!(false)),
        ("temperature", json!(0.0)),
        ("transcriptOptional", json!(true)),
        ("medium", json!({"webRtc": {}})),
    ] {
        fields.insert(name.into(), default);
    }
    for name in ECHOED {
        let value = request.get(name).cloned();
        let kept = value.or_else(|| fields.remove(name)).unwrap_or(Value::Null);
        fields.insert(name.into(), kept);
    }
    let own = json!({
        "callId": call.id,
        "clientVersion": log.client_version,
        "created": call.created.to_string(),
        "joined": time(log.joined),
        "ended": time(log.ended),
        "endReason": log.end_reason.map(|reason| reason.as_str()),
        "billedDuration": billed.map(|seconds| format!("{seconds}s")),
        "billedSideInputTokens": null,
        "billedSideOutputTokens": null,
        "billingStatus": if billed.is_some() { "BILLING_STATUS_FREE_MINUTES" } else { "BILLING_STATUS_PENDING" },
        "firstSpeaker": if user_first { "FIRST_SPEAKER_USER" } else { "FIRST_SPEAKER_AGENT" },
        "initialOutputMedium":
            request.get("initialOutputMedium").cloned().unwrap_or(json!("MESSAGE_MEDIUM_VOICE")),
        "joinUrl": call.join_url,
        "retentionPolicy": retention,
        "shortSummary": null,
        "summary": null,
        "agent": agent,
        "agentId": call.agent.as_ref().map(|(id, _)| id),
        "metadata": request.get("metadata").cloned().unwrap_or(json!({})),
        "initialState": request.get("initialState").cloned().unwrap_or(json!({})),
        "requestContext": null,
        "dataConnectionConfig": request.get("dataConnection").cloned(),
        "sipDetails": null,
    });
    let Value::Object(own) = own else { unreachable!("an object was written") };
    fields.extend(own);
    Value::Object(fields)
}

/// Everything said on the call, as `GET …/messages` lists it.
pub(crate) fn messages_json(call: &CallState, with_history: bool) -> Vec<Value> {
    let history = call.history.iter().filter(|_| with_history).cloned();
    let log = call.log();
    let said = log.transcript.iter().map(message_json);
    let mut messages: Vec<Value> = history.chain(said).collect();
    for (n, message) in messages.iter_mut().enumerate() {
        message["callStageMessageIndex"] = json!(n);
    }
    messages
}

fn message_json(said: &Said) -> Value {
    let medium = if said.medium == "text" { "TEXT" } else { "VOICE" };
    json!({
        "role": if said.by_agent { "MESSAGE_ROLE_AGENT" } else { "MESSAGE_ROLE_USER" },
        "text": said.text,
        "medium": format!("MESSAGE_MEDIUM_{medium}"),
    })
}
