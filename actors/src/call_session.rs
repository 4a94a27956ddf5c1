//! One live call: dials or takes it, answers for it, and ends it on both legs.
//!
//! A thin shell around [`CallLife`]: it translates what Twilio, the pump and the API say, and
//! carries out what the core asks for. Audio never passes through it.

#![expect(clippy::disallowed_methods, reason = "this shell has a clock")]

mod dial;
mod machine;
mod messages;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use rand::Rng as _;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::bridge::{Admission, Notice};
use crate::call::{CallEnd, CallEvent, CallStatus, CallUpdate, Direction, EndReason};
use crate::call_life::{Action, CallLife, Input};
use crate::ids::CallSid;
use crate::machine::AnsweredBy;
use crate::ports::{AgentCall, Ports, Wish};
use crate::registry::{Lifeline, Registry, SharedLifeline};
use crate::stream::{StreamReporter, StreamTicket};

pub use messages::*;

/// Messages a call may have waiting. Twilio sends a handful in all, the pump a few a second; a
/// call that does not get through this many is stuck, and news of transcripts is lost first.
const MAILBOX: usize = 256;

/// One live call.
pub struct CallSession {
    spec: CallSpec,
    ports: Ports,
    registry: Arc<Registry>,
    lifeline: SharedLifeline,
    life: CallLife,
    wish: Wish,
    token: SecretString,
    call_sid: Option<CallSid>,
    agent: Option<AgentCall>,
    end_stream: Option<oneshot::Sender<EndReason>>,
    dialled: Option<oneshot::Sender<Dialled>>,
    /// Requests of Twilio's about a call that has come in. It repeats itself once at most.
    waiting: Vec<oneshot::Sender<Result<SecretString, NotWelcome>>>,
    timer: Option<SpawnHandle>,
    agent_joined: bool,
    /// Who or what took the call, as Twilio has found out.
    answered_by: Option<AnsweredBy>,
    /// What the agent is to be told of a machine, once it is there.
    untold: Option<String>,
    /// What Twilio is to say to a machine.
    to_say: Option<String>,
}

impl CallSession {
    pub(crate) fn new(
        spec: CallSpec,
        ports: Ports,
        registry: Arc<Registry>,
        lifeline: SharedLifeline,
        dialled: oneshot::Sender<Dialled>,
    ) -> Self {
        CallSession {
            life: life_of(&spec),
            wish: Wish::default(),
            token: one_time_token(),
            call_sid: spec.phone.call_sid().cloned(),
            spec,
            ports,
            registry,
            lifeline,
            agent: None,
            end_stream: None,
            dialled: Some(dialled),
            waiting: Vec::new(),
            timer: None,
            agent_joined: false,
            answered_by: None,
            untold: None,
            to_say: None,
        }
    }

    fn not_ours(&self, sid: &CallSid) {
        let id = self.spec.id;
        error!(call.id = %id, call.sid = %sid, "call {id} was told of another call, {sid}");
    }

    /// Feeds one input to the core and carries out everything it asks for.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        let was_answered = self.life.answered_at();
        self.life.handle(Instant::now(), input);
        if was_answered.is_none()
            && let Some(at) = self.life.answered_at()
        {
            self.hold_lifeline(|lifeline| lifeline.answered_at = Some(at));
        }
        while let Some(action) = self.life.poll_action() {
            match action {
                Action::Status(status) => {
                    self.record(CallUpdate::Status(status));
                    match status {
                        CallStatus::Ringing => self.event(CallEvent::Ringing),
                        CallStatus::InProgress => self.event(CallEvent::Answered),
                        _ => {}
                    }
                }
                Action::HangUpPhone => self.hang_up_phone(ctx),
                Action::EndStream(reason) => {
                    if let Some(end) = self.end_stream.take() {
                        // A pump that is gone has reported so.
                        let _ = end.send(reason);
                    }
                }
                Action::Say => {
                    if let Some(text) = self.to_say.take() {
                        self.say_to_machine(text, ctx);
                    }
                }
                Action::ReleaseAgent => self.release_agent(),
                Action::Finish { status, reason, detail, duration } => {
                    return self.finish(status, reason, detail, duration, ctx);
                }
            }
        }
        self.answer_waiting();
        self.rearm_timer(ctx);
    }

    /// Tells Twilio what to do with a call that has come in, once that is known.
    fn answer_waiting(&mut self) {
        let answer = match (self.life.reason(), &self.agent) {
            (Some(_), _) => Err(NotWelcome::NotNow),
            (None, Some(_)) => Ok(self.token.clone()),
            (None, None) => return,
        };
        for waiting in self.waiting.drain(..) {
            // Twilio may have given up by now.
            let _ = waiting.send(answer.clone());
        }
    }

    fn rearm_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = self.life.next_deadline().map(|at| {
            let after = at.saturating_duration_since(Instant::now());
            ctx.run_later(after, |session, ctx| {
                session.timer = None;
                session.step(Input::Tick, ctx);
            })
        });
    }

    fn hang_up_phone(&mut self, ctx: &mut Context<Self>) {
        let Some(sid) = self.call_sid.clone() else { return };
        let telephony = Arc::clone(&self.ports.telephony);
        let account = self.spec.twilio.clone();
        let hang_up = async move { telephony.hang_up(&account, &sid).await };
        ctx.spawn(hang_up.into_actor(self).map(|hung_up, session, ctx| match hung_up {
            Ok(call) => session.step(Input::HungUp(call.map(|call| call.status)), ctx),
            Err(error) => {
                let id = session.spec.id;
                warn!(call.id = %id, %error, "call {id} is not hung up yet");
                session.step(Input::HangUpFailed, ctx);
            }
        }));
    }

    fn release_agent(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        self.hold_lifeline(|lifeline| lifeline.unjoined = None);
        let agents = Arc::clone(&self.ports.agents);
        // It may take longer than this actor lives.
        tokio::spawn(async move { agents.release(&agent).await });
    }

    fn finish(
        &mut self,
        status: CallStatus,
        reason: EndReason,
        detail: Option<String>,
        duration: Option<Duration>,
        ctx: &mut Context<Self>,
    ) {
        let id = self.spec.id;
        let duration_ms = duration.unwrap_or_default().as_millis();
        info!(call.id = %id, call.status = %status, duration_ms, "call {id} ended: {reason}");
        self.event(CallEvent::Ended { status, reason, detail: detail.clone() });
        self.record(CallUpdate::Ended { status, reason, detail: detail.clone(), duration });
        if let Some(dialled) = self.dialled.take() {
            let _ = dialled.send(Err(DialError::Ended(reason)));
        }
        self.ports.observer.ended(self.spec.phone.direction(), status, duration);
        self.registry.remove(id);
        // Only now is there room for another call.
        self.hold_lifeline(|lifeline| {
            if let Some(ended) = lifeline.ended.take() {
                let answered_by = lifeline.answered_by;
                let end = CallEnd { status, reason, detail, duration, answered_by };
                // Nobody has to wait for it.
                let _ = ended.send(end);
            }
        });
        ctx.stop();
    }

    fn record(&self, update: CallUpdate) {
        self.ports.log.record(self.spec.id, update);
    }

    fn event(&self, event: CallEvent) {
        self.ports.log.event(self.spec.id, event);
    }

    fn hold_lifeline(&self, change: impl FnOnce(&mut Lifeline)) {
        change(&mut self.lifeline.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Actor for CallSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.event(CallEvent::Initiated);
        if self.spec.phone.direction() == Direction::Inbound {
            self.event(CallEvent::Ringing);
            // Its deadline runs from now.
            self.rearm_timer(ctx);
        }
        match self.spec.agent.clone() {
            Some(agent) => self.create_agent(agent, ctx),
            None => self.place_call(ctx),
        }
    }
}

impl Handler<PhoneNews> for CallSession {
    type Result = ();

    fn handle(&mut self, news: PhoneNews, ctx: &mut Context<Self>) {
        if self.adopt(&news.call_sid, ctx) {
            if let Some(answered_by) = news.answered_by {
                self.note_verdict(answered_by);
            }
            self.step(Input::PhoneStatus(news.status), ctx);
        } else {
            self.not_ours(&news.call_sid);
        }
    }
}

impl Handler<AnswerCall> for CallSession {
    type Result = Result<SecretString, NotWelcome>;

    fn handle(&mut self, answer: AnswerCall, ctx: &mut Context<Self>) -> Self::Result {
        if !self.adopt(&answer.call_sid, ctx) {
            return Err(NotWelcome::OtherCall);
        }
        self.step(Input::Answered, ctx);
        // Twilio may ask twice; while nothing ends, it gets the same answer.
        match self.life.reason() {
            None => Ok(self.token.clone()),
            Some(_) => Err(NotWelcome::NotNow),
        }
    }
}

impl Handler<TakeCall> for CallSession {
    type Result = ResponseFuture<Result<SecretString, NotWelcome>>;

    fn handle(&mut self, _: TakeCall, _: &mut Context<Self>) -> Self::Result {
        let (waiting, answer) = oneshot::channel();
        self.waiting.push(waiting);
        self.answer_waiting();
        // A call that is over waits for nobody.
        Box::pin(async move { answer.await.unwrap_or(Err(NotWelcome::NotNow)) })
    }
}

impl Handler<OpenStream> for CallSession {
    type Result = Result<StreamTicket, NotWelcome>;

    fn handle(&mut self, _: OpenStream, ctx: &mut Context<Self>) -> Self::Result {
        if !self.life.awaits_stream() {
            return Err(NotWelcome::NotNow);
        }
        let (Some(agent), Some(call_sid)) = (&self.agent, &self.call_sid) else {
            return Err(NotWelcome::NotNow);
        };
        let (end_stream, ended) = oneshot::channel();
        let ticket = StreamTicket {
            admission: Admission { token: self.token.clone(), call_sid: call_sid.clone() },
            join_url: agent.join_url.clone(),
            ended,
            reporter: StreamReporter::new(ctx.address()),
        };
        self.end_stream = Some(end_stream);
        self.hold_lifeline(|lifeline| lifeline.unjoined = None);
        self.step(Input::StreamOpened, ctx);
        Ok(ticket)
    }
}

impl Handler<StreamNews> for CallSession {
    type Result = ();

    fn handle(&mut self, StreamNews(notice): StreamNews, ctx: &mut Context<Self>) {
        match notice {
            Notice::StreamStarted(stream_sid) => {
                self.record(CallUpdate::StreamStarted(stream_sid.clone()));
                self.event(CallEvent::StreamStarted { stream_sid });
            }
            Notice::AgentJoined => {
                self.event(CallEvent::AgentJoined);
                self.agent_joined = true;
                self.tell_agent(ctx);
            }
            Notice::FirstAgentAudio => {
                let after = self.life.answered_at().map(|at| at.elapsed()).unwrap_or_default();
                self.ports.observer.first_audio(after);
                let after_answer_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                self.event(CallEvent::FirstAgentAudio { after_answer_ms });
            }
            Notice::Transcript(speaker, text) => {
                self.event(CallEvent::Transcript { speaker, text });
            }
            Notice::Interrupted { dropped_ms, heard_ms } => {
                self.event(CallEvent::Interrupted { dropped_ms, heard_ms });
            }
            Notice::DoNotCall => {
                self.event(CallEvent::DoNotCall);
                self.ports.log.do_not_call(self.spec.id);
            }
            Notice::Dtmf(digit) => self.event(CallEvent::Dtmf { digit }),
            Notice::AgentLeft { code, reason } => {
                self.event(CallEvent::AgentLeft { code, reason });
            }
            Notice::AgentResponded { .. } | Notice::Silenced { .. } | Notice::Ignored { .. } => {}
        }
    }
}

impl Handler<StreamClosed> for CallSession {
    type Result = ();

    fn handle(&mut self, StreamClosed(reason): StreamClosed, ctx: &mut Context<Self>) {
        self.end_stream = None;
        self.step(Input::StreamOver(reason), ctx);
    }
}

impl Handler<StreamReport> for CallSession {
    type Result = ();

    fn handle(&mut self, report: StreamReport, ctx: &mut Context<Self>) {
        if !self.adopt(&report.call_sid, ctx) {
            return self.not_ours(&report.call_sid);
        }
        let failed = report.event == "stream-error" && self.life.awaits_stream();
        self.event(CallEvent::StreamReport { event: report.event, error: report.error });
        if failed {
            // Twilio asks next what to do instead, and is told to apologise.
            self.step(Input::StreamLeft, ctx);
        }
    }
}

impl Handler<ConnectEnded> for CallSession {
    type Result = AfterStream;

    fn handle(&mut self, ended: ConnectEnded, ctx: &mut Context<Self>) -> AfterStream {
        if !self.adopt(&ended.call_sid, ctx) {
            self.not_ours(&ended.call_sid);
            return AfterStream::HangUp;
        }
        let reason = self.life.reason();
        // Without a reason, Twilio has given up a stream that we still believe in, or never got.
        self.step(Input::StreamLeft, ctx);
        match reason {
            None
            | Some(
                EndReason::AgentLost
                | EndReason::AgentUnreachable
                | EndReason::PhoneLost
                | EndReason::StreamMissing,
            ) => AfterStream::Apologise,
            Some(_) => AfterStream::HangUp,
        }
    }
}

impl Handler<EndCall> for CallSession {
    type Result = ();

    fn handle(&mut self, EndCall(reason): EndCall, ctx: &mut Context<Self>) {
        self.wish.withdraw();
        self.step(Input::End(reason), ctx);
    }
}

fn life_of(spec: &CallSpec) -> CallLife {
    match (&spec.phone, &spec.agent) {
        (PhoneLeg::Inbound { .. }, _) => CallLife::inbound(Instant::now(), spec.max_duration),
        (PhoneLeg::Outbound { ring_timeout, .. }, Some(_)) => {
            CallLife::outbound(*ring_timeout, spec.max_duration)
        }
        (PhoneLeg::Outbound { ring_timeout, .. }, None) => {
            CallLife::tracked(*ring_timeout, spec.max_duration)
        }
    }
}

/// 256 random bits, as letters that need no escaping anywhere.
fn one_time_token() -> SecretString {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes).into()
}
