//! What can be said of a call: its status, how it ended, and the lines of its timeline.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{CallSid, StreamSid};
use crate::machine::AnsweredBy;
use crate::ports::AgentCall;

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A person called the company.
    Inbound,
    /// The company called a person.
    Outbound,
}

impl Direction {
    /// As stored, and as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a call has come. A call only ever moves forward through these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// Accepted by us or queued at Twilio.
    Initiated,
    /// The phone rings.
    Ringing,
    /// Answered.
    InProgress,
    /// Answered, and over.
    Completed,
    /// Could not be connected.
    Failed,
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Taken back before it was answered.
    Canceled,
}

/// A word that is no call status of Twilio's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown call status {0:?}")]
pub struct UnknownStatus(String);

impl CallStatus {
    /// Every status.
    pub const ALL: [CallStatus; 8] = [
        CallStatus::Initiated,
        CallStatus::Ringing,
        CallStatus::InProgress,
        CallStatus::Completed,
        CallStatus::Failed,
        CallStatus::Busy,
        CallStatus::NoAnswer,
        CallStatus::Canceled,
    ];

    /// The word users and Twilio know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            CallStatus::Initiated => "initiated",
            CallStatus::Ringing => "ringing",
            CallStatus::InProgress => "in-progress",
            CallStatus::Completed => "completed",
            CallStatus::Failed => "failed",
            CallStatus::Busy => "busy",
            CallStatus::NoAnswer => "no-answer",
            CallStatus::Canceled => "canceled",
        }
    }

    /// True when nothing can come after it.
    pub fn is_final(self) -> bool {
        self.rank() == 3
    }

    /// Whether a call may move from `self` to `next`: forward only, and never out of an end.
    pub fn may_become(self, next: CallStatus) -> bool {
        self.rank() < next.rank()
    }

    fn rank(self) -> u8 {
        match self {
            CallStatus::Initiated => 0,
            CallStatus::Ringing => 1,
            CallStatus::InProgress => 2,
            _ => 3,
        }
    }
}

impl FromStr for CallStatus {
    type Err = UnknownStatus;

    /// Reads our own words, and Twilio's `queued`, `answered` and the spelling `cancelled`.
    fn from_str(raw: &str) -> Result<Self, UnknownStatus> {
        match raw {
            "queued" => Ok(CallStatus::Initiated),
            "answered" => Ok(CallStatus::InProgress),
            "cancelled" => Ok(CallStatus::Canceled),
            _ => CallStatus::ALL
                .into_iter()
                .find(|status| status.as_str() == raw)
                .ok_or_else(|| UnknownStatus(raw.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The person hung up.
    PhoneHungUp,
    /// The agent said its goodbye and closed.
    AgentHungUp,
    /// The line was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// Taken back before it was answered.
    Canceled,
    /// The phone network could not connect the call.
    PhoneFailed,
    /// It reached its longest duration.
    MaxDuration,
    /// Ultravox did not create the agent's side.
    AgentCreateFailed,
    /// Twilio did not place the call.
    PhoneCreateFailed,
    /// Twilio may or may not have placed the call, and it was not found again.
    DialOutcomeUnknown,
    /// The agent's socket could not be joined.
    AgentUnreachable,
    /// The agent's socket broke in mid-call.
    AgentLost,
    /// Twilio's socket broke in mid-call.
    PhoneLost,
    /// Twilio's stream did not show the call's token.
    StreamRejected,
    /// Answered, but Twilio's stream never came.
    StreamMissing,
    /// One side broke its protocol, or sent too much that was no part of it.
    ProtocolError,
    /// Somebody asked for it, at Twilio or here.
    HungUp,
    /// The node had no room for it, or was shutting down, before anything was dialled.
    NotAccepted,
    /// An answering machine took it, and the call was to end then.
    Machine,
    /// The node went away before Twilio was asked for the call.
    NeverPlaced,
    /// The service was shutting down and could wait no longer.
    ShutDown,
    /// The node that owned the call went away.
    NodeLost,
    /// A bug ended this call.
    InternalError,
}

impl EndReason {
    /// Snake case, as stored and as clients match on it.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::PhoneHungUp => "phone_hung_up",
            EndReason::AgentHungUp => "agent_hung_up",
            EndReason::Busy => "busy",
            EndReason::NoAnswer => "no_answer",
            EndReason::Canceled => "canceled",
            EndReason::PhoneFailed => "phone_failed",
            EndReason::MaxDuration => "max_duration",
            EndReason::AgentCreateFailed => "agent_create_failed",
            EndReason::PhoneCreateFailed => "phone_create_failed",
            EndReason::DialOutcomeUnknown => "dial_outcome_unknown",
            EndReason::AgentUnreachable => "agent_unreachable",
            EndReason::AgentLost => "agent_lost",
            EndReason::PhoneLost => "phone_lost",
            EndReason::StreamRejected => "stream_rejected",
            EndReason::StreamMissing => "stream_missing",
            EndReason::ProtocolError => "protocol_error",
            EndReason::HungUp => "hung_up",
            EndReason::NotAccepted => "not_accepted",
            EndReason::Machine => "machine",
            EndReason::NeverPlaced => "never_placed",
            EndReason::ShutDown => "shut_down",
            EndReason::NodeLost => "node_lost",
            EndReason::InternalError => "internal_error",
        }
    }
}

impl From<CallStatus> for EndReason {
    /// What a final status of Twilio's says by itself.
    fn from(status: CallStatus) -> Self {
        match status {
            CallStatus::Busy => EndReason::Busy,
            CallStatus::NoAnswer => EndReason::NoAnswer,
            CallStatus::Canceled => EndReason::Canceled,
            CallStatus::Failed => EndReason::PhoneFailed,
            _ => EndReason::PhoneHungUp,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call ended, once it is over on both legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEnd {
    /// A final status.
    pub status: CallStatus,
    /// Why.
    pub reason: EndReason,
    /// What a person would ask for next, where it failed.
    pub detail: Option<String>,
    /// From answer to end; `None` when it was never answered.
    pub duration: Option<Duration>,
    /// Who or what took it, where Twilio was asked to find out and has.
    pub answered_by: Option<AnsweredBy>,
}

/// A change of a call's stored row.
#[derive(Clone, Debug)]
pub enum CallUpdate {
    /// The agent's side exists.
    AgentReady(AgentCall),
    /// Twilio accepted the call.
    Placed(CallSid),
    /// It came one step further. A step back is ignored where it is stored.
    Status(CallStatus),
    /// Twilio's media stream is up.
    StreamStarted(StreamSid),
    /// Twilio has found out who took it. The first word on that stands.
    AnsweredBy(AnsweredBy),
    /// It is over on both sides.
    Ended {
        /// A final status.
        status: CallStatus,
        /// Why.
        reason: EndReason,
        /// What a person would ask for next, where it failed.
        detail: Option<String>,
        /// From answer to end; `None` when it was never answered.
        duration: Option<Duration>,
    },
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person on the phone.
    Phone,
    /// The voice agent.
    Agent,
}

/// One line of a call's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallEvent {
    /// The call was asked for.
    Initiated,
    /// Ultravox created the agent's side.
    AgentReady {
        /// Ultravox's call id.
        ultravox_call_id: String,
    },
    /// Twilio accepted the call.
    Placed {
        /// Twilio's id.
        call_sid: CallSid,
    },
    /// Twilio says the phone rings.
    Ringing,
    /// Somebody picked up.
    Answered,
    /// Twilio has found out who took the call.
    AnsweredBy {
        /// A person, a machine, or neither for sure.
        answered_by: AnsweredBy,
    },
    /// Twilio's media stream is up and has shown its token.
    StreamStarted {
        /// Twilio's id of the stream.
        stream_sid: StreamSid,
    },
    /// The agent's socket is joined.
    AgentJoined,
    /// The first audio of the agent went to the phone.
    FirstAgentAudio {
        /// Since the answer, in milliseconds.
        after_answer_ms: u64,
    },
    /// Something was said.
    Transcript {
        /// By whom.
        speaker: Speaker,
        /// What.
        text: String,
    },
    /// The person interrupted the agent.
    Interrupted {
        /// Audio of ours that Twilio had not been sent yet, in milliseconds.
        dropped_ms: u64,
        /// How much of the agent's speech since the last silence is known to have been played.
        heard_ms: u64,
    },
    /// A key was pressed.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// The person does not want to be called any more.
    DoNotCall,
    /// The agent's side is over.
    AgentLeft {
        /// WebSocket close code, where there was one.
        code: Option<u16>,
        /// The words that came with it.
        reason: String,
    },
    /// Twilio reported something about the stream.
    StreamReport {
        /// `stream-started`, `stream-stopped`, `stream-error`.
        event: String,
        /// Twilio's text, on errors.
        error: Option<String>,
    },
    /// It is over on both sides.
    Ended {
        /// Final status.
        status: CallStatus,
        /// Why.
        reason: EndReason,
        /// What a person would ask for next, where it failed.
        detail: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_never_moves_backwards() {
        for from in CallStatus::ALL {
            for to in CallStatus::ALL {
                let allowed = from.may_become(to);
                assert!(!(allowed && to.may_become(from)), "{from} and {to} lead to each other");
                assert!(!(allowed && from.is_final()), "{from} is an end, yet becomes {to}");
            }
        }
        assert!(CallStatus::Initiated.may_become(CallStatus::Busy));
        assert!(!CallStatus::Completed.may_become(CallStatus::InProgress));
    }

    #[test]
    fn statuses_are_read_as_they_are_written() {
        for status in CallStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("queued".parse(), Ok(CallStatus::Initiated));
        assert_eq!("cancelled".parse(), Ok(CallStatus::Canceled));
        assert!("sleeping".parse::<CallStatus>().is_err());
    }
}
