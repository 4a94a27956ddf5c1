//! What can be said to a call, and what it answers.

use std::time::Duration;

use actix::prelude::*;
use secrecy::SecretString;

use crate::bridge::Notice;
use crate::call::{CallStatus, Direction, EndReason};
use crate::ids::{CallId, CallSid, CompanyId, PhoneNumber};
use crate::machine::{AnsweredBy, MachineDetection};
use crate::ports::{AgentSource, TwilioAccount, UltravoxAccount, Urgency, VendorError};
use crate::stream::StreamTicket;

/// Everything about a call that is known before it is dialled or answered.
#[derive(Clone, Debug)]
pub struct CallSpec {
    /// Our id.
    pub id: CallId,
    /// Whose call it is.
    pub company: CompanyId,
    /// Whose phone line it uses.
    pub twilio: TwilioAccount,
    /// Whose agent it uses.
    pub ultravox: UltravoxAccount,
    /// The phone's side of it.
    pub phone: PhoneLeg,
    /// How long it may last.
    pub max_duration: Duration,
    /// Which agent takes it. `None`: the call is tracked, not bridged. Twilio follows the TwiML
    /// found at its `answer_url`, which is somebody else's, and no agent is created.
    pub agent: Option<AgentSource>,
    /// Whether the agent is given a tool to say that the person does not want to be called any more.
    pub offers_do_not_call: bool,
}

/// Who calls whom, and what that takes.
#[derive(Clone, Debug)]
pub enum PhoneLeg {
    /// We call.
    Outbound {
        /// Who is called.
        to: PhoneNumber,
        /// Where Twilio asks what to do once the call is answered.
        answer_url: String,
        /// Where Twilio reports how the call stands.
        status_url: String,
        /// Where Twilio reports who took the call, when it is to find out.
        machine_url: String,
        /// How long it rings.
        ring_timeout: Duration,
        /// Who goes first when calls have to wait for their turn.
        urgency: Urgency,
        /// Whether answering machines are detected, and what is done about them.
        detection: Option<MachineDetection>,
    },
    /// Somebody calls. It rings at Twilio until its agent is ready.
    Inbound {
        /// Twilio's id.
        call_sid: CallSid,
    },
}

impl PhoneLeg {
    /// Who calls whom.
    pub fn direction(&self) -> Direction {
        match self {
            PhoneLeg::Outbound { .. } => Direction::Outbound,
            PhoneLeg::Inbound { .. } => Direction::Inbound,
        }
    }

    /// Twilio's id, where the call came with one.
    pub fn call_sid(&self) -> Option<&CallSid> {
        match self {
            PhoneLeg::Outbound { .. } => None,
            PhoneLeg::Inbound { call_sid } => Some(call_sid),
        }
    }
}

/// What became of dialling.
pub type Dialled = Result<Placed, DialError>;

/// A call Twilio has accepted.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Twilio's id.
    pub call_sid: CallSid,
    /// The agent's join URL, a credential; `None` when the call is tracked, not bridged.
    pub join_url: Option<SecretString>,
}

/// Why there is no call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// A vendor did not play along.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// It was ended before it was placed.
    #[error("the call was ended before it was placed: {0}")]
    Ended(EndReason),
}

/// Twilio says how a call stands.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PhoneNews {
    /// Twilio's id, as the callback has it.
    pub call_sid: CallSid,
    /// How it stands.
    pub status: CallStatus,
    /// Who took it, where Twilio found out and says so again at the end.
    pub answered_by: Option<AnsweredBy>,
}

/// Twilio has found out who took the call.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MachineNews {
    /// Twilio's id, as the callback has it.
    pub call_sid: CallSid,
    /// A person, a machine, or neither for sure.
    pub answered_by: AnsweredBy,
}

/// Twilio asks what to do with the answered call. The answer is the stream's one-time token.
#[derive(Debug, Message)]
#[rtype(result = "Result<SecretString, NotWelcome>")]
pub struct AnswerCall {
    /// Twilio's id, as the request has it.
    pub call_sid: CallSid,
}

/// Twilio asks what to do with a call that has come in. The answer is the stream's one-time token,
/// and comes when the agent is ready or will not be.
#[derive(Debug, Message)]
#[rtype(result = "Result<SecretString, NotWelcome>")]
pub struct TakeCall;

/// Twilio's media socket is here. The answer lets it in, once.
#[derive(Debug, Message)]
#[rtype(result = "Result<StreamTicket, NotWelcome>")]
pub struct OpenStream;

/// The pump has news.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StreamNews(pub Notice);

/// The stream is over; the pump is closing both sockets.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StreamClosed(pub EndReason);

/// Twilio reports about the stream from its side.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StreamReport {
    /// Twilio's id, as the callback has it.
    pub call_sid: CallSid,
    /// `stream-started`, `stream-stopped`, `stream-error`.
    pub event: String,
    /// Twilio's words, on errors.
    pub error: Option<String>,
}

/// Twilio has left `<Connect>` and asks what is next.
#[derive(Debug, Message)]
#[rtype(result = "AfterStream")]
pub struct ConnectEnded {
    /// Twilio's id, as the request has it.
    pub call_sid: CallSid,
}

/// Somebody wants the call to end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndCall(pub EndReason);

/// What to do with a phone whose stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, MessageResponse)]
pub enum AfterStream {
    /// All was said.
    HangUp,
    /// The agent or the stream was lost: tell the person so.
    Apologise,
}

/// This call takes no stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWelcome {
    /// The request names another call of Twilio's.
    #[error("the call sid belongs to another call")]
    OtherCall,
    /// It has one, or is over.
    #[error("the call has its stream, or is ending")]
    NotNow,
}
