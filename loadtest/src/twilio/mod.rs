//! A simulated Twilio: REST API, status callbacks, TwiML, phones and media streams.
//!
//! It stands in for Twilio in tests, in the demo and under load. It is strict: whatever the
//! service does that Twilio does not document is recorded as a [`Violation`]. It is faithful in
//! time: frames are due on an absolute 20 ms clock. And it can misbehave in every way that has
//! been seen or must be expected of Twilio, the network and the person on the phone: see
//! [`RestFault`], [`CallbackFaults`], [`WebhookFaults`] and [`StreamFaults`].
//!
//! It shares no code with the service, so that a mistake is not mirrored on both sides.

mod account;
mod call;
mod call_run;
mod callbacks;
mod faults;
mod handle;
pub(crate) mod handshake;
mod inbox;
mod interpreter;
pub mod level;
mod options;
mod phone;
pub mod playback;
mod raw;
mod rest;
mod server;
mod session;
pub mod signature;
mod status;
mod stream;
pub mod twiml;
mod uplink;
pub mod validator;
mod webhook;
pub(crate) mod wire;
mod world;
mod xml;

pub use call::{MarkRecord, Notification, Recording, TwimlDocument, Violation};
pub use faults::{
    CallbackFaults, CloseStyle, ParameterFault, RestFault, RestOperation, SignatureFault, Stall,
    StallKind, StreamFaults, WebhookFaults,
};
pub use handle::{CallOver, SimCall};
pub use handshake::HandshakeError;
pub use options::{AccountOptions, InboundCall, TwilioOptions};
pub use phone::{CallerScript, CallerStep, PhoneBehaviour, PhoneOutcome};
pub use raw::RawStream;
pub use server::SimTwilio;
pub(crate) use server::install_crypto_provider;
pub use status::{CallStatus, Direction};
pub use tokio_tungstenite::tungstenite::Message;
pub use world::{CallbackRecord, RestRequest};
