//! How a call comes to be: its agent is made ready, its phone is dialled, and where nobody can tell
//! whether it was, it is looked for.
//!
//! Nobody is dialled twice: a call that Twilio may have placed is found again or given up.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::warn;

use crate::call::{CallEvent, CallUpdate, Direction, EndReason};
use crate::call_life::Input;
use crate::ids::CallSid;
use crate::ports::{AgentSource, Detection, NewAgentCall, NewPhoneCall, VendorError};

use super::{CallSession, DialError, PhoneLeg, Placed};

/// When a call is looked for that Twilio may or may not have placed.
const SEARCH_AFTER: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How old a call may be to be the one just dialled.
const SEARCH_MAX_AGE: Duration = Duration::from_secs(120);
/// On top of the ring timeout, so that the join URL is good whenever the call is answered.
const JOIN_MARGIN: Duration = Duration::from_secs(30);

impl CallSession {
    /// Has an agent made ready, then dials.
    pub(super) fn create_agent(&mut self, agent: AgentSource, ctx: &mut Context<Self>) {
        let agents = Arc::clone(&self.ports.agents);
        let account = self.spec.ultravox.clone();
        let rings_for = match &self.spec.phone {
            PhoneLeg::Outbound { ring_timeout, .. } => *ring_timeout,
            PhoneLeg::Inbound { .. } => Duration::ZERO,
        };
        let new = NewAgentCall {
            call_id: self.spec.id,
            agent,
            join_timeout: rings_for + JOIN_MARGIN,
            max_duration: self.spec.max_duration,
            offers_do_not_call: self.spec.offers_do_not_call,
        };
        let (created, answer) = oneshot::channel();
        // It may take longer than this actor lives: a caller does not wait for an agent.
        tokio::spawn(async move {
            if let Err(Ok(agent)) = created.send(agents.create(&account, &new).await) {
                agents.release(&agent).await;
            }
        });
        ctx.spawn(answer.into_actor(self).map(|created, session, ctx| match created {
            Ok(Ok(agent)) => {
                let ultravox_call_id = agent.ultravox_call_id.clone();
                session.event(CallEvent::AgentReady { ultravox_call_id });
                session.record(CallUpdate::AgentReady(agent.clone()));
                session.hold_lifeline(|lifeline| lifeline.unjoined = Some(agent.clone()));
                session.agent = Some(agent);
                session.step(Input::AgentReady, ctx);
                session.place_call(ctx);
            }
            Ok(Err(error)) => session.dial_failed(EndReason::AgentCreateFailed, error, ctx),
            Err(_) => session.step(Input::End(EndReason::InternalError), ctx),
        }));
    }

    /// Has Twilio place a call that is to be dialled.
    pub(super) fn place_call(&mut self, ctx: &mut Context<Self>) {
        let PhoneLeg::Outbound {
            to,
            answer_url,
            status_url,
            machine_url,
            ring_timeout,
            urgency,
            detection,
        } = &self.spec.phone
        else {
            return;
        };
        if let Some(reason) = self.life.reason() {
            let detail = DialError::Ended(reason).to_string();
            return self.step(Input::DialFailed { reason, detail }, ctx);
        }
        let telephony = Arc::clone(&self.ports.telephony);
        let account = self.spec.twilio.clone();
        let new = NewPhoneCall {
            to: to.clone(),
            answer_url: answer_url.clone(),
            status_url: status_url.clone(),
            ring_timeout: *ring_timeout,
            time_limit: self.spec.max_duration,
            company: self.spec.company,
            urgency: *urgency,
            wish: self.wish.clone(),
            detection: detection
                .as_ref()
                .map(|detection| Detection { mode: detection.mode, url: machine_url.clone() }),
        };
        let place = async move { telephony.place(&account, &new).await };
        ctx.spawn(place.into_actor(self).map(|placed, session, ctx| match placed {
            Ok(call) => {
                session.adopt(&call.sid, ctx);
                session.step(Input::PhoneStatus(call.status), ctx);
            }
            Err(error @ VendorError::OutcomeUnknown { .. }) => {
                let (id, cause) = (session.spec.id, error.to_string());
                warn!(call.id = %id, %cause, "looking for call {id}, which may have been placed");
                session.search(0, error, ctx);
            }
            Err(error) => session.dial_failed(EndReason::PhoneCreateFailed, error, ctx),
        }));
    }

    /// Looks for a call that Twilio may have placed. Its callbacks, which carry our id, may find it
    /// first.
    fn search(&mut self, attempt: usize, error: VendorError, ctx: &mut Context<Self>) {
        let PhoneLeg::Outbound { to, .. } = self.spec.phone.clone() else { return };
        let Some(&after) = SEARCH_AFTER.get(attempt) else {
            return self.dial_failed(EndReason::DialOutcomeUnknown, error, ctx);
        };
        let telephony = Arc::clone(&self.ports.telephony);
        let log = Arc::clone(&self.ports.log);
        let account = self.spec.twilio.clone();
        let find = async move {
            tokio::time::sleep(after).await;
            let found = telephony.find(&account, &to, SEARCH_MAX_AGE).await.ok()?;
            let sids = found.iter().map(|call| call.sid.clone()).collect();
            match log.unclaimed(sids).await.ok()?.as_slice() {
                [only] => found.into_iter().find(|call| call.sid == *only),
                _ => None,
            }
        };
        ctx.spawn(find.into_actor(self).map(move |found, session, ctx| {
            if session.call_sid.is_some() {
                return;
            }
            match found {
                Some(call) => {
                    session.adopt(&call.sid, ctx);
                    session.step(Input::PhoneStatus(call.status), ctx);
                }
                None => session.search(attempt + 1, error, ctx),
            }
        }));
    }

    fn dial_failed(&mut self, reason: EndReason, error: VendorError, ctx: &mut Context<Self>) {
        let is_placed = self.call_sid.is_some();
        if is_placed && self.spec.phone.direction() == Direction::Outbound {
            return;
        }
        let detail = error.to_string();
        if let Some(dialled) = self.dialled.take() {
            // A client that went away does not need the answer.
            let _ = dialled.send(Err(error.into()));
        }
        self.step(Input::DialFailed { reason, detail }, ctx);
    }

    /// Makes a call of Twilio's ours. False when it is another than the one we have.
    pub(super) fn adopt(&mut self, call_sid: &CallSid, ctx: &mut Context<Self>) -> bool {
        if let Some(ours) = &self.call_sid {
            return ours == call_sid;
        }
        if self.agent.is_none() && self.spec.agent.is_some() {
            // Twilio has not been asked yet.
            return false;
        }
        let join_url = self.agent.as_ref().map(|agent| agent.join_url.clone());
        let placed = Placed { call_sid: call_sid.clone(), join_url };
        self.call_sid = Some(call_sid.clone());
        self.hold_lifeline(|lifeline| lifeline.call_sid = Some(call_sid.clone()));
        self.record(CallUpdate::Placed(call_sid.clone()));
        self.event(CallEvent::Placed { call_sid: call_sid.clone() });
        if let Some(dialled) = self.dialled.take() {
            let _ = dialled.send(Ok(placed));
        }
        self.step(Input::Placed, ctx);
        true
    }
}
