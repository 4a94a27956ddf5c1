//! The pump: owns both sockets of one call and moves its audio, on one task and one thread.
//!
//! One wake-up reads what is there on both sockets, feeds it to the bridge, and writes what the
//! bridge gives, as far as the sockets take it: one read and one write for a frame. Decisions are
//! the bridge's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actors::bridge::{Bridge, Input, Notice, ToAgent};
use actors::call::EndReason;
use actors::ids::CallId;
use actors::protocol::websocket::{Kind, Message};
use actors::stream::{StreamReporter, StreamTicket};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tracing::{debug, warn};

use crate::clients::agent_socket::{AgentConnector, AgentSocket, AgentSocketError};
use crate::metrics::Metrics;

use super::buffers::{Buffers, Outgoing, with_buffers};
use super::meters::Meters;
use super::socket::Socket;

/// Put together before it is written, should there be more than a frame. What is put together is
/// not dropped any more when the person interrupts.
const WRITE_BYTES: usize = 4 * 1024;
/// Reads of one socket before other calls of this thread get their turn.
const READS_PER_TURN: u32 = 4;
/// Timers of all calls fire on a common beat, so that a thread wakes for many of them at once. A
/// part of a second, and of a frame.
const BEAT: Duration = Duration::from_millis(5);
/// How long Twilio may take to answer our close.
const PHONE_CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// How long Ultravox may take to let us in, where it has not, and to answer our close.
const AGENT_CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Pause before an agent's server that could not be reached is tried again.
const REACH_AGAIN: Duration = Duration::from_millis(250);
/// How often it is tried. The bridge gives up after its own time limit.
const REACH_TRIES: u32 = 5;
/// Close codes (RFC 6455, 7.4.1).
const NORMAL: u16 = 1000;
const POLICY_VIOLATION: u16 = 1008;
/// Stands for a close frame without a code.
const NO_CODE: u16 = 1005;

type Joining = Pin<Box<dyn Future<Output = Result<AgentSocket, AgentSocketError>>>>;

enum AgentLink {
    Joining(Joining),
    Joined(AgentSocket),
    Gone,
}

/// One call's two sockets and the bridge between them.
pub(super) struct Pump {
    id: CallId,
    bridge: Bridge,
    phone: Socket,
    agent: AgentLink,
    ended: oneshot::Receiver<EndReason>,
    reporter: StreamReporter,
    timer: Pin<Box<Sleep>>,
    timer_at: Option<Instant>,
    meters: Meters,
}

impl Pump {
    /// A pump for a stream that has just been let in; begins to join the agent when run.
    pub(super) fn new(
        id: CallId,
        ticket: StreamTicket,
        phone: Socket,
        connector: AgentConnector,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        Pump {
            id,
            bridge: Bridge::new(now, ticket.admission),
            phone,
            agent: AgentLink::Joining(Box::pin(join(connector, ticket.join_url))),
            ended: ticket.ended,
            reporter: ticket.reporter,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: None,
            meters: Meters::new(metrics, now),
        }
    }

    /// Moves audio until the bridge is over, tells the call, then closes both sockets.
    pub(super) async fn run(mut self) {
        let step = |cx: &mut Context<'_>| with_buffers(|buffers| self.poll(cx, buffers));
        let reason = poll_fn(step).await;
        self.meters.flush(self.bridge.counts());
        let counts = self.bridge.counts();
        debug!(call.id = %self.id, ?counts, "the stream of call {} is over: {reason}", self.id);
        // By the time the call has ended, its stream counts as none.
        drop(self.meters);
        self.reporter.over(reason);
        let code = match reason {
            EndReason::StreamRejected | EndReason::ProtocolError => POLICY_VIOLATION,
            _ => NORMAL,
        };
        tokio::join!(close_phone(self.phone, code), close_agent(self.agent));
    }

    fn poll(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<EndReason> {
        let now = Instant::now();
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(Ok(reason)) => self.bridge.handle(now, Input::End(reason)),
            Poll::Ready(Err(_)) => self.bridge.handle(now, Input::End(EndReason::InternalError)),
            Poll::Pending => {}
        }
        // A socket that has nothing wakes us when it has, and is not asked again before.
        let (mut phone_has_more, mut agent_has_more) = (true, true);
        let mut reads = 0;
        while self.bridge.over().is_none() && (phone_has_more || agent_has_more) {
            if reads >= READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            phone_has_more = phone_has_more && self.read_phone(now, cx, buffers);
            agent_has_more = agent_has_more && self.read_agent(now, cx, buffers);
        }
        let was_welcome = self.bridge.wants_agent();
        self.keep_time(now, cx);
        self.feed_agent(cx, &mut buffers.to_agent);
        self.write_agent(cx, &mut buffers.to_agent);
        self.feed_phone(now, cx, &mut buffers.to_phone);
        self.write_phone(cx, &mut buffers.to_phone);
        if !was_welcome && self.bridge.wants_agent() {
            // The agent was left unread, and the phone has taken enough since.
            cx.waker().wake_by_ref();
        }
        while let Some(notice) = self.bridge.poll_notice() {
            self.tell(notice);
        }
        self.meters.flush_if_due(now, self.bridge.counts());
        match self.bridge.over() {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }

    fn tell(&self, notice: Notice) {
        self.meters.notice(&notice);
        if matches!(notice, Notice::Ignored { .. }) {
            debug!(call.id = %self.id, ?notice, "ignored a message");
            return;
        }
        if !self.reporter.news(notice) {
            warn!(call.id = %self.id, "call {} does not take its news", self.id);
        }
    }

    /// Takes what is there from Twilio; false when there is nothing.
    fn read_phone(&mut self, now: Instant, cx: &mut Context<'_>, buffers: &mut Buffers) -> bool {
        let Poll::Ready(read) = self.phone.poll_read(cx, &mut buffers.read) else { return false };
        if !matches!(read, Ok(1..)) {
            self.bridge.handle(now, Input::PhoneClosed);
            return true;
        }
        while self.bridge.over().is_none()
            && let Some(message) = self.phone.next(&mut buffers.read)
        {
            match message {
                Ok(Message::Text(text)) => self.bridge.handle(now, Input::PhoneText(text)),
                Ok(Message::Binary(_)) => self.bridge.handle(now, Input::PhoneBinary),
                Ok(Message::Ping(_) | Message::Pong) => {}
                Ok(Message::Close { .. }) => self.bridge.handle(now, Input::PhoneClosed),
                Err(_) => self.bridge.handle(now, Input::PhoneViolation),
            }
            self.feed_agent(cx, &mut buffers.to_agent);
        }
        self.phone.keep(&mut buffers.read);
        true
    }

    /// Takes what is there from the agent, or its joining; false when there is nothing, or nothing
    /// is wanted before the phone has taken more.
    fn read_agent(&mut self, now: Instant, cx: &mut Context<'_>, buffers: &mut Buffers) -> bool {
        match &mut self.agent {
            AgentLink::Gone => false,
            AgentLink::Joining(joining) => {
                let Poll::Ready(joined) = joining.as_mut().poll(cx) else { return false };
                self.agent_joined(now, joined);
                true
            }
            AgentLink::Joined(socket) => {
                if !self.bridge.wants_agent() {
                    return false;
                }
                let Poll::Ready(read) = socket.poll_read(cx, &mut buffers.read) else {
                    return false;
                };
                match read {
                    Ok(0) => self.agent_lost(now, "the connection ended".to_owned()),
                    Ok(_) => self.take_from_agent(now, cx, buffers),
                    Err(error) => self.agent_lost(now, error.to_string()),
                }
                true
            }
        }
    }

    fn agent_joined(&mut self, now: Instant, joined: Result<AgentSocket, AgentSocketError>) {
        match joined {
            Ok(socket) => {
                self.agent = AgentLink::Joined(socket);
                self.bridge.handle(now, Input::AgentJoined);
            }
            Err(error) => {
                self.agent = AgentLink::Gone;
                let cause = error.to_string();
                self.bridge.handle(now, Input::AgentUnreachable { cause });
            }
        }
    }

    fn agent_lost(&mut self, now: Instant, reason: String) {
        self.agent = AgentLink::Gone;
        self.bridge.handle(now, Input::AgentClosed { code: None, reason });
    }

    /// Takes what was read from the agent, as far as it is wanted.
    fn take_from_agent(&mut self, now: Instant, cx: &mut Context<'_>, buffers: &mut Buffers) {
        while let AgentLink::Joined(socket) = &mut self.agent {
            if self.bridge.over().is_some() || !self.bridge.wants_agent() {
                return socket.keep(&mut buffers.read);
            }
            let Some(message) = socket.next(&mut buffers.read) else { return };
            match message {
                Ok(Message::Binary(pcm)) => self.bridge.handle(now, Input::AgentAudio(pcm)),
                Ok(Message::Text(text)) => self.bridge.handle(now, Input::AgentText(text)),
                Ok(Message::Ping(_) | Message::Pong) => self.bridge.handle(now, Input::AgentAlive),
                Ok(Message::Close { code, reason }) => {
                    let (code, reason) = (Some(code.unwrap_or(NO_CODE)), reason.to_owned());
                    self.bridge.handle(now, Input::AgentClosed { code, reason });
                }
                Err(violation) => {
                    let reason = violation.to_string();
                    self.agent_lost(now, reason);
                }
            }
            self.feed_phone(now, cx, &mut buffers.to_phone);
        }
    }

    /// Puts frames for the agent together for as long as its socket takes them.
    fn feed_agent(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) {
        let AgentLink::Joined(socket) = &mut self.agent else { return };
        while socket.poll_ready(cx) {
            let bridge = &mut self.bridge;
            let frame = socket.frame(&mut out.bytes, |payload| {
                Some(match bridge.poll_to_agent(payload)? {
                    ToAgent::Audio { since } => (Kind::Binary, since),
                    ToAgent::Text => (Kind::Text, None),
                    ToAgent::Probe => (Kind::Ping, None),
                })
            });
            let Some(since) = frame else { return };
            out.since.extend(since);
            if out.bytes.len() >= WRITE_BYTES {
                out.write(socket, cx, |after| self.meters.relayed_to_agent(after));
            }
        }
    }

    fn write_agent(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) {
        match &mut self.agent {
            AgentLink::Joined(socket) => {
                out.write(socket, cx, |after| self.meters.relayed_to_agent(after));
            }
            _ => out.forget(),
        }
    }

    /// Puts frames for Twilio together for as long as its socket takes them.
    fn feed_phone(&mut self, now: Instant, cx: &mut Context<'_>, out: &mut Outgoing) {
        while self.phone.poll_ready(cx) {
            let bridge = &mut self.bridge;
            let frame = self.phone.frame(&mut out.bytes, |text| {
                bridge.poll_to_phone(now, text).map(|frame| (Kind::Text, frame.since))
            });
            let Some(since) = frame else { return };
            out.since.extend(since);
            if out.bytes.len() >= WRITE_BYTES {
                self.write_phone(cx, out);
            }
        }
    }

    fn write_phone(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) {
        out.write(&mut self.phone, cx, |after| self.meters.relayed_to_phone(after));
    }

    /// Ticks the bridge when its deadline has passed, and sleeps until the next. The deadline moves
    /// with every frame, so the timer is left alone until it fires or an earlier one is needed; the
    /// pump is a task of its own, so the timer wakes it without being polled again.
    fn keep_time(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.timer_at = self.timer_at.filter(|at| *at > now);
        while let Some(deadline) = self.bridge.next_deadline() {
            if deadline <= now {
                self.bridge.handle(now, Input::Tick);
                if self.bridge.next_deadline().is_some_and(|next| next <= deadline) {
                    // It waits for a socket, not for time.
                    return;
                }
                continue;
            }
            let at = next_beat(deadline);
            if self.timer_at.is_none_or(|armed| at < armed) {
                self.timer.as_mut().reset(at.into());
                self.timer_at = Some(at);
                if self.timer.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
            }
            return;
        }
    }
}

/// The first beat after a moment.
fn next_beat(moment: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since_a_beat =
        moment.saturating_duration_since(*FIRST).subsec_nanos() % BEAT.subsec_nanos();
    moment + BEAT - Duration::from_nanos(since_a_beat.into())
}

/// Joins the agent. A server that could not be reached has not seen the join URL, so it may be
/// tried again.
async fn join(
    connector: AgentConnector,
    join_url: SecretString,
) -> Result<AgentSocket, AgentSocketError> {
    let mut tries = 1;
    loop {
        match connector.connect(&join_url, crate::CLIENT_VERSION).await {
            Err(AgentSocketError::Unreachable(_)) if tries < REACH_TRIES => {
                tries += 1;
                tokio::time::sleep(REACH_AGAIN).await;
            }
            joined => return joined,
        }
    }
}

/// Closes Twilio's socket in order, and waits a little for Twilio to do the same. After that the
/// connection is dropped, closed or not.
async fn close_phone(phone: Socket, code: u16) {
    let _ = tokio::time::timeout(PHONE_CLOSE_LIMIT, phone.close(code)).await;
}

/// The same for the agent's. A socket that is still being joined is joined first: an agent nobody
/// has joined would wait on.
async fn close_agent(agent: AgentLink) {
    let close = async {
        let socket = match agent {
            AgentLink::Joined(socket) => Ok(socket),
            AgentLink::Joining(joining) => joining.await,
            AgentLink::Gone => return,
        };
        if let Ok(socket) = socket {
            let _ = socket.close(NORMAL).await;
        }
    };
    let _ = tokio::time::timeout(AGENT_CLOSE_LIMIT, close).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_are_due_within_a_beat_fire_together_and_never_early() {
        let began = Instant::now();
        let moments: Vec<Instant> = (0..50).map(|n| began + Duration::from_millis(n)).collect();
        let mut beats: Vec<Instant> = moments.iter().copied().map(next_beat).collect();
        for (moment, beat) in moments.iter().zip(&beats) {
            assert!(moment < beat && *beat <= *moment + BEAT);
        }
        beats.dedup();
        assert!(beats.len() <= 11, "{} beats in 50 ms", beats.len());
    }
}
