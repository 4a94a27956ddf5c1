//! What a call does when Twilio has found out who took it. The decision is [`MachineDetection`]'s.
//!
//! The first verdict stands: whatever comes later changes nothing.
//!
//! [`MachineDetection`]: crate::machine::MachineDetection

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::call::{CallEvent, CallUpdate, EndReason};
use crate::call_life::Input;
use crate::machine::{AnsweredBy, Reaction, time_to_say};
use crate::ports::VendorError;

use super::{CallSession, MachineNews, PhoneLeg};

/// When an agent is told again that Ultravox says is not in the call (422). Our socket may be joined
/// a moment before Ultravox knows.
const TELL_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

impl CallSession {
    /// Keeps the first verdict. False when there was one before.
    pub(super) fn note_verdict(&mut self, answered_by: AnsweredBy) -> bool {
        if self.answered_by.is_some() {
            return false;
        }
        self.answered_by = Some(answered_by);
        self.hold_lifeline(|lifeline| lifeline.answered_by = Some(answered_by));
        self.record(CallUpdate::AnsweredBy(answered_by));
        self.event(CallEvent::AnsweredBy { answered_by });
        true
    }

    /// Tells the agent what waits to be told, once it is there.
    pub(super) fn tell_agent(&mut self, ctx: &mut Context<Self>) {
        if !self.agent_joined {
            return;
        }
        let (Some(text), Some(agent)) = (self.untold.take(), self.agent.clone()) else { return };
        let agents = Arc::clone(&self.ports.agents);
        let account = self.spec.ultravox.clone();
        let tell = async move {
            for pause in TELL_AGAIN_AFTER {
                match agents.tell(&account, &agent, &text).await {
                    Err(VendorError::Refused { status: 422, .. }) => {
                        tokio::time::sleep(pause).await;
                    }
                    told => return told,
                }
            }
            agents.tell(&account, &agent, &text).await
        };
        ctx.spawn(tell.into_actor(self).map(|told, session, ctx| {
            let Err(error) = told else { return };
            let id = session.spec.id;
            warn!(call.id = %id, %error, "the agent of call {id} is not told of the machine");
            // It may have heard all the same. If not, it would talk to a machine.
            if !matches!(error, VendorError::OutcomeUnknown { .. }) {
                session.step(Input::End(EndReason::Machine), ctx);
            }
        }));
    }

    /// Has Twilio say what the core has made way for.
    pub(super) fn say_to_machine(&mut self, text: String, ctx: &mut Context<Self>) {
        let Some(sid) = self.call_sid.clone() else { return };
        let telephony = Arc::clone(&self.ports.telephony);
        let account = self.spec.twilio.clone();
        let say = async move { telephony.say_and_hang_up(&account, &sid, &text).await };
        ctx.spawn(say.into_actor(self).map(|said, session, ctx| match said {
            // If it is not said after all, the end of the stream ends the call.
            Ok(()) | Err(VendorError::OutcomeUnknown { .. }) => session.step(Input::Saying, ctx),
            Err(error) => {
                let id = session.spec.id;
                warn!(call.id = %id, %error, "the machine that took call {id} is told nothing");
                session.step(Input::NotSaid, ctx);
            }
        }));
    }
}

impl Handler<MachineNews> for CallSession {
    type Result = ();

    fn handle(&mut self, news: MachineNews, ctx: &mut Context<Self>) {
        if !self.adopt(&news.call_sid, ctx) {
            return self.not_ours(&news.call_sid);
        }
        let answered_by = news.answered_by;
        if !self.note_verdict(answered_by) {
            return;
        }
        // Nothing is found out about a phone that still rings.
        self.step(Input::Answered, ctx);
        let PhoneLeg::Outbound { detection: Some(detection), .. } = &self.spec.phone else {
            return;
        };
        match detection.reaction(answered_by, self.spec.agent.is_some()) {
            Reaction::GoOn => {}
            Reaction::HangUp => self.step(Input::End(EndReason::Machine), ctx),
            Reaction::TellAgent(text) => {
                self.untold = Some(text);
                self.tell_agent(ctx);
            }
            Reaction::Say(text) => {
                self.to_say = Some(text.clone());
                self.step(Input::Say(time_to_say(&text)), ctx);
            }
        }
    }
}
