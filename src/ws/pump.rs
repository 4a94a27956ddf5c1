//! The pump: owns both sockets of one call and moves its audio, on one task and one thread.
//!
//! One wake-up reads everything that is there on both sockets, feeds it to the bridge, and writes
//! what the bridge gives, as far as the sockets take it. Decisions are the bridge's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actors::bridge::{Bridge, Input, Notice, ToAgent};
use actors::call::EndReason;
use actors::ids::CallId;
use actors::stream::{StreamReporter, StreamTicket};
use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracing::{debug, warn};

use crate::clients::agent_socket::{AgentConnector, AgentSocket, AgentSocketError};
use crate::metrics::Metrics;

use super::meters::Meters;
use super::phone_link::{FromPhone, PhoneLink};

/// Messages read in one go before other calls of this thread get their turn.
const MESSAGES_PER_TURN: u32 = 64;
/// How long Ultravox may take to let us in, where it has not, and to answer our close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Pause before an agent's server that could not be reached is tried again.
const REACH_AGAIN: Duration = Duration::from_millis(250);
/// How often it is tried. The bridge gives up after its own time limit.
const REACH_TRIES: u32 = 5;

type Joining = Pin<Box<dyn Future<Output = Result<AgentSocket, AgentSocketError>>>>;

enum AgentLink {
    Joining(Joining),
    Joined(Box<AgentSocket>),
    Gone,
}

/// One call's two sockets and the bridge between them.
pub(super) struct Pump {
    id: CallId,
    bridge: Bridge,
    phone: PhoneLink,
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
        phone: PhoneLink,
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
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.meters.flush(self.bridge.counts());
        let counts = self.bridge.counts();
        debug!(call.id = %self.id, ?counts, "the stream of call {} is over: {reason}", self.id);
        self.reporter.over(reason);
        let is_violation = matches!(reason, EndReason::StreamRejected | EndReason::ProtocolError);
        tokio::join!(self.phone.close(is_violation), close_agent(self.agent));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        let now = Instant::now();
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(Ok(reason)) => self.bridge.handle(now, Input::End(reason)),
            Poll::Ready(Err(_)) => self.bridge.handle(now, Input::End(EndReason::InternalError)),
            Poll::Pending => {}
        }
        let mut messages = 0;
        while self.read_phone(now, cx) | self.read_agent(now, cx) {
            self.write_agent(cx);
            self.write_phone(now, cx);
            messages += 1;
            if self.bridge.over().is_some() {
                break;
            }
            if messages >= MESSAGES_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.keep_time(now, cx);
        self.write_agent(cx);
        self.write_phone(now, cx);
        self.flush_agent(now, cx);
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

    /// Takes one message from Twilio; false when there is none.
    fn read_phone(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(message) = self.phone.poll_next(cx) else { return false };
        match message {
            FromPhone::Text(text) => self.bridge.handle(now, Input::PhoneText(&text)),
            FromPhone::Binary => self.bridge.handle(now, Input::PhoneBinary),
            FromPhone::Alive => {}
            FromPhone::Violation => self.bridge.handle(now, Input::PhoneViolation),
            FromPhone::Closed => self.bridge.handle(now, Input::PhoneClosed),
        }
        true
    }

    /// Takes one message from the agent, or its joining; false when there is none, or none is
    /// wanted before the phone has taken more.
    fn read_agent(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        match &mut self.agent {
            AgentLink::Gone => false,
            AgentLink::Joining(joining) => {
                let Poll::Ready(joined) = joining.as_mut().poll(cx) else { return false };
                match joined {
                    Ok(socket) => {
                        self.agent = AgentLink::Joined(Box::new(socket));
                        self.bridge.handle(now, Input::AgentJoined);
                    }
                    Err(error) => {
                        self.agent = AgentLink::Gone;
                        let cause = error.to_string();
                        self.bridge.handle(now, Input::AgentUnreachable { cause });
                    }
                }
                true
            }
            AgentLink::Joined(socket) => {
                if !self.bridge.wants_agent() {
                    return false;
                }
                let Poll::Ready(message) = Pin::new(socket).poll_next(cx) else { return false };
                self.agent_message(now, message);
                true
            }
        }
    }

    fn agent_message(
        &mut self,
        now: Instant,
        message: Option<Result<Message, tungstenite::Error>>,
    ) {
        let (code, reason) = match message {
            Some(Ok(Message::Binary(pcm))) => {
                return self.bridge.handle(now, Input::AgentAudio(&pcm));
            }
            Some(Ok(Message::Text(text))) => {
                return self.bridge.handle(now, Input::AgentText(&text));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                return self.bridge.handle(now, Input::AgentAlive);
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                (Some(u16::from(frame.code)), frame.reason.to_string())
            }
            // 1005 stands for a close frame without a code.
            Some(Ok(Message::Close(None))) => (Some(1005), String::new()),
            Some(Err(error)) => (None, error.to_string()),
            None => (None, "the connection ended".to_owned()),
        };
        self.bridge.handle(now, Input::AgentClosed { code, reason });
        if code.is_none() {
            self.agent = AgentLink::Gone;
        }
    }

    /// Hands frames to the agent's socket for as long as it takes them.
    fn write_agent(&mut self, cx: &mut Context<'_>) {
        let AgentLink::Joined(socket) = &mut self.agent else { return };
        while let Poll::Ready(Ok(())) = Pin::new(&mut **socket).poll_ready(cx) {
            let Some(frame) = self.bridge.poll_to_agent() else { return };
            let message = match frame {
                ToAgent::Audio { pcm, since } => {
                    if let Some(since) = since {
                        self.meters.relayed_to_agent(since.elapsed());
                    }
                    Message::Binary(pcm)
                }
                ToAgent::Text(text) => Message::text(text),
                ToAgent::Probe => Message::Ping(Bytes::new()),
            };
            if Pin::new(&mut **socket).start_send(message).is_err() {
                // Reading shows what is wrong.
                return;
            }
        }
    }

    fn flush_agent(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let AgentLink::Joined(socket) = &mut self.agent
            && let Poll::Ready(Err(error)) = Pin::new(&mut **socket).poll_flush(cx)
            && !matches!(error, tungstenite::Error::ConnectionClosed)
        {
            self.agent_message(now, Some(Err(error)));
        }
    }

    /// Hands frames to Twilio's socket for as long as it takes them.
    fn write_phone(&mut self, now: Instant, cx: &mut Context<'_>) {
        while self.phone.poll_ready(cx) {
            let Some(frame) = self.bridge.poll_to_phone(now) else { return };
            self.phone.send(frame.text);
            if let Some(since) = frame.since {
                self.meters.relayed_to_phone(since.elapsed());
            }
        }
    }

    /// Ticks the bridge when its deadline has passed, and sleeps until the next. The deadline moves
    /// with every frame, so the timer is left alone until it fires or an earlier one is needed.
    fn keep_time(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Some(deadline) = self.bridge.next_deadline() {
            if deadline <= now {
                self.bridge.handle(now, Input::Tick);
                if self.bridge.next_deadline().is_some_and(|next| next <= deadline) {
                    // It waits for a socket, not for time.
                    return;
                }
                continue;
            }
            if self.timer_at.is_none_or(|at| deadline < at) {
                self.timer.as_mut().reset(deadline.into());
                self.timer_at = Some(deadline);
            }
            match self.timer.as_mut().poll(cx) {
                Poll::Pending => return,
                Poll::Ready(()) => self.timer_at = None,
            }
        }
    }
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

/// Closes the agent's socket with 1000, and waits a little for Ultravox to do the same. A socket
/// that is still being joined is joined first: an agent nobody has joined would wait on.
async fn close_agent(agent: AgentLink) {
    let close = async {
        let mut socket = match agent {
            AgentLink::Joined(socket) => *socket,
            AgentLink::Joining(joining) => match joining.await {
                Ok(socket) => socket,
                Err(_) => return,
            },
            AgentLink::Gone => return,
        };
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // After this the connection is dropped, closed or not.
    let _ = tokio::time::timeout(CLOSE_LIMIT, close).await;
}
