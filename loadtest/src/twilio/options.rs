//! How a simulated Twilio is set up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::faults::CallbackFaults;
use super::phone::PhoneBehaviour;
use crate::load::Probe;
use crate::tls::Tls;

/// Setup of [`SimTwilio`](super::SimTwilio). The defaults suit tests: no rate limit, phones that
/// answer at once, `ws://` allowed, everything recorded.
#[derive(Clone, Debug)]
pub struct TwilioOptions {
    /// Where its REST API listens.
    pub listen: IpAddr,
    /// The REST API's port; 0 for any free one.
    pub port: u16,
    /// Serves the REST API over TLS, and trusts its authority with webhooks and media sockets; when
    /// `None`, the API is plain HTTP, and the authorities of the machine are trusted.
    pub tls: Option<Tls>,
    /// Webhooks and media sockets go to loopback and private addresses only, whatever their URLs
    /// say: load is for one's own machines.
    pub private_only: bool,
    /// The first account.
    pub account: AccountOptions,
    /// What phones do unless told otherwise, number by number.
    pub phone: PhoneBehaviour,
    /// What goes wrong with status callbacks.
    pub callbacks: CallbackFaults,
    /// Allows `ws://` stream URLs, which Twilio refuses with 31922.
    pub allow_ws: bool,
    /// How far fetching and listing calls lags behind the truth.
    pub consistency_delay: Duration,
    /// How far its clock is ahead of the truth, in seconds; behind it when negative. Its answers
    /// say so.
    pub clock_ahead_seconds: i64,
    /// Time `<Say>` takes for one character.
    pub say_char: Duration,
    /// Factor on the time that `<Say>`, `<Play>` and `<Pause>` take. 0 makes them instant.
    pub verb_time: f64,
    /// Longest wait for the answer to a stream's upgrade request.
    pub handshake_timeout: Duration,
    /// Records what is said and heard. Off, a stream costs no memory that grows.
    pub record: bool,
    /// Remembers when each frame was sent and when audio came back.
    pub stamp_frames: bool,
    /// Receive buffer of media sockets; small ones make slow readers felt soon.
    pub receive_buffer_bytes: Option<usize>,
    /// Threads that carry calls, besides the one that does everything else; 0 leaves them to it.
    pub threads: usize,
    /// Makes every phone speak without a pause, in frames that can be followed.
    pub probe: Option<Probe>,
}

impl Default for TwilioOptions {
    fn default() -> Self {
        TwilioOptions {
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            tls: None,
            private_only: false,
            account: AccountOptions::default(),
            phone: PhoneBehaviour::default(),
            callbacks: CallbackFaults::default(),
            allow_ws: true,
            consistency_delay: Duration::ZERO,
            clock_ahead_seconds: 0,
            say_char: Duration::from_millis(60),
            verb_time: 1.0,
            handshake_timeout: Duration::from_secs(10),
            record: true,
            stamp_frames: false,
            receive_buffer_bytes: None,
            threads: 0,
            probe: None,
        }
    }
}

/// A Twilio account.
#[derive(Clone, Debug)]
pub struct AccountOptions {
    /// `AC` and 32 hex digits.
    pub sid: String,
    /// Signs webhooks, and is the password that goes with the account SID.
    pub auth_token: String,
    /// API keys: `SK…` and secret.
    pub api_keys: Vec<(String, String)>,
    /// Numbers the account may call from.
    pub numbers: Vec<String>,
    /// `active`, `suspended` or `closed`.
    pub status: String,
    /// Calls dialled per second; the rest waits in the queue. None dials all at once.
    pub cps: Option<f64>,
    /// Calls at a time; more are refused with 429 and 10004.
    pub max_concurrent_calls: Option<usize>,
}

impl Default for AccountOptions {
    fn default() -> Self {
        AccountOptions {
            sid: "AC00000000000000000000000000000001".to_owned(),
            auth_token: "0123456789abcdef0123456789abcdef".to_owned(),
            api_keys: vec![(
                "SK00000000000000000000000000000001".to_owned(),
                "simulated-api-key-secret".to_owned(),
            )],
            numbers: vec!["+15017122661".to_owned(), "+15005550006".to_owned()],
            status: "active".to_owned(),
            cps: None,
            max_concurrent_calls: None,
        }
    }
}

/// A call that somebody places to one of the service's numbers.
#[derive(Clone, Debug)]
pub struct InboundCall {
    /// The caller's number.
    pub from: String,
    /// The service's number.
    pub to: String,
    /// Where the number's voice webhook points.
    pub voice_url: String,
    /// Requested when the webhook fails.
    pub fallback_url: Option<String>,
    /// The number's status callback; told of the end of the call only.
    pub status_callback: Option<String>,
    /// What the caller does, and what goes wrong.
    pub phone: PhoneBehaviour,
}
