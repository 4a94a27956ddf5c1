//! Calls: dialled with an agent, listed, looked at, ended, spoken into.

mod filter;
mod schema;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::call::{CallEvent, CallStatus, EndReason};
use actors::call_session::EndCall;
use actors::ids::CallId;
use actors::ports::{AgentSource, Telephony as _, VendorError};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::startup::Context;
use crate::store::{AgentRow, CallCursor, CallRow};

use super::agents;
use super::auth::{Acting, Seeing};
use super::body::JsonObject;
use super::dial::{Dialled, Outbound, dial as place, may_call, twilio_of};
use super::error::ApiError;
use super::fields::{Fields, Ruled};
use super::idempotency::{IdempotencyKey, Wish, once};
use super::rules;
use super::time::whole_seconds;

pub(crate) use schema::{
    CallBody, CallIdParam, CallPage, CallRequestBody, DialledBody, MessageBody, TimelineBody,
    TranscriptBody, anything_by_name,
};
use schema::{EventBody, SaidBody};

/// How long a read waits for what is known of calls to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Starts a voice call using a specific agent. With an `Idempotency-Key` a repeated request does
/// not dial again: it gets the first one's answer.
#[utoipa::path(
    post, path = "/api/v1/calls/{id}", tag = "calls",
    params(
        ("id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,100}$",
            description = "Unique identifier for the agent to use"),
        super::idempotency::IdempotencyKeyParam,
    ),
    request_body = CallRequestBody,
    responses(
        (status = 201, description = "Twilio has accepted the call", body = DialledBody),
        (status = 403, description = "The number is on the do-not-call list",
            body = super::error::ErrorBody),
    )
)]
pub(crate) async fn dial(
    acting: Acting,
    key: IdempotencyKey,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id = agents::path_id(&request, "id")?;
    let mut fields = Fields::of(body.object.clone());
    let to = fields.required("phone_number", rules::phone_number);
    let given = fields.optional("template_context", rules::template_context);
    fields.optional("agent_id", |value| match rules::agent_id(value)? == id {
        true => Ok(()),
        false => Err(format!("must be the agent of the path, {id}")),
    });
    fields.finish()?;
    let to = to.expect("no problem was found");

    let company = acting.0;
    let agent = agents::find(&context, company, &id).await?;
    let source = source(&agent, given.unwrap_or_default())?;
    let ultravox = agents::ultravox_of(&context, company).await?;
    let twilio = twilio_of(&context, company).await?;
    may_call(&context, company, &to).await?;

    let wish = Wish { key, company, route: request.path().to_owned(), body: &body.object };
    let outbound = Outbound {
        company,
        to: to.clone(),
        twilio,
        ultravox: ultravox.account,
        source,
        agent: Some(id.clone()),
    };
    let here = context.clone();
    once(&context, wish, move |call| async move {
        let Dialled { call_sid, join_url, at } = place(&here, call, outbound).await?;
        Ok(HttpResponse::Created().json(DialledBody {
            call_sid: call_sid.as_str(),
            join_url: join_url.expose_secret(),
            status: CallStatus::Initiated.as_str(),
            created_at: whole_seconds(at),
            agent_id: id.as_str(),
            phone_number: to.as_str(),
        }))
    })
    .await
}

/// Calls, newest first. `next_cursor` of one page asks for the next.
#[utoipa::path(
    get, path = "/api/v1/calls", tag = "calls",
    params(filter::CallQuery),
    responses((status = 200, description = "A page of calls", body = CallPage))
)]
pub(crate) async fn list(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let asked = filter::parse(request.query_string(), acting.0)?;
    let mut rows =
        context.store.calls(&asked.filter, asked.cursor.as_ref(), asked.limit + 1).await?;
    let is_more = rows.len() > usize::try_from(asked.limit).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(asked.limit).unwrap_or(usize::MAX));
    let next_cursor = rows
        .last()
        .filter(|_| is_more)
        .map(|row| CallCursor { created_at: row.created_at, id: row.id }.to_string());
    let calls = rows.iter().map(CallBody::from).collect();
    Ok(HttpResponse::Ok().json(CallPage { calls, next_cursor }))
}

/// One call, by Twilio's id or by ours.
#[utoipa::path(
    get, path = "/api/v1/calls/{id}", tag = "calls",
    params(schema::CallIdParam),
    responses((status = 200, description = "The call", body = CallBody))
)]
pub(crate) async fn read(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, seeing, &request).await?;
    Ok(HttpResponse::Ok().json(CallBody::from(&row)))
}

/// Everything that happened to a call, in order.
#[utoipa::path(
    get, path = "/api/v1/calls/{id}/timeline", tag = "calls",
    params(schema::CallIdParam),
    responses((status = 200, description = "The timeline", body = TimelineBody))
)]
pub(crate) async fn timeline(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, seeing, &request).await?;
    let events = context.store.events(row.id).await?;
    let events = events.iter().map(EventBody::from).collect();
    let call_sid = row.call_sid.as_ref().map(|sid| sid.as_str());
    Ok(HttpResponse::Ok().json(TimelineBody { id: row.id.to_string(), call_sid, events }))
}

/// What was said in a call, in order.
#[utoipa::path(
    get, path = "/api/v1/calls/{id}/transcript", tag = "calls",
    params(schema::CallIdParam),
    responses((status = 200, description = "The transcript", body = TranscriptBody))
)]
pub(crate) async fn transcript(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, seeing, &request).await?;
    let events = context.store.events(row.id).await?;
    let transcript = events.iter().filter_map(|line| match &line.event {
        CallEvent::Transcript { speaker, text } => Some(SaidBody::new(line.at, *speaker, text)),
        _ => None,
    });
    let call_sid = row.call_sid.as_ref().map(|sid| sid.as_str());
    let transcript = transcript.collect();
    Ok(HttpResponse::Ok().json(TranscriptBody { id: row.id.to_string(), call_sid, transcript }))
}

/// Ends a call on both legs, whatever its state. A call that is over stays as it is.
#[utoipa::path(
    post, path = "/api/v1/calls/{id}/hangup", tag = "calls",
    params(schema::CallIdParam),
    responses(
        (status = 200, description = "It was over already", body = CallBody),
        (status = 202, description = "It is being ended", body = CallBody),
    )
)]
pub(crate) async fn hang_up(
    seeing: Seeing,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let row = find(&context, seeing, &request).await?;
    if row.status.is_final() {
        return Ok(HttpResponse::Ok().json(CallBody::from(&row)));
    }
    match context.registry.get(row.id) {
        Some((_, call)) => {
            // An actor that has just died is ended by the registry.
            let _ = call.send(EndCall(EndReason::HungUp)).await;
        }
        // It lives on another node, which Twilio tells.
        None => match (&row.call_sid, context.store.twilio_account(row.company).await?) {
            (Some(sid), Some(account)) => {
                context.telephony.hang_up(&account, sid).await?;
            }
            _ => {
                let message = "The call is being dialled by another node; try again";
                return Err(ApiError::unavailable("call_not_reachable", message, None));
            }
        },
    }
    Ok(HttpResponse::Accepted().json(CallBody::from(&row)))
}

/// Tells the agent something, as if the person had typed it.
#[utoipa::path(
    post, path = "/api/v1/calls/{id}/message", tag = "calls",
    params(schema::CallIdParam),
    request_body = MessageBody,
    responses((status = 204, description = "The agent has been told"))
)]
pub(crate) async fn message(
    seeing: Seeing,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of(body.object);
    let text = fields.required("text", |value| rules::text(value, 1, 10_000));
    let urgency = fields.optional("urgency", urgency);
    fields.finish()?;
    let row = find(&context, seeing, &request).await?;
    let not_now = || {
        let message = format!("The call is {}; messages need one in progress", row.status);
        ApiError::conflict("call_not_in_progress", message)
    };
    let ultravox_call_id = row.ultravox_call_id.as_ref().filter(|_| !row.status.is_final());
    let ultravox_call_id = ultravox_call_id.ok_or_else(not_now)?;
    let ultravox = agents::ultravox_of(&context, row.company).await?;
    let mut message = json!({ "type": "user_text_message", "text": text });
    if let Some(urgency) = urgency {
        message["urgency"] = urgency.into();
    }
    let agents = &context.agents;
    match agents.send_data_message(&ultravox.account, ultravox_call_id, &message).await {
        Ok(()) => Ok(HttpResponse::NoContent().finish()),
        Err(VendorError::Refused { status: 404 | 422, .. }) => Err(not_now()),
        Err(error) => Err(error.into()),
    }
}

/// Which agent a call gets, with its variables filled in.
pub(crate) fn source(agent: &AgentRow, given: Map<String, Value>) -> Result<AgentSource, ApiError> {
    let ultravox_agent_id = agents::active(agent)?.to_owned();
    let template_context = agents::context_for_call(agent, given)?;
    Ok(AgentSource::Stored { ultravox_agent_id, template_context, first_speaker: None })
}

/// The call of a path, if the caller may see it.
pub(super) async fn find(
    context: &Context,
    Seeing(company): Seeing,
    request: &HttpRequest,
) -> Result<CallRow, ApiError> {
    let raw = request.match_info().get("id").unwrap_or_default();
    let row = match raw.parse() {
        Ok(sid) => {
            let row = context.store.call_by_sid(&sid).await?;
            if row.is_none() && context.registry.count() > 0 {
                // A call that Twilio has just accepted may not be written as such yet.
                context.journal.flush(FLUSH_LIMIT).await;
                context.store.call_by_sid(&sid).await?
            } else {
                row
            }
        }
        Err(_) => match raw.parse::<CallId>() {
            Ok(id) => context.store.call(id).await?,
            Err(_) => None,
        },
    };
    let row = row.filter(|row| company.is_none_or(|company| company == row.company));
    row.ok_or_else(|| ApiError::not_found("call_not_found", "There is no such call"))
}

/// How soon Ultravox acts on a message.
fn urgency(value: &Value) -> Ruled<String> {
    match value.as_str() {
        Some(word @ ("immediate" | "soon" | "later")) => Ok(word.to_owned()),
        _ => Err("must be 'immediate', 'soon' or 'later'".to_owned()),
    }
}
