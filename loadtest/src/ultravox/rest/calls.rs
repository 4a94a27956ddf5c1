//! Calls: creating, reading, steering and deleting them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Answer, Asked,
    lists::{MODELS, page},
};
use crate::ultravox::{
    agent::Command,
    call::CallState,
    record::{call_json, messages_json},
    rules, schema,
};

pub(super) fn create(asked: &Asked<'_>) -> Result<Answer, Answer> {
    known_parameters(asked, &["enableGreetingPrompt", "priorCallId", "throttle"])?;
    if let Some(value) = asked.parameter("enableGreetingPrompt")
        && !["true", "false"].contains(&value)
    {
        asked.refuse_if(vec![format!("enableGreetingPrompt must be a boolean, got {value}")])?;
    }
    let mut request = object_or_empty(asked);
    asked.refuse_if(schema::check_request("StartCallRequest", &request))?;
    let prior = match asked.parameter("priorCallId") {
        Some(id) => Some(
            asked
                .shared
                .call(id)
                .ok_or_else(|| Answer::new(400, json!({"priorCallId": ["no such call"]})))?,
        ),
        None => None,
    };
    asked.refuse_if(rules::check(&request, prior.is_some()))?;
    if let Some(prior) = &prior {
        request = inherit(&prior.request, request);
    }
    if let Some(model) = request["model"].as_str()
        && !is_model(model)
    {
        return Err(Answer::new(400, json!({"model": [format!("{model} is not available")]})));
    }
    begin(asked, request, prior.as_ref(), None)
}

/// Creates a call from a request that has passed every check.
pub(super) fn begin(
    asked: &Asked<'_>,
    request: Value,
    prior: Option<&Arc<CallState>>,
    agent: Option<(String, String)>,
) -> Result<Answer, Answer> {
    let allowed = asked.shared.options.concurrent_calls;
    if allowed.is_some_and(|allowed| asked.shared.active_calls() >= allowed) {
        let detail = "Concurrent call limit reached.";
        return Err(Answer::new(429, json!({ "detail": detail })));
    }
    let call = asked.shared.create_call(request, prior, agent);
    Ok(Answer::new(201, call_json(&call)))
}

pub(super) fn list(asked: &Asked<'_>) -> Result<Answer, Answer> {
    let mut calls: Vec<_> = {
        let state = asked.shared.state();
        let kept = state.calls.iter().filter(|call| state.by_id.contains_key(&call.id));
        kept.cloned().collect()
    };
    if asked.parameter("sort") != Some("created") {
        calls.reverse();
    }
    let wanted: Vec<(&str, &str)> = asked
        .query
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("metadata.")?, value.as_str())))
        .collect();
    let results = calls
        .iter()
        .map(|call| call_json(call))
        .filter(|call| wanted.iter().all(|(key, value)| call["metadata"][*key] == *value))
        .collect();
    page(asked, "/api/calls", results)
}

pub(super) fn read(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    Ok(Answer::new(200, call_json(&*find(asked, id)?)))
}

pub(super) fn delete(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    let call = find(asked, id)?;
    if call.log().end_reason.is_none() {
        return Err(Answer::new(425, json!({"detail": "The call has not ended."})));
    }
    let mut state = asked.shared.state();
    state.by_id.remove(id);
    Ok(Answer::new(204, Value::Null))
}

pub(super) fn messages(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    let call = find(asked, id)?;
    let with_history = asked.parameter("mode") != Some("in_call");
    page(asked, &format!("/api/calls/{id}/messages"), messages_json(&call, with_history))
}

pub(super) fn send_data_message(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    let call = find(asked, id)?;
    asked.refuse_if(schema::check_message(&asked.body))?;
    let kind = asked.body["type"].as_str().unwrap_or_default();
    if !["forced_agent_message", "hang_up", "user_text_message"].contains(&kind) {
        asked.refuse_if(vec![format!("{kind} cannot be sent with send_data_message")])?;
    }
    {
        let log = call.log();
        if log.joined.is_none() || log.end_reason.is_some() {
            return Err(Answer::new(422, json!({"detail": "The call is not active."})));
        }
    }
    // The call may end in this moment; then nobody is left to be told.
    let _ = call.commands.send(Command::Message(asked.body.clone()));
    Ok(Answer::new(204, Value::Null))
}

/// The call of this id that has not been deleted.
pub(super) fn find(asked: &Asked<'_>, id: &str) -> Result<Arc<CallState>, Answer> {
    asked.shared.call(id).ok_or_else(Answer::not_found)
}

/// A body that was left out counts as an empty object.
pub(super) fn object_or_empty(asked: &Asked<'_>) -> Value {
    if asked.body.is_null() { json!({}) } else { asked.body.clone() }
}

/// Refuses query parameters that are not documented for the route.
pub(super) fn known_parameters(asked: &Asked<'_>, known: &[&str]) -> Result<(), Answer> {
    let strangers = asked.query.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    asked.refuse_if(strangers.map(|(name, _)| format!("unknown parameter {name}")).collect())
}

/// `base` with the fields of `over` in their place.
pub(super) fn inherit(base: &Value, over: Value) -> Value {
    let mut merged = base.clone();
    for (name, value) in over.as_object().into_iter().flatten() {
        merged[name.as_str()] = value.clone();
    }
    // One way of saying who speaks first replaces the other.
    if let Some(fields) = merged.as_object_mut() {
        if over.get("firstSpeakerSettings").is_some() {
            fields.remove("firstSpeaker");
        }
        if over.get("firstSpeaker").is_some() {
            fields.remove("firstSpeakerSettings");
        }
    }
    merged
}

/// Current names, and the alias that older accounts use.
pub(super) fn is_model(name: &str) -> bool {
    MODELS.contains(&name)
        || name
            .strip_prefix("fixie-ai/")
            .is_some_and(|name| name.starts_with("ultravox") && !name.contains("qwen3"))
}
