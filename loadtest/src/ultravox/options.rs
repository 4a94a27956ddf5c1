//! How a simulated Ultravox behaves, and how it fails.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};

use super::script::{AgentScript, HangUpWhen, Pacing};
use crate::audio::DetectorSettings;
use crate::load::Probe;
use crate::tls::Tls;

/// How a simulated Ultravox behaves.
#[derive(Clone, Debug)]
pub struct UltravoxOptions {
    /// Where it listens.
    pub listen: IpAddr,
    /// The REST API's port; 0 for any free one.
    pub port: u16,
    /// The join sockets' port; 0 for any free one.
    pub join_port: u16,
    /// Serves its REST API and its join sockets over TLS, and tells webhooks over it; plain TCP when
    /// `None`.
    pub tls: Option<Tls>,
    /// The only key it accepts; a random one when `None`.
    pub api_key: Option<String>,
    /// What agents do, unless a call is given a script of its own.
    pub script: AgentScript,
    /// How fast scripted lines are sent.
    pub pacing: Pacing,
    /// How much audio goes into one binary message.
    pub frame: Duration,
    /// When the agent takes sound for speech; `vadSettings` of a call override it.
    pub detector: DetectorSettings,
    /// From the end of the user's turn to the agent's first byte.
    pub think: Duration,
    /// When an agent that hangs up closes the socket.
    pub hang_up: HangUpWhen,
    /// How long a client tool may take.
    pub tool_timeout: Duration,
    /// Whether everything received is kept for `received_audio`.
    pub keep_audio: bool,
    /// Whether the time and size of every binary message are kept.
    pub log_arrivals: bool,
    /// How far received audio may leave the wall clock before it is recorded.
    pub timing_tolerance: Duration,
    /// Answer to a missing or wrong key: 403, or 401.
    pub bad_key_status: u16,
    /// What happens to somebody who joins a call that is unknown or over.
    pub unknown_call: UnknownCall,
    /// Calls that may exist at once, joined or not; one more is a 429.
    pub concurrent_calls: Option<usize>,
    /// How often join sockets send a WebSocket ping.
    pub ping_every: Option<Duration>,
    /// Whether every REST request is kept for `requests`.
    pub keep_requests: bool,
    /// Calls remembered; beyond that the oldest is forgotten once it has ended.
    pub keep_calls: usize,
    /// Receive buffer of join sockets; small ones make slow agents felt soon.
    pub receive_buffer_bytes: Option<usize>,
    /// Pause before a webhook is tried again; it doubles each time.
    pub webhook_retry: Duration,
    /// How often each webhook is delivered, since Ultravox may repeat itself.
    pub webhook_copies: u32,
    /// Agents read no further for this long after each piece of audio.
    pub rest_after_reading: Option<Duration>,
    /// Threads that carry calls, besides the one that takes them; 0 leaves them to it.
    pub threads: usize,
    /// Makes agents that echo send back the frames that can be followed, and only those; what
    /// other agents say of their own accord is made of such frames.
    pub probe: Option<Probe>,
}

impl Default for UltravoxOptions {
    fn default() -> Self {
        UltravoxOptions {
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            join_port: 0,
            tls: None,
            api_key: None,
            script: AgentScript::demo(),
            pacing: Pacing::default(),
            frame: Duration::from_millis(20),
            detector: DetectorSettings::default(),
            think: Duration::from_millis(200),
            hang_up: HangUpWhen::default(),
            tool_timeout: Duration::from_millis(2_500),
            keep_audio: true,
            log_arrivals: false,
            timing_tolerance: Duration::from_secs(1),
            bad_key_status: 403,
            unknown_call: UnknownCall::Close,
            concurrent_calls: None,
            ping_every: Some(Duration::from_secs(20)),
            keep_requests: true,
            keep_calls: usize::MAX,
            receive_buffer_bytes: None,
            webhook_retry: Duration::from_secs(30),
            webhook_copies: 1,
            rest_after_reading: None,
            threads: 0,
            probe: None,
        }
    }
}

impl UltravoxOptions {
    /// The usual behaviour with agents that follow `script`.
    pub fn with_script(script: AgentScript) -> Self {
        UltravoxOptions { script, ..UltravoxOptions::default() }
    }

    /// For many calls: agents echo, audio and requests are not kept, and calls not for long.
    pub fn for_load() -> Self {
        UltravoxOptions {
            keep_audio: false,
            keep_requests: false,
            keep_calls: 2_000,
            ..UltravoxOptions::with_script(AgentScript::Echo)
        }
    }
}

/// What happens to somebody who joins a call that is unknown or over; Ultravox does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCall {
    /// The upgrade succeeds, then the socket is closed with 4404.
    Close,
    /// The upgrade is refused with HTTP 404.
    Http404,
}

/// Which requests a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Every request.
    Any,
    /// Creating a call, by either route.
    CreateCall,
    /// Reading one call or its messages, or listing calls.
    ReadCalls,
    /// Deleting a call.
    DeleteCall,
    /// `send_data_message`.
    SendDataMessage,
    /// Creating, reading, changing and deleting agents.
    Agents,
    /// `accounts/me`, models and voices.
    Account,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This answer in the place of the right one; nothing else happens.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Its JSON body.
        body: Value,
        /// Seconds for a `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// A 200 or 201 whose body is not JSON.
    Garbage,
    /// No answer, and nothing happens.
    NeverAnswers,
    /// Everything happens as asked, and no answer tells of it.
    AnswerLost,
    /// The right answer, this late.
    Slow(Duration),
    /// A call is created, and its answer has a null `joinUrl`.
    NoJoinUrl,
}

impl Fault {
    fn detail(status: u16, detail: &str, retry_after: Option<u64>) -> Self {
        Fault::Answer { status, body: json!({ "detail": detail }), retry_after }
    }

    /// 400, as for a field the account may not use.
    pub fn bad_request() -> Self {
        let body = json!({"systemPrompt": ["This field may not be blank."]});
        Fault::Answer { status: 400, body, retry_after: None }
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Fault::detail(401, "Authentication credentials were not provided.", None)
    }

    /// 402: the free minutes are used up.
    pub fn payment_required() -> Self {
        Fault::detail(402, "A subscription is required.", None)
    }

    /// 403, as for a bad key.
    pub fn forbidden() -> Self {
        Fault::detail(403, "Invalid API key", None)
    }

    /// 429, with or without `Retry-After`.
    pub fn too_many(retry_after: Option<u64>) -> Self {
        Fault::detail(429, "Request was throttled.", retry_after)
    }

    /// 503, with or without `Retry-After`.
    pub fn unavailable(retry_after: Option<u64>) -> Self {
        Fault::detail(503, "No capacity.", retry_after)
    }

    /// 500.
    pub fn server_error() -> Self {
        Fault::detail(500, "Internal server error.", None)
    }
}

/// What goes wrong when somebody joins a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinFault {
    /// The upgrade is refused with this HTTP status.
    Refuse(u16),
    /// The upgrade succeeds, then the socket is closed with this code.
    Close(u16),
    /// The connection is reset before the upgrade.
    Reset,
    /// The upgrade is never answered.
    NeverAnswers,
    /// The upgrade is answered this late.
    Slow(Duration),
}
