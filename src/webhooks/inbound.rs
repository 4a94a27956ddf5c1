//! Somebody calls a number of ours.
//!
//! Twilio asks once as a rule, and again when it heard nothing. Whatever comes, there is one call
//! and one agent, and the same answer each time. Twilio waits 15 s for it; the call's core gives
//! its agent 10 s, so that a caller hears our apology and not Twilio's error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actors::call::Direction;
use actors::call_session::{CallSpec, PhoneLeg, TakeCall};
use actors::ids::{AgentId, CallId, CallSid, CompanyId, Party};
use actors::ports::{AgentSource, TwilioAccount};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use crate::startup::Context;
use crate::store::{AgentRow, AgentStatus, InboundRoute, NewCall, StoreError, UltravoxConfig};

use super::news::no_database;
use super::signature::{FormParams, SignedBody};
use super::{answers, reject, reject_body};

/// A call to a number of ours, once it is known to be Twilio's.
struct Incoming {
    sid: CallSid,
    route: InboundRoute,
    account: TwilioAccount,
    to: Party,
    from: Party,
}

/// Serves `POST /twilio/voice`: somebody calls, what now?
pub(crate) async fn voice(
    request: HttpRequest,
    body: Result<Bytes, Error>,
    context: web::Data<Context>,
) -> HttpResponse {
    let call = match receive(&context, &request, body).await {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    let company = call.route.company;
    let sid = call.sid.clone();
    // A request repeated while the first is being answered waits for it.
    let _turn = context.incoming.enter(&sid).await;
    let id = match taken(&context, call).await {
        Ok(Some(id)) => id,
        Ok(None) => return answers::apology(&context, Some(company)).await,
        Err(error) => {
            warn!(call.sid = %sid, %error, "call {sid} cannot be taken");
            return answers::apology(&context, Some(company)).await;
        }
    };
    let answer = match context.registry.get(id) {
        Some((_, live)) => live.send(TakeCall).await,
        // It is over, or another node has it.
        None => return answers::apology(&context, Some(company)).await,
    };
    match answer {
        Ok(Ok(token)) => answers::connect(&context, id, &token),
        Ok(Err(_)) | Err(_) => answers::apology(&context, Some(company)).await,
    }
}

/// Finds whose number is called and proves that Twilio asks.
async fn receive(
    context: &Context,
    request: &HttpRequest,
    body: Result<Bytes, Error>,
) -> Result<Incoming, HttpResponse> {
    let body = body.map_err(|error| reject_body(context, &error))?;
    let form = FormParams::parse(&body);
    let unknown = || reject(context, StatusCode::NOT_FOUND, "unknown_number");
    let to = form.get("To").or_else(|| form.get("Called")).ok_or_else(unknown)?;
    let (route, account) = match owner_of(context, to).await {
        Ok(owner) => owner.ok_or_else(unknown)?,
        Err(error) => return Err(no_database(context, &error)),
    };
    super::check_signature(context, request, &account, SignedBody::Form(&body))
        .map_err(|bad| reject(context, StatusCode::FORBIDDEN, bad.label()))?;
    if form.get("AccountSid") != Some(account.account_sid.as_str()) {
        return Err(reject(context, StatusCode::FORBIDDEN, "other_account"));
    }
    let sid = form.get("CallSid").and_then(|sid| sid.parse().ok());
    let sid = sid.ok_or_else(|| reject(context, StatusCode::BAD_REQUEST, "no_call_sid"))?;
    let from = form.get("From").or_else(|| form.get("Caller")).unwrap_or_default();
    Ok(Incoming { sid, route, account, to: to.into(), from: from.into() })
}

async fn owner_of(
    context: &Context,
    number: &str,
) -> Result<Option<(InboundRoute, TwilioAccount)>, StoreError> {
    let Some(route) = context.store.company_of_number(number).await? else { return Ok(None) };
    let account = context.store.twilio_account(route.company).await?;
    Ok(account.map(|account| (route, account)))
}

/// Our id of a call that is taken, now or by an earlier request; `None` when it cannot be.
async fn taken(context: &Context, call: Incoming) -> Result<Option<CallId>, StoreError> {
    if let Some(row) = context.store.call_by_sid(&call.sid).await? {
        return Ok(Some(row.id));
    }
    let sid = &call.sid;
    if let Err(refusal) = context.registry.has_room() {
        warn!(call.sid = %sid, "call {sid} is not taken: {refusal}");
        return Ok(None);
    }
    let company = call.route.company;
    let Some(ultravox) = context.store.ultravox_config(company).await? else {
        warn!(call.sid = %sid, "call {sid} is not taken: company {company} has no agents");
        return Ok(None);
    };
    let agent = agent_of(context, company, call.route.agent).await?;
    let row = NewCall {
        id: CallId::generate(),
        company,
        node: context.node,
        to: call.to,
        from: call.from,
        direction: Direction::Inbound,
        agent: agent.as_ref().map(|agent| agent.id.clone()),
        at: Timestamp::now(),
    };
    if !context.store.insert_inbound(&row, sid).await? {
        // Another node was faster.
        return Ok(context.store.call_by_sid(sid).await?.map(|row| row.id));
    }
    let id = row.id;
    info!(call.id = %id, call.sid = %sid, "call {id} comes in from {}", row.from);
    let spec = CallSpec {
        id,
        company,
        twilio: call.account,
        ultravox: ultravox.account.clone(),
        phone: PhoneLeg::Inbound { call_sid: call.sid },
        max_duration: context.max_call,
        agent: Some(source_of(ultravox, agent)),
        offers_do_not_call: true,
    };
    if let Err(refusal) = context.registry.start(spec) {
        context.record_refusal(id, refusal);
        return Ok(None);
    }
    Ok(Some(id))
}

/// The agent that was given the calls to a number, if it takes any.
async fn agent_of(
    context: &Context,
    company: CompanyId,
    given: Option<AgentId>,
) -> Result<Option<AgentRow>, StoreError> {
    let Some(id) = given else { return Ok(None) };
    let agent = context.store.agent(company, &id).await?;
    let agent = agent.filter(|agent| agent.status == AgentStatus::Active);
    if agent.is_none() {
        warn!("agent {id} takes no calls; the configuration of company {company} does");
    }
    Ok(agent)
}

/// Who takes the call: the given agent, or the one that the company's configuration describes.
fn source_of(ultravox: UltravoxConfig, agent: Option<AgentRow>) -> AgentSource {
    match agent {
        Some(AgentRow { ultravox_agent_id: Some(ultravox_agent_id), config, .. }) => {
            let texts = config.template_variables.into_iter();
            AgentSource::Stored {
                ultravox_agent_id,
                template_context: texts.map(|(key, text)| (key, text.into())).collect(),
                first_speaker: None,
            }
        }
        _ => AgentSource::Inline {
            system_prompt: ultravox.system_prompt,
            model: ultravox.model,
            voice: ultravox.voice,
            first_speaker: ultravox.first_speaker,
        },
    }
}

/// Lets requests about the same call in one after the other.
#[derive(Debug, Default)]
pub(crate) struct OneAtATime(Mutex<HashMap<CallSid, Arc<tokio::sync::Mutex<()>>>>);

/// The right to deal with a call, until dropped.
struct Turn<'a> {
    all: &'a OneAtATime,
    sid: &'a CallSid,
    held: Option<OwnedMutexGuard<()>>,
}

impl OneAtATime {
    async fn enter<'a>(&'a self, sid: &'a CallSid) -> Turn<'a> {
        let mut turn = Turn { all: self, sid, held: None };
        let gate = Arc::clone(self.lock().entry(sid.clone()).or_default());
        turn.held = Some(gate.lock_owned().await);
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CallSid, Arc<tokio::sync::Mutex<()>>>> {
        // The map is never left half changed, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut gates = self.all.lock();
        // Whoever else waits has a handle of its own.
        if gates.get(self.sid).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(self.sid);
        }
    }
}
