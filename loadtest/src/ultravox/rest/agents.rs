//! Agents: templates for calls.

use serde_json::{Value, json};

use super::{
    Answer, Asked,
    calls::{begin, inherit, is_model, known_parameters, object_or_empty},
    lists::page,
};
use crate::ultravox::{
    record::call_json,
    rules::{self, fill_in, template_names},
    schema,
    shared::AgentRecord,
};

/// Parts of a template in which `{{names}}` are filled in.
const FILLED_IN: [&str; 3] = ["systemPrompt", "languageHint", "timeExceededMessage"];

pub(super) fn create(asked: &Asked<'_>) -> Result<Answer, Answer> {
    let body = checked(asked)?;
    let template = body.get("callTemplate").cloned().unwrap_or(json!({}));
    let record = AgentRecord {
        id: uuid::Uuid::new_v4().to_string(),
        name: body["name"].as_str().unwrap_or_default().to_owned(),
        created: jiff::Timestamp::now().to_string(),
        template,
        calls: 0,
    };
    if record.name.is_empty() {
        return Err(Answer::new(400, json!({"name": ["This field is required."]})));
    }
    let mut state = asked.shared.state();
    if state.agents.iter().any(|agent| agent.name == record.name) {
        return Err(Answer::new(400, json!({"name": ["An agent of this name exists."]})));
    }
    let created = agent_json(&record);
    state.agents.push(record);
    Ok(Answer::new(201, created))
}

pub(super) fn list(asked: &Asked<'_>) -> Result<Answer, Answer> {
    let wanted = asked.parameter("search").unwrap_or_default().to_lowercase();
    let agents = asked.shared.state().agents.clone();
    let found = agents.iter().filter(|agent| agent.name.to_lowercase().contains(&wanted));
    page(asked, "/api/agents", found.map(agent_json).collect())
}

pub(super) fn read(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    Ok(Answer::new(200, agent_json(&find(asked, id)?)))
}

pub(super) fn change(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    find(asked, id)?;
    let body = checked(asked)?;
    let mut state = asked.shared.state();
    let agent =
        state.agents.iter_mut().find(|agent| agent.id == id).ok_or_else(Answer::not_found)?;
    if let Some(name) = body["name"].as_str() {
        agent.name = name.to_owned();
    }
    if let Some(template) = body.get("callTemplate") {
        agent.template = template.clone();
    }
    Ok(Answer::new(200, agent_json(agent)))
}

pub(super) fn delete(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    find(asked, id)?;
    asked.shared.state().agents.retain(|agent| agent.id != id);
    Ok(Answer::new(204, Value::Null))
}

pub(super) fn calls(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    find(asked, id)?;
    let calls = asked.shared.state().calls.clone();
    let own =
        calls.iter().rev().filter(|call| call.agent.as_ref().is_some_and(|agent| agent.0 == id));
    page(asked, &format!("/api/agents/{id}/calls"), own.map(|call| call_json(call)).collect())
}

pub(super) fn call(asked: &Asked<'_>, id: &str) -> Result<Answer, Answer> {
    known_parameters(asked, &["throttle"])?;
    let agent = find(asked, id)?;
    let body = object_or_empty(asked);
    asked.refuse_if(schema::check_request("StartAgentCallRequest", &body))?;
    asked.refuse_if(rules::check(&body, false))?;
    let context = body.get("templateContext").cloned().unwrap_or(json!({}));
    check_context(&agent.template, &context)?;
    let mut request = inherit(&agent.template, body);
    for field in FILLED_IN {
        if let Some(text) = request[field].as_str() {
            request[field] = fill_in(text, &context).into();
        }
    }
    let answer = begin(asked, request, None, Some((agent.id, agent.name)))?;
    let mut state = asked.shared.state();
    for agent in state.agents.iter_mut().filter(|agent| agent.id == id) {
        agent.calls += 1;
    }
    Ok(answer)
}

/// A context must satisfy the agent's schema, or name everything that its template does.
fn check_context(template: &Value, context: &Value) -> Result<(), Answer> {
    let problems = match template.get("contextSchema") {
        Some(schema) => schema::check_against(schema, context),
        None => template_names(template)
            .into_iter()
            .filter(|name| context.get(name).is_none())
            .map(|name| format!("{name} is missing"))
            .collect(),
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(Answer::new(400, json!({"templateContext": problems})))
}

fn checked(asked: &Asked<'_>) -> Result<Value, Answer> {
    let body = object_or_empty(asked);
    asked.refuse_if(schema::check_request("AgentRequest", &body))?;
    let template = body.get("callTemplate").cloned().unwrap_or_default();
    asked.refuse_if(rules::check(&template, false))?;
    if let Some(model) = template["model"].as_str()
        && !is_model(model)
    {
        return Err(Answer::new(400, json!({"model": [format!("{model} is not available")]})));
    }
    Ok(body)
}

fn find(asked: &Asked<'_>, id: &str) -> Result<AgentRecord, Answer> {
    let state = asked.shared.state();
    state.agents.iter().find(|agent| agent.id == id).cloned().ok_or_else(Answer::not_found)
}

fn agent_json(agent: &AgentRecord) -> Value {
    json!({
        "agentId": agent.id,
        "publishedRevisionId": null,
        "name": agent.name,
        "created": agent.created,
        "callTemplate": agent.template,
        "statistics": {"calls": agent.calls},
    })
}
