//! Calls whose node went away: killed, crashed, or cut off from the database.
//!
//! Their sockets died with the process, so nobody talks to those people any more. Whatever is
//! still ringing or connected is hung up, an agent that waits for them is given back, and every
//! such call gets an end in the database.

use std::time::Duration;

use actix_web::web;
use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::ports::{
    AgentCall, CallLog as _, PhoneCall, Telephony as _, TwilioAccount, VendorError,
    VoiceAgents as _,
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
    let ended = match context.store.twilio_account(call.company).await {
        Ok(Some(account)) => end_phone(&context, &account, &call).await,
        Ok(None) => None,
        Err(error) => {
            warn!(call.id = %id, %error, "call {id} cannot be hung up");
            None
        }
    };
    // An agent that was joined has lost its socket and knows; one that was not would wait on.
    if call.stream_sid.is_none()
        && let (Some(ultravox_call_id), Some(join_url)) = (call.ultravox_call_id, call.join_url)
    {
        context.agents.release(&AgentCall { ultravox_call_id, join_url }).await;
    }
    let answered = call.answered_at.is_some() || call.status == CallStatus::InProgress;
    let status = ended.as_ref().map(|phone| phone.status).filter(|status| status.is_final());
    let fallback = if answered { CallStatus::Completed } else { CallStatus::Failed };
    context.journal.record(
        id,
        CallUpdate::Ended {
            status: status.unwrap_or(fallback),
            reason,
            detail: None,
            duration: ended.and_then(|phone| phone.duration),
        },
    );
}

/// Has Twilio end the call; says how it ended, where Twilio does.
async fn end_phone(
    context: &Context,
    account: &TwilioAccount,
    call: &CallRow,
) -> Option<PhoneCall> {
    for attempt in 0..TRIES {
        match try_to_end(context, account, call).await {
            Ok(phone) => return phone,
            Err(error) => {
                warn!(call.id = %call.id, %error, "call {} is not hung up yet", call.id);
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
            }
        }
    }
    None
}

async fn try_to_end(
    context: &Context,
    account: &TwilioAccount,
    call: &CallRow,
) -> Result<Option<PhoneCall>, VendorError> {
    if let Some(sid) = &call.call_sid {
        return context.telephony.hang_up(account, sid).await;
    }
    // It died between storing the intention and Twilio's answer: the call may exist.
    let age = Timestamp::now().duration_since(call.created_at).unsigned_abs();
    let margin = Duration::from_secs(60);
    // A call that came in has had its sid from the start; one of ours went to a number.
    let Some(to) = call.to.phone_number() else { return Ok(None) };
    let found = context.telephony.find(account, &to, age + margin).await?;
    let sids: Vec<_> = found.iter().map(|phone| phone.sid.clone()).collect();
    let Ok(unclaimed) = context.store.unclaimed(&sids).await else { return Ok(None) };
    let [only] = unclaimed.as_slice() else { return Ok(None) };
    context.journal.record(call.id, CallUpdate::Placed(only.clone()));
    context.telephony.hang_up(account, only).await
}
