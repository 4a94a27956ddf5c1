//! Calls whose node went away: killed, crashed, or cut off from the database.
//!
//! Their sockets died with the process, so nobody talks to those people any more. Whatever is
//! still ringing or connected is hung up, an agent that waits for them is given back, and every
//! such call gets an end in the database.

use std::time::Duration;

use actix_web::web;
use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::ports::{
    AgentCall, CallLog as _, PhoneCall, Telephony as _, VendorError, VoiceAgents as _,
};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::startup::Context;
use crate::store::{CallRow, StoreError};

/// How often a node says that it is alive, and looks for those that are not.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A node that has not said so for this long is dead: two beats may be lost, a third may not.
pub(crate) const DEAD_AFTER: SignedDuration = SignedDuration::from_secs(13);
/// How often Twilio is asked about one call before it is left to its own time limit.
const TRIES: u32 = 6;
/// A request to Twilio that was sent by a process that is gone has arrived by then.
const REQUEST_IS_OVER: Duration = Duration::from_secs(5);
/// So often a call must not be found before it counts as never placed.
const LOOKS: u32 = 2;
/// Between these looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Keeps this node alive in the database and takes over the calls of those that are not.
pub(crate) async fn beat(context: web::Data<Context>) {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match take_over(&context).await {
            Ok(orphans) => {
                for orphan in orphans {
                    let reason = EndReason::NodeLost;
                    actix_web::rt::spawn(end_orphan(context.clone(), orphan, reason));
                }
            }
            Err(error) => warn!(%error, "this node could not say that it is alive"),
        }
    }
}

async fn take_over(context: &Context) -> Result<Vec<CallRow>, StoreError> {
    let now = Timestamp::now();
    context.store.heartbeat(context.node, now).await?;
    context.store.take_orphans(context.node, now, now - DEAD_AFTER).await
}

/// Ends a call that nobody looks after, on both sides and in the database.
pub(crate) async fn end_orphan(context: web::Data<Context>, call: CallRow, reason: EndReason) {
    let id = call.id;
    info!(call.id = %id, call.status = %call.status, "ending call {id}, which is alone: {reason}");
    let (phone, reason) = match end_phone(&context, &call).await {
        Fate::Ended(phone) => (phone, reason),
        Fate::NeverPlaced => (None, EndReason::NeverPlaced),
        Fate::Unknown => (None, EndReason::DialOutcomeUnknown),
    };
    // An agent that was joined has lost its socket and knows; one that was not would wait on.
    if call.stream_sid.is_none()
        && let (Some(ultravox_call_id), Some(join_url)) = (call.ultravox_call_id, call.join_url)
    {
        context.agents.release(&AgentCall { ultravox_call_id, join_url }).await;
    }
    let answered = call.answered_at.is_some() || call.status == CallStatus::InProgress;
    let status = phone.as_ref().map(|phone| phone.status).filter(|status| status.is_final());
    let fallback = if answered { CallStatus::Completed } else { CallStatus::Failed };
    context.journal.record(
        id,
        CallUpdate::Ended {
            status: status.unwrap_or(fallback),
            reason,
            detail: None,
            duration: phone.and_then(|phone| phone.duration),
        },
    );
}

/// What became of the phone of a call that nobody looked after.
enum Fate {
    /// It is hung up, or was over; how it ended, where Twilio says.
    Ended(Option<PhoneCall>),
    /// Twilio was never asked for it: nobody's phone rang.
    NeverPlaced,
    /// It may have been placed, and is not found.
    Unknown,
}

/// Has Twilio end the call.
async fn end_phone(context: &Context, call: &CallRow) -> Fate {
    let mut looks = 0;
    for attempt in 0..TRIES {
        match try_to_end(context, call, &mut looks).await {
            Ok(Some(fate)) => return fate,
            Ok(None) => tokio::time::sleep(LOOK_AGAIN_AFTER).await,
            Err(error) => {
                warn!(call.id = %call.id, %error, "call {} is not hung up yet", call.id);
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
            }
        }
    }
    match call.call_sid {
        Some(_) => Fate::Ended(None),
        None => Fate::Unknown,
    }
}

/// `None` when it has to be looked for again; `looks` counts how often it was not found.
async fn try_to_end(
    context: &Context,
    call: &CallRow,
    looks: &mut u32,
) -> Result<Option<Fate>, CannotEnd> {
    let account = context.store.twilio_account(call.company).await?.ok_or(CannotEnd::NoAccount)?;
    // A callback may have named it meanwhile.
    let known = match &call.call_sid {
        Some(sid) => Some(sid.clone()),
        None => context.store.call(call.id).await?.and_then(|row| row.call_sid),
    };
    if let Some(sid) = known {
        return Ok(Some(Fate::Ended(context.telephony.hang_up(&account, &sid).await?)));
    }
    // It died between storing the intention and Twilio's answer: the call may exist, and the
    // request that asks for it may still be under way.
    let age = Timestamp::now().duration_since(call.created_at).unsigned_abs();
    tokio::time::sleep(REQUEST_IS_OVER.saturating_sub(age)).await;
    // A call that came in has had its sid from the start; one of ours went to a number.
    let Some(to) = call.to.phone_number() else { return Ok(Some(Fate::Unknown)) };
    let age = Timestamp::now().duration_since(call.created_at).unsigned_abs();
    let found = context.telephony.find(&account, &to, age + Duration::from_secs(60)).await?;
    let sids: Vec<_> = found.iter().map(|phone| phone.sid.clone()).collect();
    match context.store.unclaimed(&sids).await?.as_slice() {
        [only] => {
            context.journal.record(call.id, CallUpdate::Placed(only.clone()));
            Ok(Some(Fate::Ended(context.telephony.hang_up(&account, only).await?)))
        }
        [] => {
            *looks += 1;
            Ok((*looks >= LOOKS).then_some(Fate::NeverPlaced))
        }
        _ => Ok(Some(Fate::Unknown)),
    }
}

/// Why a call is not ended yet.
#[derive(Debug, thiserror::Error)]
enum CannotEnd {
    #[error("its company has no Twilio configuration any more")]
    NoAccount,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vendor(#[from] VendorError),
}
