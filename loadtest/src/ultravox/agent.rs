//! The simulated agent of one call: listens, takes turns, and stops when it is interrupted.
//!
//! Nothing here does I/O or reads a clock: the session feeds it inputs, performs its actions and
//! wakes it at its next deadline.

mod control;
mod turns;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    call::{AgentEvent, EndReason, Said},
    ears::{Ears, Heard},
    playout::Playout,
    script::{AgentScript, HangUpWhen, Pacing, Then, Turn},
    settings::{CallSettings, FirstSpeaker},
    speech::Speech,
};

/// The message that drops what the client has not played.
pub(crate) const CLEAR: &str = r#"{"type":"playback_clear_buffer"}"#;

/// What an agent is told.
#[derive(Debug)]
pub(crate) enum Input {
    Joined,
    Audio(Bytes),
    /// A message from the client, of documented shape.
    Message(Value),
    Command(Command),
    Tick,
}

/// What a test makes an agent do.
#[derive(Debug)]
pub(crate) enum Command {
    Say(Turn, Option<Pacing>),
    Play(Bytes, Pacing),
    Frames(Vec<Bytes>),
    Clear,
    Text(String),
    Invoke {
        invocation: String,
        tool: String,
        parameters: Value,
    },
    /// A message that came by REST.
    Message(Value),
    HangUp,
    Close(u16, String),
    // Carried out by the session, which owns the socket.
    Ping,
    Reset,
    StopReading(Duration),
}

/// What an agent asks of its session.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Text(String),
    Audio(Bytes),
    /// Close the socket; the call is over, for this reason.
    Close {
        code: u16,
        reason: String,
        end: EndReason,
    },
    /// Remember that this happened.
    Note(AgentEvent),
    /// Remember what was said.
    Said(Said),
    Violation(String),
}

/// What the agent is doing.
#[derive(Debug, PartialEq)]
enum Phase {
    /// Listening; a goodbye that was interrupted leaves a hang-up to be done.
    Waiting {
        then_hang_up: bool,
    },
    /// About to speak.
    Thinking {
        until: Instant,
    },
    Speaking,
    /// Waiting for a tool that the script invoked.
    Frozen {
        invocation: String,
    },
    Over,
}

#[derive(Debug)]
pub(crate) struct Agent {
    settings: CallSettings,
    started: Option<Instant>,
    last_audio: Instant,
    echo: bool,
    stream: Option<(Bytes, Pacing)>,
    turns: VecDeque<Turn>,
    /// Said before the next scripted turn, and not part of it.
    asides: VecDeque<(Turn, Option<Pacing>)>,
    /// A text message came while the agent spoke: it goes on without waiting for the user.
    owes_answer: bool,
    phase: Phase,
    speech: Option<Speech>,
    speaks_unasked_at: Option<Instant>,
    ears: Ears,
    playout: Playout,
    text_only: bool,
    next_ordinal: u64,
    tools: HashMap<String, Tool>,
    turns_begun: usize,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Tool {
    deadline: Instant,
    answered: bool,
}

impl Agent {
    pub(crate) fn new(now: Instant, script: AgentScript, settings: CallSettings) -> Self {
        let (turns, stream) = match &script {
            AgentScript::Conversation(turns) => (turns.clone().into(), None),
            AgentScript::Stream { pcm, pacing } => (VecDeque::new(), Some((pcm.clone(), *pacing))),
            AgentScript::Echo | AgentScript::Silent | AgentScript::Manual => Default::default(),
        };
        Agent {
            started: None,
            last_audio: now,
            echo: script == AgentScript::Echo,
            stream,
            turns,
            asides: VecDeque::new(),
            owes_answer: false,
            phase: Phase::Waiting { then_hang_up: false },
            speech: None,
            speaks_unasked_at: None,
            ears: Ears::new(settings.detector),
            playout: Playout::new(
                now,
                settings.output_rate_hz,
                settings.frame,
                settings.client_buffer,
            ),
            text_only: settings.text_only,
            next_ordinal: 0,
            tools: HashMap::new(),
            turns_begun: 0,
            actions: VecDeque::new(),
            settings,
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::Joined => self.joined(now),
            Input::Audio(pcm) => self.audio(now, pcm),
            Input::Message(message) => self.message(now, &message),
            Input::Command(command) => self.command(now, command),
            Input::Tick => {}
        }
        self.advance(now);
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How many scripted turns have begun: a continuation of the call takes up after them.
    pub(crate) fn turns_begun(&self) -> usize {
        self.turns_begun
    }

    /// When it wants to be woken at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Over {
            return None;
        }
        let started = self.started?;
        let thinking = match &self.phase {
            Phase::Thinking { until } => Some(*until),
            _ => None,
        };
        let ended = self.speech.as_ref().filter(|_| self.playout.all_sent());
        [
            self.playout.next_due(),
            self.speech.as_ref().and_then(Speech::next_word),
            ended.map(|_| self.playout.heard_until()),
            thinking,
            self.speaks_unasked_at,
            self.tools.values().filter(|tool| !tool.answered).map(|tool| tool.deadline).min(),
            Some(started + self.settings.max_duration),
            self.settings.media_idle.map(|idle| self.last_audio + idle),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn joined(&mut self, now: Instant) {
        self.started = Some(now);
        self.last_audio = now;
        let hello = json!({"type": "call_started", "callId": self.settings.call_id});
        self.text("callStarted", &hello);
        self.state("listening");
        if let Some((pcm, pacing)) = self.stream.take() {
            self.playout.say(now, pcm, pacing);
        }
        match self.settings.first_speaker {
            FirstSpeaker::Agent { delay, uninterruptible } => {
                if let Some(greeting) = self.turns.front_mut() {
                    greeting.uninterruptible |= uninterruptible;
                    self.phase = Phase::Thinking { until: now + delay };
                }
            }
            FirstSpeaker::User { fallback } => {
                self.speaks_unasked_at =
                    fallback.filter(|_| !self.turns.is_empty()).map(|delay| now + delay);
            }
        }
    }

    fn audio(&mut self, now: Instant, pcm: Bytes) {
        self.last_audio = now;
        if self.echo {
            if !pcm.is_empty() {
                self.actions.push_back(Action::Audio(pcm));
            }
            return;
        }
        for heard in self.ears.hear(&pcm) {
            match heard {
                Heard::Started => self.user_started(now),
                Heard::Stopped { text } => self.user_stopped(now, text),
            }
        }
    }

    /// Does everything whose time has come.
    fn advance(&mut self, now: Instant) {
        let Some(started) = self.started else { return };
        while let Some(frame) = self.playout.poll(now) {
            self.actions.push_back(Action::Audio(frame));
        }
        self.tell_words(now);
        self.finish_speech(now);
        self.expire_tools(now);
        if self.speaks_unasked_at.is_some_and(|due| due <= now) {
            self.speaks_unasked_at = None;
            if let Phase::Waiting { then_hang_up: false } = self.phase {
                self.think(now);
            }
        }
        if let Phase::Thinking { until } = self.phase
            && until <= now
        {
            self.take_turn(now);
        }
        if now >= started + self.settings.max_duration {
            self.close(1000, "the call reached its maximum duration", EndReason::Timeout);
        } else if self.settings.media_idle.is_some_and(|idle| now >= self.last_audio + idle) {
            self.close(1008, "no media", EndReason::ConnectionError);
        }
    }

    fn close(&mut self, code: u16, reason: &str, end: EndReason) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.actions.push_back(Action::Close { code, reason: reason.into(), end });
    }

    /// Sends a message, if messages of its kind are enabled.
    fn text(&mut self, flag: &str, message: &Value) {
        if self.settings.messages.contains(flag) {
            self.actions.push_back(Action::Text(message.to_string()));
        }
    }

    fn state(&mut self, state: &str) {
        self.text("state", &json!({"type": "state", "state": state}));
    }

    fn note(&mut self, event: AgentEvent) {
        self.actions.push_back(Action::Note(event));
    }

    fn ordinal(&mut self) -> u64 {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        ordinal
    }
}

#[cfg(test)]
mod tests;
