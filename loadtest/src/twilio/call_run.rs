//! The life of one call, from the queue to the last callback.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::account::Account;
use super::call::{Call, CallLines, Interrupt, LateVerdict, lock};
use super::callbacks::{
    Fields, Lane, LiveCall, Settling, deliver, delivery, event_of, field, iso_nanoseconds,
    status_fields, voice_fields,
};
use super::phone::{Phone, PhoneBehaviour, PhoneOutcome};
use super::status::{CallStatus, Direction};
use super::stream::MediaCommand;
use super::twiml::StreamNoun;
use super::world::World;

/// What cuts a call's current activity short. Whoever waits sees it; whoever handles it takes it.
pub(crate) struct Interrupts {
    lines: mpsc::UnboundedReceiver<Interrupt>,
    pending: Option<Interrupt>,
    time_limit: Option<std::pin::Pin<Box<Sleep>>>,
}

impl Interrupts {
    pub(crate) fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pending.is_none() {
            if let Poll::Ready(Some(interrupt)) = self.lines.poll_recv(cx) {
                self.pending = Some(interrupt);
            } else if self
                .time_limit
                .as_mut()
                .is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
            {
                self.time_limit = None;
                self.pending = Some(Interrupt::TimeLimit);
            }
        }
        if self.pending.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) async fn wait(&mut self) {
        std::future::poll_fn(|cx| self.poll_pending(cx)).await;
    }

    pub(crate) fn take(&mut self) -> Option<Interrupt> {
        if self.pending.is_none() {
            self.pending = self.lines.try_recv().ok();
        }
        self.pending.take()
    }

    pub(crate) fn put_back(&mut self, interrupt: Interrupt) {
        self.pending = Some(interrupt);
    }

    pub(crate) fn are_pending(&mut self) -> bool {
        if let Some(interrupt) = self.take() {
            self.put_back(interrupt);
        }
        self.pending.is_some()
    }
}

/// The task's view of its call.
pub(crate) struct CallRun {
    pub(crate) world: Arc<World>,
    pub(crate) account: Arc<Account>,
    pub(crate) call: Arc<Call>,
    pub(crate) behaviour: PhoneBehaviour,
    pub(crate) phone: Phone,
    pub(crate) interrupts: Interrupts,
    pub(crate) media: mpsc::UnboundedReceiver<MediaCommand>,
    pub(crate) fetched: bool,
    settling: Arc<Settling>,
    status_lane: Lane,
    stream_lane: Lane,
    sequence: u32,
}

impl CallRun {
    /// The future that runs a call to its end.
    #[expect(clippy::new_ret_no_self, reason = "nobody but the task itself sees a CallRun")]
    pub(crate) fn new(
        world: Arc<World>,
        account: Arc<Account>,
        call: Arc<Call>,
        lines: CallLines,
        behaviour: PhoneBehaviour,
    ) -> impl Future<Output = ()> + Send + 'static {
        let live = LiveCall { world: world.clone(), call: call.clone() };
        async move {
            let settling = Arc::new(Settling { world: world.clone(), call: call.clone() });
            let mut run = CallRun {
                phone: Phone::new(&behaviour.script),
                interrupts: Interrupts { lines: lines.interrupts, pending: None, time_limit: None },
                media: lines.media,
                fetched: false,
                status_lane: Lane::of_status(settling.clone()),
                stream_lane: Lane::of_streams(settling.clone()),
                settling,
                sequence: 0,
                world,
                account,
                call,
                behaviour,
            };
            match run.call.direction {
                Direction::OutboundApi => run.dial().await,
                Direction::Inbound => run.receive().await,
            }
            drop(live);
        }
    }

    /// An outbound call.
    async fn dial(&mut self) {
        if self.pause(self.call.queue_time).await {
            // Canceled in the queue: no callbacks at all.
            self.call.set_status(CallStatus::Canceled);
            return;
        }
        self.report("initiated", None);
        let (status, sip) = match self.ring().await {
            Some(end) => end,
            None => {
                self.conversation().await;
                (CallStatus::Completed, 200)
            }
        };
        self.finish(status, self.behaviour.sip_response_code.unwrap_or(sip));
    }

    /// Rings until there is an answer (None) or another outcome.
    async fn ring(&mut self) -> Option<(CallStatus, u16)> {
        if self.pause(self.behaviour.dialing).await {
            return Some(self.given_up());
        }
        if self.behaviour.reports_ringing && self.call.set_status(CallStatus::Ringing) {
            self.report("ringing", None);
        }
        let timeout = lock(&self.call.plan).timeout;
        let ring = self.behaviour.ring;
        let until = match self.behaviour.outcome {
            PhoneOutcome::NoAnswer if ring.is_zero() => timeout,
            _ => ring.min(timeout),
        };
        if self.pause(until).await {
            return Some(self.given_up());
        }
        match self.behaviour.outcome {
            PhoneOutcome::Answer if ring <= timeout => None,
            PhoneOutcome::Answer | PhoneOutcome::NoAnswer => Some((CallStatus::NoAnswer, 487)),
            PhoneOutcome::Busy => Some((CallStatus::Busy, 486)),
            PhoneOutcome::Failed => Some((CallStatus::Failed, 404)),
            PhoneOutcome::Canceled => Some((CallStatus::Canceled, 487)),
        }
    }

    /// How a call ends that is cut short before the answer.
    fn given_up(&mut self) -> (CallStatus, u16) {
        match self.interrupts.take() {
            Some(Interrupt::PhoneHangsUp) => (CallStatus::Busy, 486),
            _ => (CallStatus::Canceled, 487),
        }
    }

    /// From the answer to the end of the TwiML.
    async fn conversation(&mut self) {
        if !self.answer() {
            return;
        }
        let plan = lock(&self.call.plan).clone();
        let mut extra = Fields::new();
        if let Some(detection) = plan.detection {
            let verdict = detection.verdict(&self.behaviour.answered_by);
            match detection.later {
                Some(later) => self.detect_later(verdict, later),
                None => {
                    if self.pause(self.behaviour.detection).await {
                        return;
                    }
                    extra.push(field("AnsweredBy", &verdict));
                    self.call.update(|state| {
                        state.change(|next| next.answered_by = Some(verdict));
                    });
                }
            }
        }
        self.run_twiml(plan.source, plan.fallback, extra).await;
    }

    /// Asynchronous detection: one callback, unless the call is over by then.
    fn detect_later(&self, answered_by: String, LateVerdict { callback, method }: LateVerdict) {
        let after = self.behaviour.detection;
        let settling = self.settling.clone();
        let auth_token = self.account.options.auth_token.clone();
        self.world.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            let call = &settling.call;
            if call.status().is_final() {
                return;
            }
            call.update(|state| {
                state.change(|next| next.answered_by = Some(answered_by.clone()));
            });
            let Some(url) = callback else { return };
            let fields = vec![
                field("CallSid", &call.sid),
                field("AccountSid", &call.account_sid),
                field("AnsweredBy", answered_by),
                field("MachineDetectionDuration", after.as_millis().to_string()),
            ];
            deliver(&settling, &delivery(&auth_token, &url, &method, fields)).await;
        });
    }

    /// An inbound call rings until its TwiML answers it.
    async fn receive(&mut self) {
        self.call.set_status(CallStatus::Ringing);
        let plan = lock(&self.call.plan).clone();
        self.run_twiml(plan.source, plan.fallback, Fields::new()).await;
        let answered = self.call.state().answered_at.is_some();
        let status = if answered { CallStatus::Completed } else { CallStatus::NoAnswer };
        self.finish(status, 200);
    }

    /// Answers the call, if it is not answered or over. Says whether it is in progress.
    pub(crate) fn answer(&mut self) -> bool {
        if self.call.status() == CallStatus::InProgress {
            return true;
        }
        if !self.call.set_status(CallStatus::InProgress) {
            return false;
        }
        let limit = lock(&self.call.plan).time_limit;
        self.interrupts.time_limit = limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        self.report("in-progress", None);
        true
    }

    fn finish(&mut self, status: CallStatus, sip_response_code: u16) {
        self.call.set_status(status);
        let ended_as = self.call.status();
        self.report(ended_as.as_str(), Some(sip_response_code));
    }

    /// Tells the service, if it subscribed to such events. Every event counts.
    fn report(&mut self, status: &str, sip_response_code: Option<u16>) {
        let sequence = self.sequence;
        self.sequence += 1;
        let (url, method, events) = {
            let plan = lock(&self.call.plan);
            let Some(url) = plan.status_callback.clone() else { return };
            (url, plan.status_callback_method.clone(), plan.status_events.clone())
        };
        if !events.iter().any(|event| event == event_of(status)) {
            return;
        }
        let empty_geo = self.world.callback_faults().empty_geo;
        let fields = status_fields(&self.call, status, sequence, sip_response_code, empty_geo);
        let token = &self.account.options.auth_token;
        self.status_lane.send(delivery(token, &url, &method, fields));
    }

    /// Tells the service about a media stream.
    pub(crate) fn report_stream(
        &self,
        noun: &StreamNoun,
        stream_sid: &str,
        event: &str,
        error: Option<&str>,
    ) {
        let Some(url) = &noun.status_callback else { return };
        let mut fields = vec![
            field("AccountSid", &self.call.account_sid),
            field("CallSid", &self.call.sid),
            field("StreamSid", stream_sid),
            field("StreamName", noun.name.as_deref().unwrap_or(stream_sid)),
            field("StreamEvent", event),
            field("Timestamp", iso_nanoseconds(Timestamp::now())),
        ];
        fields.extend(error.map(|error| field("StreamError", error)));
        let token = &self.account.options.auth_token;
        self.stream_lane.send(delivery(token, url, &noun.status_callback_method, fields));
    }

    /// The parameters of a voice request at this time.
    pub(crate) fn voice_fields(&self) -> Fields {
        voice_fields(
            &self.call,
            self.call.status().as_str(),
            self.world.callback_faults().empty_geo,
        )
    }

    /// Waits; true when something cut the wait short.
    pub(crate) async fn pause(&mut self, time: Duration) -> bool {
        if time.is_zero() {
            return self.interrupts.are_pending();
        }
        let until = Instant::now() + time;
        tokio::select! {
            () = self.interrupts.wait() => true,
            () = tokio::time::sleep_until(until.into()) => false,
        }
    }
}
