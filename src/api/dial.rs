//! Places one outbound call, whichever route it was asked for by.

use actix_web::http::StatusCode;
use actix_web::web;
use actors::call_session::{CallSpec, PhoneLeg};
use actors::ids::{AgentId, CallId, CallSid, CompanyId, PhoneNumber};
use actors::ports::{AgentSource, TwilioAccount, UltravoxAccount, Urgency};
use actors::registry::Started;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::pacing::Expected;
use crate::startup::Context;
use crate::store::{Direction, NewCall};
use crate::webhooks::paths;

use super::error::ApiError;

/// A call that may be placed: everything about it is checked.
pub(crate) struct Outbound {
    pub(crate) company: CompanyId,
    pub(crate) to: PhoneNumber,
    pub(crate) twilio: TwilioAccount,
    pub(crate) ultravox: UltravoxAccount,
    pub(crate) source: AgentSource,
    pub(crate) agent: Option<AgentId>,
}

/// A call that Twilio has accepted, and its agent.
pub(crate) struct Dialled {
    pub(crate) call_sid: CallSid,
    /// The agent's WebSocket, a credential.
    pub(crate) join_url: SecretString,
    pub(crate) at: Timestamp,
}

/// How this company reaches Twilio.
pub(crate) async fn twilio_of(
    context: &Context,
    company: CompanyId,
) -> Result<TwilioAccount, ApiError> {
    context.store.twilio_account(company).await?.ok_or_else(|| {
        let message = format!("Twilio configuration not found: company {company} needs one");
        ApiError::conflict("twilio_not_configured", message)
    })
}

/// Refuses a number that the company must not call, before anything is stored or dialled.
pub(crate) async fn may_call(
    context: &Context,
    company: CompanyId,
    to: &PhoneNumber,
) -> Result<(), ApiError> {
    if context.store.is_do_not_call(company, to).await?.is_some() {
        let message = "This number is on the company's do-not-call list; \
             DELETE /api/v1/do-not-call/{phone_number} takes it off";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "number_on_do_not_call_list", message));
    }
    let Some(prefixes) = context.store.allowed_prefixes(company).await? else { return Ok(()) };
    match prefixes.iter().any(|prefix| to.as_str().starts_with(prefix)) {
        true => Ok(()),
        false => Err(ApiError::bad_request(
            "number_not_allowed",
            format!("This company may only call numbers that begin with {}", prefixes.join(", ")),
        )),
    }
}

/// Lets a single call into its company's line, before anything is stored or dialled.
async fn line_up(context: &Context, company: CompanyId) -> Result<Expected, ApiError> {
    context.pacer.expect_single(company).await?.map_err(|too_long| {
        let (status, message) = (StatusCode::TOO_MANY_REQUESTS, format!("Not now: {too_long}"));
        ApiError::new(status, "calls_per_second_exceeded", message)
            .detail("max_cps", too_long.cps)
            .retry_after(too_long.retry_after())
    })
}

/// Stores the intention, dials, and waits until Twilio has accepted the call or not.
pub(crate) async fn dial(
    context: &web::Data<Context>,
    id: CallId,
    outbound: Outbound,
) -> Result<Dialled, ApiError> {
    context.registry.has_room()?;
    let _expected = line_up(context, outbound.company).await?;
    let at = Timestamp::now();
    let from = outbound.twilio.phone_number.clone();
    // Stored before anything is dialled, so that no crash forgets a call.
    context
        .store
        .insert_call(&NewCall {
            id,
            company: outbound.company,
            node: context.node,
            to: outbound.to.clone().into(),
            from: from.into(),
            direction: Direction::Outbound,
            agent: outbound.agent.clone(),
            at,
        })
        .await?;
    let spec = spec(context, id, outbound);
    let Started { dialled, .. } =
        context.registry.start(spec).inspect_err(|refusal| context.record_refusal(id, *refusal))?;
    // A client that goes away meanwhile does not stop the call: its actor goes on.
    let placed = dialled.await.map_err(|_| ApiError::interrupted_dial(id))??;
    let join_url = placed.join_url.expect("a call with an agent has its join URL");
    Ok(Dialled { call_sid: placed.call_sid, join_url, at })
}

fn spec(context: &Context, id: CallId, outbound: Outbound) -> CallSpec {
    CallSpec {
        id,
        company: outbound.company,
        twilio: outbound.twilio,
        phone: PhoneLeg::Outbound {
            to: outbound.to,
            answer_url: context.public_url.http(&paths::answer(id)),
            status_url: context.public_url.http(&paths::status(id)),
            machine_url: context.public_url.http(&paths::machine(id)),
            ring_timeout: context.ring_timeout,
            urgency: Urgency::Single,
            detection: None,
        },
        max_duration: context.max_call,
        ultravox: outbound.ultravox,
        agent: Some(outbound.source),
        offers_do_not_call: true,
    }
}
