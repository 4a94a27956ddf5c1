//! The life of one call, from dialling or ringing to the end of both legs.
//!
//! Promises: the status never moves backwards; once anything ends, both legs end; the first reason
//! stands; and it is over exactly once, however late, doubled or out of order the news arrives.
//!
//! Nothing here does I/O or reads a clock: `CallSession` feeds it and performs its actions.

mod io;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::call::{CallStatus, EndReason};

pub use io::{Action, Input};

/// Beyond the ring timeout, for Twilio's own 5 s buffer and a late callback.
const RING_GRACE: Duration = Duration::from_secs(15);
/// How long an agent may take while somebody waits to be answered. Twilio gives up on a voice
/// webhook after 15 s, and plays an error of its own.
const AGENT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the answer to the media socket. Twilio takes about 30 ms after it has the TwiML.
const STREAM_TIMEOUT: Duration = Duration::from_secs(15);
/// How long Twilio may take to say itself that a call is over whose stream has ended.
const HANG_UP_GRACE: Duration = Duration::from_secs(5);
/// The same when Twilio is still speaking our apology.
const APOLOGY_GRACE: Duration = Duration::from_secs(20);
/// How long the pump may take to close both sockets.
const STREAM_END_GRACE: Duration = Duration::from_secs(5);
/// How often hanging up is tried. Twilio's own time limit ends the call in the end.
const HANG_UP_TRIES: u32 = 6;
/// Pause after the first failed try; doubles.
const HANG_UP_RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phone {
    Dialing,
    Up,
    /// To be hung up at this time, unless it ends by itself.
    EndingAt(Instant),
    /// The same while Twilio speaks: the end of the stream is no reason to hurry.
    Saying {
        until: Instant,
    },
    HangingUp {
        tries: u32,
    },
    RetryAt {
        at: Instant,
        tries: u32,
    },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Agent {
    /// There will be none: the call is tracked, not bridged.
    Nobody,
    Absent,
    Ready,
    Streaming,
    /// The pump has been told; it is given up at this time.
    Ending {
        until: Instant,
    },
    Over,
}

/// The life of one call.
#[derive(Debug)]
pub struct CallLife {
    status: CallStatus,
    phone: Phone,
    agent: Agent,
    reason: Option<EndReason>,
    detail: Option<String>,
    ring_timeout: Duration,
    max_duration: Duration,
    rings_until: Option<Instant>,
    answered_at: Option<Instant>,
    agent_until: Option<Instant>,
    stream_until: Option<Instant>,
    finished: bool,
    actions: VecDeque<Action>,
}

impl CallLife {
    /// A call that has come in and waits to be answered. Its phone is there already; it is answered
    /// when the agent is ready, and told that nobody can when that takes too long.
    pub fn inbound(now: Instant, max_duration: Duration) -> Self {
        CallLife {
            status: CallStatus::Ringing,
            phone: Phone::Up,
            agent_until: Some(now + AGENT_TIMEOUT),
            ..CallLife::outbound(Duration::ZERO, max_duration)
        }
    }

    /// A call that is about to be dialled.
    pub fn outbound(ring_timeout: Duration, max_duration: Duration) -> Self {
        CallLife {
            status: CallStatus::Initiated,
            phone: Phone::Dialing,
            agent: Agent::Absent,
            reason: None,
            detail: None,
            ring_timeout,
            max_duration,
            rings_until: None,
            answered_at: None,
            agent_until: None,
            stream_until: None,
            finished: false,
            actions: VecDeque::new(),
        }
    }

    /// A call that is about to be dialled and will follow somebody else's TwiML: no agent, no stream,
    /// nothing but what Twilio reports.
    ///
    /// That it was answered is known from a callback alone, and callbacks get lost. So that nobody is
    /// cut off over one, Twilio's own two limits have to have passed before the call is given up.
    pub fn tracked(ring_timeout: Duration, max_duration: Duration) -> Self {
        CallLife {
            agent: Agent::Nobody,
            ..CallLife::outbound(ring_timeout + max_duration, max_duration)
        }
    }

    /// How far it has come.
    pub fn status(&self) -> CallStatus {
        self.status
    }

    /// Why it ends, once it does.
    pub fn reason(&self) -> Option<EndReason> {
        self.reason
    }

    /// When it was answered.
    pub fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }

    /// Whether a media stream would be welcome: there is a phone, and an agent nobody has joined.
    pub fn awaits_stream(&self) -> bool {
        self.reason.is_none() && self.agent == Agent::Ready && self.phone != Phone::Over
    }

    /// Takes one input. Nothing has an effect after [`Action::Finish`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.finished {
            return;
        }
        match input {
            // Nobody has an agent or a stream for such a call.
            Input::AgentReady | Input::StreamOpened | Input::StreamOver(_) | Input::StreamLeft
                if self.agent == Agent::Nobody => {}
            Input::AgentReady => self.agent_ready(now),
            Input::Placed => self.placed(now),
            Input::DialFailed { reason, detail } => self.dial_failed(now, reason, detail),
            Input::PhoneStatus(status) => self.phone_status(now, status),
            Input::Answered => self.answered(now),
            Input::StreamOpened => {
                if self.awaits_stream() {
                    self.stream_until = None;
                    self.agent = Agent::Streaming;
                    // A call that came in is answered by this.
                    self.answered(now);
                }
            }
            Input::StreamOver(reason) => self.stream_over(now, reason),
            Input::StreamLeft => self.stream_left(now),
            Input::Say(longest) => self.say(now, longest),
            Input::Saying => self.saying(now),
            Input::NotSaid => self.hurry(now),
            Input::End(reason) => {
                self.end(now, reason, now);
                self.hurry(now);
            }
            Input::HungUp(status) => self.hung_up(now, status),
            Input::HangUpFailed => self.hang_up_failed(now),
            Input::Tick => {}
        }
        self.tick(now);
        self.finish_if_over(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.finished {
            return None;
        }
        let phone = match self.phone {
            Phone::EndingAt(at) | Phone::Saying { until: at } | Phone::RetryAt { at, .. } => {
                Some(at)
            }
            _ => None,
        };
        let agent = match self.agent {
            Agent::Ending { until } => Some(until),
            _ => None,
        };
        let longest = match self.reason {
            None => self.answered_at.map(|at| at + self.max_duration),
            Some(_) => None,
        };
        [phone, agent, longest, self.rings_until, self.agent_until, self.stream_until]
            .into_iter()
            .flatten()
            .min()
    }

    fn agent_ready(&mut self, now: Instant) {
        self.agent_until = None;
        if self.reason.is_some() {
            self.agent = Agent::Over;
            return self.actions.push_back(Action::ReleaseAgent);
        }
        self.agent = Agent::Ready;
        // The phone that came before its agent is now told to open a stream.
        if self.phone == Phone::Up {
            self.stream_until = Some(now + STREAM_TIMEOUT);
        }
    }

    fn dial_failed(&mut self, now: Instant, reason: EndReason, detail: String) {
        if self.phone == Phone::Dialing {
            self.reason.get_or_insert(reason);
            self.detail.get_or_insert(detail);
            self.phone = Phone::Over;
        } else if self.reason.is_none() {
            self.detail = Some(detail);
            // Somebody is on the line, and is told.
            self.end(now, reason, now + APOLOGY_GRACE);
        }
    }

    fn placed(&mut self, now: Instant) {
        if self.phone != Phone::Dialing {
            return;
        }
        self.phone = Phone::Up;
        if self.answered_at.is_none() {
            self.rings_until = Some(now + self.ring_timeout + RING_GRACE);
        }
        if self.reason.is_some() {
            self.hang_up(now);
        }
    }

    fn phone_status(&mut self, now: Instant, status: CallStatus) {
        self.placed(now);
        if !self.status.may_become(status) {
            return;
        }
        if status == CallStatus::InProgress {
            return self.answered(now);
        }
        self.status = status;
        if !status.is_final() {
            self.actions.push_back(Action::Status(status));
            return;
        }
        self.phone = Phone::Over;
        self.end(now, status.into(), now);
    }

    fn answered(&mut self, now: Instant) {
        self.placed(now);
        if self.status.may_become(CallStatus::InProgress) {
            self.status = CallStatus::InProgress;
            self.actions.push_back(Action::Status(CallStatus::InProgress));
        }
        self.rings_until = None;
        if self.answered_at.is_none() {
            self.answered_at = Some(now);
            if self.agent == Agent::Ready {
                self.stream_until = Some(now + STREAM_TIMEOUT);
            }
        }
    }

    fn stream_over(&mut self, now: Instant, reason: EndReason) {
        // An agent whose socket was refused may still wait to be joined.
        if reason == EndReason::AgentUnreachable {
            self.actions.push_back(Action::ReleaseAgent);
        }
        self.agent = Agent::Over;
        let grace = match reason {
            EndReason::PhoneHungUp | EndReason::PhoneLost => HANG_UP_GRACE,
            EndReason::AgentLost | EndReason::AgentUnreachable => APOLOGY_GRACE,
            _ => Duration::ZERO,
        };
        self.end(now, reason, now + grace);
    }

    /// Twilio has come for what is to be said at the end, and takes its time to say it.
    fn stream_left(&mut self, now: Instant) {
        let hang_up_at = now + APOLOGY_GRACE;
        if let Phone::EndingAt(at) = self.phone {
            self.phone = Phone::EndingAt(at.max(hang_up_at));
        }
        // Twilio lost its stream, or never got one.
        let had_stream = self.agent != Agent::Ready;
        let reason = if had_stream { EndReason::PhoneLost } else { EndReason::StreamMissing };
        self.end(now, reason, hang_up_at);
    }

    /// Makes way for Twilio's words. The stream is left to Twilio, which takes the phone off it; if we
    /// closed it now, Twilio would go on with what comes after it and hang up.
    fn say(&mut self, now: Instant, longest: Duration) {
        if self.reason.is_some() || self.phone != Phone::Up {
            return;
        }
        self.reason = Some(EndReason::Machine);
        self.forget_deadlines();
        self.phone = Phone::Saying { until: now + longest };
        self.actions.push_back(Action::Say);
    }

    /// Twilio has taken the phone off the stream.
    fn saying(&mut self, now: Instant) {
        if matches!(self.phone, Phone::Saying { .. }) {
            self.end_stream(now, EndReason::Machine);
        }
    }

    /// Waits no longer for Twilio to have spoken.
    fn hurry(&mut self, now: Instant) {
        if matches!(self.phone, Phone::Saying { .. }) {
            self.end_stream(now, EndReason::Machine);
            self.phone = Phone::EndingAt(now);
        }
    }

    fn forget_deadlines(&mut self) {
        self.rings_until = None;
        self.agent_until = None;
        self.stream_until = None;
    }

    fn end_stream(&mut self, now: Instant, reason: EndReason) {
        if self.agent == Agent::Streaming {
            self.agent = Agent::Ending { until: now + STREAM_END_GRACE };
            self.actions.push_back(Action::EndStream(reason));
        }
    }

    /// Ends both legs, the phone's at `hang_up_at` if it has not ended by itself.
    fn end(&mut self, now: Instant, reason: EndReason, hang_up_at: Instant) {
        let reason = *self.reason.get_or_insert(reason);
        self.forget_deadlines();
        self.end_stream(now, reason);
        match self.phone {
            Phone::Up => self.phone = Phone::EndingAt(hang_up_at),
            Phone::EndingAt(at) => self.phone = Phone::EndingAt(at.min(hang_up_at)),
            _ => {}
        }
    }

    fn hang_up(&mut self, now: Instant) {
        self.phone = Phone::EndingAt(now);
    }

    fn hung_up(&mut self, now: Instant, status: Option<CallStatus>) {
        if let Some(status) = status.filter(|status| status.is_final()) {
            self.phone_status(now, status);
        }
        self.phone = Phone::Over;
        self.end(now, EndReason::HungUp, now);
    }

    fn hang_up_failed(&mut self, now: Instant) {
        if let Phone::HangingUp { tries } = self.phone {
            self.phone = match tries {
                HANG_UP_TRIES.. => Phone::Over,
                _ => Phone::RetryAt { at: now + HANG_UP_RETRY * 2_u32.pow(tries - 1), tries },
            };
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.rings_until.is_some_and(|at| at <= now) {
            self.end(now, EndReason::NoAnswer, now);
        }
        if self.agent_until.is_some_and(|at| at <= now) {
            let detail = format!("the agent was not ready within {} s", AGENT_TIMEOUT.as_secs());
            self.dial_failed(now, EndReason::AgentCreateFailed, detail);
        }
        if self.stream_until.is_some_and(|at| at <= now) {
            self.end(now, EndReason::StreamMissing, now);
        }
        let too_long = self.answered_at.is_some_and(|at| at + self.max_duration <= now);
        if too_long && self.reason.is_none() {
            self.end(now, EndReason::MaxDuration, now);
        }
        if let Agent::Ending { until } = self.agent
            && until <= now
        {
            self.agent = Agent::Over;
        }
        if let Phone::Saying { until } = self.phone
            && until <= now
        {
            self.hurry(now);
        }
        let tries = match self.phone {
            Phone::EndingAt(at) if at <= now => Some(0),
            Phone::RetryAt { at, tries } if at <= now => Some(tries),
            _ => None,
        };
        if let Some(tries) = tries {
            self.phone = Phone::HangingUp { tries: tries + 1 };
            self.actions.push_back(Action::HangUpPhone);
        }
    }

    fn finish_if_over(&mut self, now: Instant) {
        let agent_is_live = matches!(self.agent, Agent::Streaming | Agent::Ending { .. });
        if self.phone != Phone::Over || agent_is_live {
            return;
        }
        if self.agent == Agent::Ready {
            self.actions.push_back(Action::ReleaseAgent);
        }
        let reason = self.reason.unwrap_or(EndReason::PhoneHungUp);
        if !self.status.is_final() {
            self.status = match (self.answered_at, reason) {
                (Some(_), _) => CallStatus::Completed,
                (None, EndReason::NoAnswer) => CallStatus::NoAnswer,
                (None, EndReason::HungUp | EndReason::ShutDown) => CallStatus::Canceled,
                (None, _) => CallStatus::Failed,
            };
        }
        self.finished = true;
        self.actions.push_back(Action::Finish {
            status: self.status,
            reason,
            detail: self.detail.take(),
            duration: self.answered_at.map(|at| now.saturating_duration_since(at)),
        });
    }
}
