//! What an agent will say and do: plain data, given to a call before it is joined.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::audio::{Clip, RATE_HZ, Tone, pcm_bytes};

/// How the agent behaves on a call.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentScript {
    /// Listens to real speech, takes turns and can be interrupted. After the last turn it only
    /// listens, unless that turn hangs up.
    Conversation(Vec<Turn>),
    /// Sends every binary message straight back, at once and unchanged.
    Echo,
    /// Never says anything.
    Silent,
    /// Sends this audio as soon as it is joined, whatever the user does.
    Stream {
        /// Samples at the call's output rate: signed 16 bit, little endian.
        pcm: Bytes,
        /// How fast they are sent.
        pacing: Pacing,
    },
    /// Does only what its handle is told.
    Manual,
}

impl AgentScript {
    /// One turn per line; the last is the goodbye.
    pub fn conversation(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut turns: Vec<Turn> = lines.into_iter().map(Turn::of).collect();
        if let Some(last) = turns.last_mut() {
            last.then = Then::HangUp;
        }
        AgentScript::Conversation(turns)
    }

    /// The agent's side of the recorded dialogue: a greeting, a long piece of information that
    /// wants to be interrupted, an answer, and a goodbye.
    pub fn demo() -> Self {
        AgentScript::Conversation(vec![
            Turn::of(Clip::AGENT_GREETING),
            Turn::of(Clip::AGENT_DETAILS).and(Clip::AGENT_MORE_DETAILS),
            Turn::of(Clip::AGENT_REBOOKED),
            Turn::of(Clip::AGENT_GOODBYE).then_hang_up(),
        ])
    }
}

/// Words and their sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the transcript says.
    pub text: String,
    /// 8 kHz samples: signed 16 bit, little endian.
    pub pcm: Bytes,
}

impl Line {
    /// A line of given words and sound.
    pub fn new(text: impl Into<String>, pcm: impl Into<Bytes>) -> Self {
        Line { text: text.into(), pcm: pcm.into() }
    }

    /// A tone that says so in the transcript.
    pub fn tone(tone: Tone, ms: u64) -> Self {
        Line::new(format!("a tone of {} Hz", tone.hz), pcm_bytes(&tone.samples(ms)))
    }

    /// Words nobody recorded, spoken as a murmur of about their length: a beep a word.
    pub fn murmur(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut samples = Vec::new();
        for word in text.split_whitespace() {
            samples.extend(Tone { hz: 250 }.samples(60 * (word.len() as u64).clamp(2, 8)));
            samples.resize(samples.len() + RATE_HZ as usize / 20, 0);
        }
        Line { text, pcm: pcm_bytes(&samples).into() }
    }
}

impl From<Clip> for Line {
    fn from(clip: Clip) -> Self {
        Line::new(clip.text(), clip.pcm())
    }
}

/// Everything the agent says until it listens again.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Said one after the other, without a pause.
    pub lines: Vec<Line>,
    /// What follows.
    pub then: Then,
    /// Whether the user cannot interrupt it.
    pub uninterruptible: bool,
}

impl Turn {
    /// A turn of one line, after which the agent listens.
    pub fn of(line: impl Into<Line>) -> Self {
        Turn { lines: vec![line.into()], then: Then::Listen, uninterruptible: false }
    }

    /// Goes on with `line`, in the same breath.
    #[must_use]
    pub fn and(mut self, line: impl Into<Line>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Hangs up afterwards.
    #[must_use]
    pub fn then_hang_up(mut self) -> Self {
        self.then = Then::HangUp;
        self
    }

    /// Invokes a client tool afterwards, and waits for its result.
    #[must_use]
    pub fn then_invoke(mut self, tool: impl Into<String>, parameters: Value) -> Self {
        self.then = Then::Invoke { tool: tool.into(), parameters };
        self
    }

    /// Goes on talking when the user does.
    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.uninterruptible = true;
        self
    }

    /// The words of all its lines.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// What follows a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// The user's turn.
    Listen,
    /// The agent ends the call.
    HangUp,
    /// The conversation is frozen until a client tool has answered.
    Invoke {
        /// Its name.
        tool: String,
        /// What it is given.
        parameters: Value,
    },
}

/// How fast audio is sent. None of them goes further ahead of playback than the call's
/// `clientBufferSizeMs` allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// A second a second, this much ahead of playback.
    RealTime {
        /// The head start.
        lead: Duration,
    },
    /// This many seconds of audio a second, as speech is synthesised faster than it is spoken.
    Burst {
        /// Above one.
        speed: f64,
    },
    /// As fast as the socket takes it.
    AllAtOnce,
}

impl Pacing {
    /// Real time with the head start of Ultravox's default buffer, 60 ms.
    pub const REAL_TIME: Pacing = Pacing::RealTime { lead: Duration::from_millis(60) };
}

impl Default for Pacing {
    fn default() -> Self {
        Pacing::Burst { speed: 5.0 }
    }
}

/// When an agent that has said goodbye closes the socket. Which of them Ultravox does is not
/// documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUpWhen {
    /// When the goodbye has been played, as far as the agent can tell.
    #[default]
    Played,
    /// As soon as its last byte is sent, with up to `clientBufferSizeMs` still unplayed.
    Sent,
}
