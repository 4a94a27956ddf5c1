//! One call as Ultravox remembers it: what was asked for, what happened, and how it ended.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{agent::Command, meter::TimingEvent, script::AgentScript};

/// Why a call is over, as its `endReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Nobody joined in time.
    Unjoined,
    /// The client hung up.
    Hangup,
    /// The agent hung up.
    AgentHangup,
    /// `maxDuration` was reached.
    Timeout,
    /// The connection was lost, or carried no audio.
    ConnectionError,
    /// Ultravox failed.
    SystemError,
}

impl EndReason {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Unjoined => "unjoined",
            EndReason::Hangup => "hangup",
            EndReason::AgentHangup => "agent_hangup",
            EndReason::Timeout => "timeout",
            EndReason::ConnectionError => "connection_error",
            EndReason::SystemError => "system_error",
        }
    }
}

/// Something that happened on a call, as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// The socket was accepted.
    Joined,
    /// The user's audio became speech.
    UserStartedSpeaking,
    /// The user has been silent for the endpoint's time.
    UserStoppedSpeaking,
    /// The agent began to say something; its first audio leaves in the same moment.
    TurnStarted {
        /// The words.
        text: String,
    },
    /// All of it has been heard, by the agent's model of playback.
    TurnEnded,
    /// The agent fell silent in mid-turn and sent `playback_clear_buffer`.
    Interrupted {
        /// How much of what it had said nobody will hear.
        unheard: Duration,
    },
    /// The call is over.
    Over(EndReason),
}

/// One finished entry of the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether the agent said it; the user did otherwise.
    pub by_agent: bool,
    /// The words; of an interrupted agent, those that were heard.
    pub text: String,
    /// `voice` or `text`.
    pub medium: &'static str,
    /// Its place in the call.
    pub ordinal: u64,
}

/// What a socket was closed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReceived {
    /// The code; 1005 when the frame carried none.
    pub code: u16,
    /// The reason, often empty.
    pub reason: String,
}

/// A call and everything known of it. Shared by REST, the session and handles.
#[derive(Debug)]
pub(crate) struct CallState {
    pub(crate) id: String,
    /// The request, defaults of an agent or a prior call filled in.
    pub(crate) request: Value,
    pub(crate) prior: Option<String>,
    pub(crate) agent: Option<(String, String)>,
    pub(crate) join_url: String,
    pub(crate) created: Timestamp,
    /// Messages a continuation begins with.
    pub(crate) history: Vec<Value>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    log: Mutex<CallLog>,
    changed: watch::Sender<()>,
}

/// What has happened on a call so far.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    pub(crate) script: Option<AgentScript>,
    /// Taken by the one session of the call. Unbounded: a test sends it commands by hand.
    pub(crate) inbox: Option<mpsc::UnboundedReceiver<Command>>,
    pub(crate) claimed: bool,
    pub(crate) joined: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) end_reason: Option<EndReason>,
    pub(crate) socket_gone: bool,
    pub(crate) client_version: Option<String>,
    pub(crate) twilio_stream_sid: Option<String>,
    pub(crate) pongs: usize,
    pub(crate) turns_begun: usize,
    pub(crate) audio: Vec<u8>,
    pub(crate) audio_heard: Duration,
    pub(crate) arrivals: Vec<(Instant, usize)>,
    pub(crate) messages: Vec<Value>,
    pub(crate) transcript: Vec<Said>,
    pub(crate) events: Vec<(Instant, AgentEvent)>,
    pub(crate) timing: Vec<TimingEvent>,
    pub(crate) close_received: Option<CloseReceived>,
}

impl CallLog {
    /// Ends the call; the first reason stays.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if self.end_reason.is_none() {
            self.end_reason = Some(reason);
            self.ended = Some(Timestamp::now());
            self.events.push((Instant::now(), AgentEvent::Over(reason)));
        }
    }

    /// Whether nothing more will happen: the call has ended and its socket, if any, is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.end_reason.is_some() && (!self.claimed || self.socket_gone)
    }
}

/// What a call is made from.
pub(crate) struct NewCall {
    pub(crate) id: String,
    pub(crate) request: Value,
    pub(crate) prior: Option<String>,
    pub(crate) agent: Option<(String, String)>,
    pub(crate) join_url: String,
    pub(crate) history: Vec<Value>,
    pub(crate) script: AgentScript,
}

impl CallState {
    pub(crate) fn new(new: NewCall) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let log = CallLog { script: Some(new.script), inbox: Some(inbox), ..CallLog::default() };
        CallState {
            id: new.id,
            request: new.request,
            prior: new.prior,
            agent: new.agent,
            join_url: new.join_url,
            created: Timestamp::now(),
            history: new.history,
            commands,
            log: Mutex::new(log),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, CallLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and wakes whoever waits for it.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut CallLog) -> T) -> T {
        let result = change(&mut self.log());
        self.changed.send_replace(());
        result
    }

    /// Waits until `look` finds something.
    pub(crate) async fn wait_for<T>(&self, mut look: impl FnMut(&CallLog) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(found) = look(&self.log()) {
                return found;
            }
            // The sender lives in `self`, so there is always another change to wait for.
            changes.changed().await.expect("the call outlives everybody who waits for it");
        }
    }
}
