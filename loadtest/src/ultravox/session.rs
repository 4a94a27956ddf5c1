//! One joined call: feeds its agent what the socket brings, and carries out what it wants.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    agent::{Action, Agent, CLEAR, Command, Input},
    call::{AgentEvent, CallState, CloseReceived, EndReason},
    join::Counted,
    meter::Meter,
    schema,
    script::AgentScript,
    settings::CallSettings,
    shared::Shared,
    socket::Socket,
    telephone::{StreamEvent, Telephone},
};
use crate::load::{AgentProbe, Probe};

/// How long a client may take to answer a close before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a call from its join to the end of its socket.
pub(crate) async fn run(
    shared: Arc<Shared>,
    call: Arc<CallState>,
    inbox: mpsc::UnboundedReceiver<Command>,
    socket: Socket,
    open: Counted,
) {
    let now = Instant::now();
    let settings = CallSettings::of(&call.id, &call.request, &shared.options);
    let meter = Meter::new(now, shared.options.timing_tolerance, settings.input_rate_hz);
    let script = call.log().script.clone().unwrap_or(AgentScript::Silent);
    let (is_telephone, echoes) = (settings.telephone, script == AgentScript::Echo);
    let agent = Agent::new(now, script, settings);
    let gone = Gone { shared: shared.clone(), call: call.clone() };
    let telephone = is_telephone.then(|| Telephone::new(echoes));
    let ping_at = shared.options.ping_every.map(|every| now + every);
    let probe = shared.options.probe.as_ref().map(Probe::agent);
    let mut session = Session {
        shared,
        call,
        socket,
        agent,
        meter,
        telephone,
        probe,
        echoes,
        deaf_until: None,
        ping_at,
    };
    session.call.update(|log| {
        log.joined = Some(Timestamp::now());
        log.events.push((now, AgentEvent::Joined));
    });
    session.shared.announce(&session.call, "call.joined");
    session.talk(now, inbox).await;
    let meter = session.meter.judge(Instant::now());
    session.call.update(|log| log.timing.extend(meter));
    // The socket goes first, so that nobody finds the call over and a connection still open.
    drop(session);
    drop(open);
    drop(gone);
}

/// Refuses somebody who has connected: an upgrade, and at once a close.
pub(crate) async fn reject(mut socket: Socket, code: u16, reason: &str) {
    socket.send(close_message(code, reason));
    drain(&mut socket).await;
}

/// A call was claimed, and its connection broke before the agent heard anything.
pub(crate) fn lost(shared: Arc<Shared>, call: Arc<CallState>) {
    drop(Gone { shared, call });
}

/// Records the end of a call's socket, however it came about.
struct Gone {
    shared: Arc<Shared>,
    call: Arc<CallState>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.call.update(|log| {
            log.end(EndReason::ConnectionError);
            log.socket_gone = true;
        });
        self.shared.announce(&self.call, "call.ended");
        self.shared.announce(&self.call, "call.billed");
    }
}

struct Session {
    shared: Arc<Shared>,
    call: Arc<CallState>,
    socket: Socket,
    agent: Agent,
    meter: Meter,
    /// Set when the socket speaks Twilio's protocol.
    telephone: Option<Telephone>,
    probe: Option<AgentProbe>,
    /// Whether what is heard is sent back.
    echoes: bool,
    deaf_until: Option<Instant>,
    ping_at: Option<Instant>,
}

impl Session {
    async fn talk(&mut self, joined: Instant, mut inbox: mpsc::UnboundedReceiver<Command>) {
        if self.telephone.is_none() {
            self.agent.handle(joined, Input::Joined);
        }
        let alarm = sleep_until(joined.into());
        tokio::pin!(alarm);
        let mut alarm_at = None;
        loop {
            if self.perform().await.is_break() {
                return;
            }
            let reading = self.deaf_until.is_none();
            let own = self.deaf_until.into_iter().chain(self.ping_at);
            let deadline = own.chain(self.agent.next_deadline()).min();
            // Most deadlines move away with every message: the alarm then goes off once too early.
            if let Some(at) = deadline
                && alarm_at.is_none_or(|armed| at < armed)
            {
                alarm.as_mut().reset(at.into());
                alarm_at = Some(at);
            }
            let input = tokio::select! {
                received = self.socket.next(reading) => match self.received(received).await {
                    ControlFlow::Continue(input) => input,
                    ControlFlow::Break(()) => return,
                },
                Some(command) = inbox.recv() => match command {
                    Command::Reset => return self.reset(),
                    Command::Ping => {
                        self.ping();
                        Input::Tick
                    }
                    Command::StopReading(how_long) => {
                        self.deaf_until = Some(Instant::now() + how_long);
                        Input::Tick
                    }
                    other => Input::Command(other),
                },
                () = &mut alarm, if alarm_at.is_some() => {
                    alarm_at = None;
                    Input::Tick
                }
            };
            let now = Instant::now();
            self.deaf_until = self.deaf_until.filter(|until| *until > now);
            if self.ping_at.is_some_and(|at| at <= now) {
                self.ping();
            }
            self.agent.handle(now, input);
        }
    }

    /// Carries out everything the agent asks for; breaks when the call is over.
    async fn perform(&mut self) -> ControlFlow<()> {
        let mut turns_begun = None;
        while let Some(action) = self.agent.poll_action() {
            match action {
                Action::Text(text) => {
                    if text == CLEAR
                        && let Some(probe) = &mut self.probe
                    {
                        probe.interrupt(Instant::now());
                    }
                    self.socket.send(Message::text(match &self.telephone {
                        Some(telephone) => telephone.translate(text),
                        None => text,
                    }));
                }
                Action::Audio(pcm) => {
                    // What an echo sends has been marked when it was heard.
                    let pcm = match &mut self.probe {
                        Some(probe) if !self.echoes => probe.say(pcm),
                        _ => pcm,
                    };
                    self.socket.send(match &self.telephone {
                        Some(telephone) => Message::text(telephone.say(&pcm)),
                        None => Message::Binary(pcm),
                    });
                }
                Action::Note(event) => {
                    turns_begun = Some(self.agent.turns_begun());
                    self.call.update(|log| log.events.push((Instant::now(), event)));
                }
                Action::Said(said) => self.call.update(|log| log.transcript.push(said)),
                Action::Violation(what) => self.violation(what),
                Action::Close { code, reason, end } => {
                    self.call.update(|log| log.end(end));
                    self.close(code, &reason).await;
                    return ControlFlow::Break(());
                }
            }
        }
        if let Some(turns) = turns_begun {
            self.call.log().turns_begun = turns;
        }
        ControlFlow::Continue(())
    }

    async fn received(
        &mut self,
        received: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> ControlFlow<(), Input> {
        match received {
            Some(Ok(Message::Binary(_))) if self.telephone.is_some() => {
                self.violation("a binary message on a Twilio stream");
                ControlFlow::Continue(Input::Tick)
            }
            Some(Ok(Message::Binary(pcm))) => ControlFlow::Continue(self.audio(pcm)),
            Some(Ok(Message::Text(text))) => self.text(&text).await,
            Some(Ok(Message::Close(frame))) => {
                self.call.update(|log| {
                    log.close_received = Some(close_received(frame));
                    log.end(EndReason::Hangup);
                });
                // A client that does not wait for the answer has said all it wanted.
                let _ = timeout(CLOSE_TIMEOUT, self.socket.answer_close()).await;
                ControlFlow::Break(())
            }
            Some(Ok(Message::Pong(_))) => {
                self.call.update(|log| log.pongs += 1);
                ControlFlow::Continue(Input::Tick)
            }
            Some(Ok(_)) => ControlFlow::Continue(Input::Tick),
            Some(Err(_)) | None => {
                self.call.update(|log| log.end(EndReason::ConnectionError));
                ControlFlow::Break(())
            }
        }
    }

    fn audio(&mut self, pcm: Bytes) -> Input {
        let now = Instant::now();
        if pcm.len() % 2 == 1 {
            let what = format!("a binary message of {} bytes, half a sample too much", pcm.len());
            self.violation(what);
        }
        let timing = self.meter.arrived(now, pcm.len());
        let options = &self.shared.options;
        self.call.update(|log| {
            if options.keep_audio {
                log.audio.extend_from_slice(&pcm);
            }
            if options.log_arrivals {
                log.arrivals.push((now, pcm.len()));
            }
            log.audio_heard = self.meter.heard();
            log.timing.extend(timing);
        });
        if let Some(rest) = options.rest_after_reading {
            self.deaf_until = Some(now + rest);
        }
        match &mut self.probe {
            Some(probe) if self.echoes => Input::Audio(probe.answer(now, &pcm)),
            Some(probe) => {
                probe.hear(now, &pcm);
                Input::Audio(pcm)
            }
            None => Input::Audio(pcm),
        }
    }

    /// Checks a text message; only one of documented shape reaches the agent.
    async fn text(&mut self, text: &str) -> ControlFlow<(), Input> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            self.violation(format!("a message that is not JSON: {text}"));
            return ControlFlow::Continue(Input::Tick);
        };
        if self.telephone.is_some() {
            return self.telephone(message).await;
        }
        self.call.update(|log| log.messages.push(message.clone()));
        let problems = schema::check_message(&message);
        if problems.is_empty() {
            return ControlFlow::Continue(Input::Message(message));
        }
        for problem in problems {
            self.violation(problem);
        }
        ControlFlow::Continue(Input::Tick)
    }

    /// Understands a message of a Twilio stream.
    async fn telephone(&mut self, message: Value) -> ControlFlow<(), Input> {
        let Some(telephone) = &mut self.telephone else { return ControlFlow::Break(()) };
        let mut problems = Vec::new();
        let line = telephone.hear(&message, &mut problems);
        let echo = telephone.echo(&message);
        let stream_sid = telephone.stream_sid().map(str::to_owned);
        for problem in problems {
            self.violation(problem);
        }
        if !matches!(line, StreamEvent::Audio(_)) {
            self.call.update(|log| {
                log.twilio_stream_sid = stream_sid;
                log.messages.push(message);
            });
        }
        match (line, echo) {
            (StreamEvent::Started, _) => {
                let now = Instant::now();
                self.meter = Meter::new(now, self.shared.options.timing_tolerance, 8_000);
                ControlFlow::Continue(Input::Joined)
            }
            (StreamEvent::Audio(pcm), None) => ControlFlow::Continue(self.audio(pcm)),
            (StreamEvent::Audio(pcm), Some(echo)) => {
                self.audio(pcm);
                self.socket.send(Message::text(echo));
                ControlFlow::Continue(Input::Tick)
            }
            (StreamEvent::Noted, _) => ControlFlow::Continue(Input::Tick),
            (StreamEvent::Stopped, _) => {
                self.call.update(|log| log.end(EndReason::Hangup));
                self.close(1000, "").await;
                ControlFlow::Break(())
            }
        }
    }

    /// Closes the socket, and waits for the other side's close.
    async fn close(&mut self, code: u16, reason: &str) {
        self.socket.send(close_message(code, reason));
        let answer = drain(&mut self.socket).await;
        self.call.update(|log| log.close_received = answer);
    }

    fn violation(&self, what: impl Into<String>) {
        self.shared.violation(Some(&self.call.id), what);
    }

    /// Sends a WebSocket ping, and plans the next.
    fn ping(&mut self) {
        self.socket.send(Message::Ping(Bytes::new()));
        self.ping_at = self.shared.options.ping_every.map(|every| Instant::now() + every);
    }

    /// Breaks the connection; `run` records what that means.
    fn reset(&mut self) {
        self.socket.reset_on_drop();
        self.call.update(|log| log.end(EndReason::ConnectionError));
    }
}

/// Writes what is queued and waits for the other side to finish; returns its close, if one comes.
async fn drain(socket: &mut Socket) -> Option<CloseReceived> {
    let mut answer = None;
    let finish = async {
        while let Some(Ok(message)) = socket.next(true).await {
            if let Message::Close(frame) = message {
                answer = Some(close_received(frame));
            }
        }
    };
    // A client that never answers is left alone after a while.
    let _ = timeout(CLOSE_TIMEOUT, finish).await;
    answer
}

fn close_message(code: u16, reason: &str) -> Message {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    Message::Close(Some(frame))
}

fn close_received(frame: Option<CloseFrame>) -> CloseReceived {
    match frame {
        Some(frame) => CloseReceived { code: frame.code.into(), reason: frame.reason.to_string() },
        // RFC 6455: what an empty close frame counts as.
        None => CloseReceived { code: 1005, reason: String::new() },
    }
}
