//! Ways in which the simulated Twilio can misbehave, all off unless asked for.

use std::time::Duration;

/// What to do with a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureFault {
    /// Sign properly.
    #[default]
    None,
    /// Send no signature.
    Missing,
    /// Send a signature made with another key.
    Wrong,
}

/// Requests of the REST API, to choose which of them a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestOperation {
    /// `POST …/Calls.json`
    CreateCall,
    /// `POST …/Calls/{Sid}.json`
    UpdateCall,
    /// `GET …/Calls/{Sid}.json`
    FetchCall,
    /// `GET …/Calls.json`
    ListCalls,
    /// `GET …/Accounts/{Sid}.json`
    FetchAccount,
}

/// One way for a REST request to go wrong.
#[derive(Clone, Debug)]
pub enum RestFault {
    /// 429 with code 20429; the request is not processed.
    TooManyRequests {
        /// Sent as `Retry-After`, in seconds, when present.
        retry_after: Option<Duration>,
    },
    /// An HTTP error with an error body of Twilio's; the request is not processed.
    Error {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
        /// Message for people.
        message: String,
    },
    /// An HTTP status with an HTML body, as a proxy in between would send; not processed.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// Processed, but the successful answer is not JSON.
    Garbage,
    /// No answer, ever; not processed.
    NeverAnswers,
    /// Processed, but no answer ever comes.
    NeverAnswersAfterEffect,
    /// Processed at once, answered late.
    Slow(Duration),
    /// The connection is closed before anything is done.
    Drop,
    /// Processed (a call is placed), then the connection is closed without an answer.
    DropAfterEffect,
}

/// Faults in the delivery of call status callbacks.
#[derive(Clone, Debug, Default)]
pub struct CallbackFaults {
    /// Every event but the last waits until the next one has been delivered.
    pub reorder: bool,
    /// Every event is sent twice.
    pub duplicate: bool,
    /// `CallStatus` values that are never sent.
    pub drop: Vec<String>,
    /// Wait this long before each delivery.
    pub delay: Duration,
    /// A field nobody has documented.
    pub extra_field: Option<(String, String)>,
    /// How callbacks are signed.
    pub signature: SignatureFault,
    /// City, state, zip and country are sent empty.
    pub empty_geo: bool,
}

/// Faults in fetching TwiML.
#[derive(Clone, Debug, Default)]
pub struct WebhookFaults {
    /// How the request is signed.
    pub signature: SignatureFault,
    /// The first fetch of the call is made twice; the second answer is the one that counts.
    pub twice: bool,
    /// Wait this long before each fetch.
    pub delay: Duration,
    /// A field nobody has documented.
    pub extra_field: Option<(String, String)>,
}

/// A change to what `start.customParameters` carries.
#[derive(Clone, Debug)]
pub enum ParameterFault {
    /// Leave out the parameter of this name.
    Remove(String),
    /// Set the parameter of this name, whether or not it is in the TwiML.
    Set(String, String),
    /// Change the last character of the parameter of this name.
    Alter(String),
}

/// What happens to audio and timestamps while a stream stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallKind {
    /// The network holds frames back and delivers them in a burst afterwards.
    HeldBack,
    /// Frames are lost; timestamps jump by the length of the stall.
    Lost,
    /// The phone makes no audio; timestamps go on where they stopped.
    ClockStops,
}

/// No frames arrive for a while.
#[derive(Clone, Debug)]
pub struct Stall {
    /// When, from the start of the stream.
    pub at: Duration,
    /// For how long.
    pub lasting: Duration,
    /// What becomes of the audio.
    pub kind: StallKind,
}

/// How the phone's side of the socket ends after `stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CloseStyle {
    /// A close frame without a status, which servers report as 1005.
    #[default]
    NoStatus,
    /// A close frame with this code.
    Code(u16),
    /// No close frame: the TCP connection is closed.
    Eof,
    /// No close frame: the TCP connection is reset.
    Reset,
}

/// Faults of one media stream.
#[derive(Clone, Debug, Default)]
pub struct StreamFaults {
    /// How the upgrade request is signed.
    pub upgrade_signature: SignatureFault,
    /// Changes to `start.customParameters`.
    pub parameters: Vec<ParameterFault>,
    /// A `callSid` in `start` that is not the call's.
    pub call_sid: Option<String>,
    /// Wait this long after the upgrade before `connected` and `start`.
    pub start_delay: Duration,
    /// Send no `connected`.
    pub omit_connected: bool,
    /// Send no `start`; media follows all the same.
    pub omit_start: bool,
    /// One `media` message goes out before `connected`.
    pub media_before_start: bool,
    /// `timestamp` of the first frame; 100–200 ms when not set.
    pub first_timestamp_ms: Option<u64>,
    /// Each message is delayed by up to this long; order is kept, so late ones arrive together.
    pub jitter: Duration,
    /// Messages are delivered this many frames at a time. 0 and 1 mean no bursts.
    pub burst_frames: u32,
    /// One frame in this many is lost at random, with a gap in the timestamps.
    pub lose_one_in: Option<u32>,
    /// Frames lost on purpose: (index of the first, how many), counted from 0.
    pub missing: Vec<(u64, u64)>,
    /// Times without frames.
    pub stalls: Vec<Stall>,
    /// Sizes of the frames in bytes, used in turn. 160 when empty.
    pub frame_bytes: Vec<usize>,
    /// The socket is not read: (from, for how long), from the start of the stream.
    pub deaf: Vec<(Duration, Duration)>,
    /// The connection is reset after this long.
    pub reset_after: Option<Duration>,
    /// Marks are never echoed.
    pub swallow_marks: bool,
    /// Send no `stop` at the end.
    pub omit_stop: bool,
    /// This many media messages follow `stop`.
    pub frames_after_stop: u32,
    /// Time between `stop` and the end of the connection.
    pub stop_to_close: Duration,
    /// How the connection ends.
    pub close: CloseStyle,
}
