//! What a call's life is told, and what it asks for.

use std::time::Duration;

use crate::call::{CallStatus, EndReason};

/// Something that happened to the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Ultravox has made the agent ready.
    AgentReady,
    /// Twilio has accepted the call.
    Placed,
    /// One of the two could not be had. A phone that is there already is told so.
    DialFailed {
        /// Which.
        reason: EndReason,
        /// In the vendor's words.
        detail: String,
    },
    /// Twilio says how the call stands.
    PhoneStatus(CallStatus),
    /// Twilio asks what to do with the answered call.
    Answered,
    /// Twilio's media socket is accepted, which answers a call that has come in.
    StreamOpened,
    /// The stream is over; both sockets are being closed.
    StreamOver(EndReason),
    /// Twilio has left the stream and asks what is next.
    StreamLeft,
    /// A machine took the call: Twilio is to say something to it and hang up, which takes at most
    /// this long.
    Say(Duration),
    /// Twilio says it, in the place of the stream.
    Saying,
    /// Twilio does not say it.
    NotSaid,
    /// Somebody wants it to end.
    End(EndReason),
    /// Twilio has hung up, and may have said how the call ended.
    HungUp(Option<CallStatus>),
    /// Twilio did not hang up.
    HangUpFailed,
    /// A deadline may have passed.
    Tick,
}

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Store the new status, which is not final.
    Status(CallStatus),
    /// Have Twilio say what is to be said and hang up.
    Say,
    /// Have Twilio end the call.
    HangUpPhone,
    /// Have the pump close both sockets.
    EndStream(EndReason),
    /// Nobody will join the agent.
    ReleaseAgent,
    /// Both legs are over. The last action.
    Finish {
        /// A final status.
        status: CallStatus,
        /// Why.
        reason: EndReason,
        /// In the vendor's words, where it failed.
        detail: Option<String>,
        /// From answer to end.
        duration: Option<Duration>,
    },
}
