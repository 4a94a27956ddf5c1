//! Agents: a prompt, a voice and a language, kept here and at Ultravox alike.
//!
//! An agent is `active` here only while Ultravox has it as we show it. What Ultravox refuses
//! changes nothing; where nobody knows what Ultravox did, the agent says `error` until an update
//! has gone through.

mod schema;
mod template;
mod vendor;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::{AgentId, CompanyId};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::startup::Context;
use crate::store::{
    AgentConfig, AgentRow, AgentStatus, EventKind, NewAgent, NewEvent, UltravoxConfig,
};

use super::auth::Acting;
use super::body::JsonObject;
use super::detached;
use super::error::ApiError;
use super::fields::{Fields, Ruled};
use super::rules;

pub(crate) use schema::{
    AgentBody, AgentConfigBody, AgentUpdateBody, variables, word, word_or_null,
};
pub(crate) use template::{context_for_call, missing_variables};
pub(crate) use vendor::settle_all;

/// Makes an agent, here and at Ultravox.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents",
    request_body = AgentConfigBody,
    responses((status = 201, description = "The agent is ready for calls", body = AgentBody))
)]
pub(crate) async fn create(
    acting: Acting,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of(body.object);
    let config = config_of(&mut fields);
    fields.finish()?;
    let config = config.expect("no problem was found");
    let company = acting.0;
    let ultravox = ultravox_of(&context, company).await?;
    let id = AgentId::generate();
    // A client that goes away must not leave the agent half made.
    let made = detached::run(async move {
        let new = NewAgent { id: id.clone(), company, config, at: Timestamp::now() };
        context.store.insert_agent(&new).await?;
        vendor::create(&context, &ultravox, &new).await?;
        record(&context, company, EventKind::AgentCreated, &id).await;
        find(&context, company, &id).await
    });
    let row = made.await?;
    Ok(HttpResponse::Created().json(AgentBody::from(&row)))
}

/// All agents, oldest first.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000_000,
            description = "Maximum number of agents to return; all when it is absent"),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 1_000_000_000,
            description = "Number of agents to skip"),
    ),
    responses((status = 200, description = "The agents", body = [AgentBody]))
)]
pub(crate) async fn list(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Fields::of_query(request.query_string());
    let limit = query.optional("limit", |value| number(value, 1, 1_000_000));
    let offset = query.optional("offset", |value| number(value, 0, 1_000_000_000));
    query.finish()?;
    let rows = context.store.agents(acting.0, limit, offset.unwrap_or(0)).await?;
    let agents: Vec<AgentBody> = rows.iter().map(AgentBody::from).collect();
    Ok(HttpResponse::Ok().json(agents))
}

/// One agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{agent_id}", tag = "agents",
    params(schema::AgentIdParam),
    responses((status = 200, description = "The agent", body = AgentBody))
)]
pub(crate) async fn read(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&request, "agent_id")?;
    let row = find(&context, acting.0, &id).await?;
    Ok(HttpResponse::Ok().json(AgentBody::from(&row)))
}

/// Replaces an agent's configuration, here and at Ultravox. `status` may be given too: `inactive`
/// disables the agent for new calls, `active` enables it again.
#[utoipa::path(
    put, path = "/api/v1/agents/{agent_id}", tag = "agents",
    params(schema::AgentIdParam),
    request_body = AgentUpdateBody,
    responses((status = 200, description = "The agent as it is now", body = AgentBody))
)]
pub(crate) async fn update(
    acting: Acting,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&request, "agent_id")?;
    let mut fields = Fields::of(body.object);
    let status = fields.optional("status", wanted_status);
    let config = config_of(&mut fields);
    fields.finish()?;
    let config = config.expect("no problem was found");
    let company = acting.0;
    let row = find(&context, company, &id).await?;
    let ultravox = ultravox_of(&context, company).await?;
    let changed = detached::run(async move {
        let status = status.unwrap_or(match row.status {
            AgentStatus::Inactive => AgentStatus::Inactive,
            _ => AgentStatus::Active,
        });
        vendor::update(&context, &ultravox, &row, config, status).await?;
        record(&context, company, EventKind::AgentUpdated, &id).await;
        find(&context, company, &id).await
    });
    let row = changed.await?;
    Ok(HttpResponse::Ok().json(AgentBody::from(&row)))
}

/// Deletes an agent, here and at Ultravox. Calls that it is in go on.
#[utoipa::path(
    delete, path = "/api/v1/agents/{agent_id}", tag = "agents",
    params(schema::AgentIdParam),
    responses((status = 204, description = "There is no such agent any more"))
)]
pub(crate) async fn delete(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&request, "agent_id")?;
    let company = acting.0;
    let row = find(&context, company, &id).await?;
    let deleted = detached::run(async move {
        vendor::delete(&context, &row).await?;
        context.store.delete_agent(&id, Timestamp::now()).await?;
        record(&context, company, EventKind::AgentDeleted, &id).await;
        Ok(())
    });
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// An agent of this company's.
pub(crate) async fn find(
    context: &Context,
    company: CompanyId,
    id: &AgentId,
) -> Result<AgentRow, ApiError> {
    let row = context.store.agent(company, id).await?;
    row.ok_or_else(|| ApiError::not_found("agent_not_found", format!("There is no agent {id}")))
}

/// Ultravox's id of an agent that takes calls.
pub(crate) fn active(agent: &AgentRow) -> Result<&str, ApiError> {
    match (agent.status, &agent.ultravox_agent_id) {
        (AgentStatus::Active, Some(id)) => Ok(id),
        (status, _) => {
            let message = format!("Agent {} is {status}; only active agents take calls", agent.id);
            Err(ApiError::conflict("agent_not_active", message))
        }
    }
}

/// An id in the path, as the document says agents are called.
pub(crate) fn path_id(request: &HttpRequest, name: &'static str) -> Result<AgentId, ApiError> {
    let raw = request.match_info().get(name).unwrap_or_default();
    raw.parse().map_err(|_| {
        let why = "must have 1 to 100 letters, numbers, hyphens and underscores";
        ApiError::invalid_field("agent_id", why)
    })
}

/// How this company reaches Ultravox.
pub(crate) async fn ultravox_of(
    context: &Context,
    company: CompanyId,
) -> Result<UltravoxConfig, ApiError> {
    let config = context.store.ultravox_config(company).await?;
    config.ok_or_else(|| {
        let message = format!("Ultravox configuration not found: company {company} needs one");
        ApiError::conflict("ultravox_not_configured", message)
    })
}

fn config_of(fields: &mut Fields) -> Option<AgentConfig> {
    let name = fields.required("name", rules::agent_name);
    let prompt = fields.required("prompt", rules::prompt);
    let voice = fields.optional("voice", rules::voice);
    let language = fields.optional("language", rules::language);
    let variables = fields.optional("template_variables", rules::template_variables);
    Some(AgentConfig {
        name: name?,
        prompt: prompt?,
        voice: voice.unwrap_or_else(|| template::DEFAULT_VOICE.to_owned()),
        language: language.unwrap_or_else(|| template::DEFAULT_LANGUAGE.to_owned()),
        template_variables: variables.unwrap_or_default(),
    })
}

fn wanted_status(value: &Value) -> Ruled<AgentStatus> {
    match value.as_str() {
        Some("active") => Ok(AgentStatus::Active),
        Some("inactive") => Ok(AgentStatus::Inactive),
        _ => Err("must be 'active' or 'inactive'".to_owned()),
    }
}

fn number(value: &Value, min: i64, max: i64) -> Ruled<u32> {
    rules::whole_number(value, min, max).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// What is missing from the list of events is no reason to fail a request that was carried out.
async fn record(context: &Context, company: CompanyId, kind: EventKind, agent: &AgentId) {
    let new = NewEvent {
        company,
        at: Timestamp::now(),
        kind,
        agent: Some(agent.clone()),
        call: None,
        call_sid: None,
    };
    if let Err(error) = context.store.record_event(&new).await {
        tracing::warn!(%error, "an event of agent {agent} is not recorded");
    }
}

/// The variables a call may use, when it gives none of its own.
pub(crate) fn defaults(row: &AgentRow) -> Map<String, Value> {
    let variables = row.config.template_variables.iter();
    variables.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}
