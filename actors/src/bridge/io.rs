//! What goes into a bridge and what comes out of it.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::call::{EndReason, Speaker};
use crate::ids::{CallSid, StreamSid};

use super::{DownlinkCounts, UplinkCounts};

/// What the stream must show to be let in.
#[derive(Debug)]
pub struct Admission {
    /// The one-time token that our TwiML gave Twilio as the parameter [`TOKEN_PARAMETER`].
    pub token: SecretString,
    /// The call it was made for.
    pub call_sid: CallSid,
}

/// The name of the `<Parameter>` that carries the stream's one-time token.
pub const TOKEN_PARAMETER: &str = "token";

/// Something that happened to one of the two sockets, or a wish of the call's owner.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from Twilio.
    PhoneText(&'a str),
    /// A binary frame from Twilio, which has no business there.
    PhoneBinary,
    /// Twilio's socket is gone.
    PhoneClosed,
    /// Twilio's socket broke the WebSocket protocol, or sent a frame beyond the size limit.
    PhoneViolation,
    /// The agent's socket is joined.
    AgentJoined,
    /// The agent's socket could not be joined.
    AgentUnreachable {
        /// What went wrong, without the join URL.
        cause: String,
    },
    /// A binary frame from the agent: samples.
    AgentAudio(&'a [u8]),
    /// A text frame from the agent.
    AgentText(&'a str),
    /// The answer to a probe, or a probe.
    AgentAlive,
    /// The agent's socket is gone.
    AgentClosed {
        /// WebSocket close code; `None` when the connection broke.
        code: Option<u16>,
        /// The words that came with it.
        reason: String,
    },
    /// The call's owner ends it.
    End(EndReason),
    /// A deadline may have passed.
    Tick,
}

/// A text frame for Twilio's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToPhone {
    /// When the audio in it came from the agent; `None` for control messages.
    pub since: Option<Instant>,
    /// Frames of 20 ms in it.
    pub frames: u64,
}

/// A frame for the agent's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// To be sent as a binary frame: signed 16-bit little-endian samples.
    Audio {
        /// When it came from the phone; `None` for silence we made.
        since: Option<Instant>,
    },
    /// To be sent as a text frame.
    Text,
    /// To be sent as a ping, to see whether anybody is there.
    Probe,
}

/// Something the call's owner wants to know. Durations are measured by this bridge's clock.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Twilio's stream is up and has shown its token.
    StreamStarted(StreamSid),
    /// The agent's socket is joined.
    AgentJoined,
    /// The first audio of the agent is on its way to the phone.
    FirstAgentAudio,
    /// The agent answered after the person fell silent.
    AgentResponded {
        /// From the person's last loud frame to the agent's first.
        after: Duration,
    },
    /// Something was said.
    Transcript(Speaker, String),
    /// The person interrupted the agent.
    Interrupted {
        /// Audio that had not been sent to Twilio yet.
        dropped_ms: u64,
        /// Audio of this turn known to have been played.
        heard_ms: u64,
    },
    /// Twilio confirmed that it fell silent.
    Silenced {
        /// From the agent's message to Twilio's echo.
        after: Duration,
    },
    /// A key was pressed.
    Dtmf(char),
    /// The person does not want to be called any more. Said once.
    DoNotCall,
    /// The agent's socket is over.
    AgentLeft {
        /// WebSocket close code.
        code: Option<u16>,
        /// The words that came with it.
        reason: String,
    },
    /// A frame was ignored.
    Ignored {
        /// Which peer sent it.
        from: Speaker,
        /// Why.
        why: &'static str,
    },
}

/// What became of all audio, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Phone → agent.
    pub uplink: UplinkCounts,
    /// Agent → phone.
    pub downlink: DownlinkCounts,
}
