//! What others cost: other bridges, and a proxy that merely moves the bytes.
//!
//! There is no REST API, no account and no database here. Phones connect straight to the program
//! that is measured, speak Twilio's protocol, and are answered by an agent; every frame is followed
//! as in a load test of the service, and the report is the same.
//!
//! Behind a bridge stands an agent that is sent raw samples. Behind a proxy, which changes nothing,
//! stands a [`peer`] that plays the bridge's part: so the proxy does one read and one write for each
//! frame and direction, as a bridge cannot help doing.

mod group;
mod haproxy;
mod measure;
mod peer;
mod phone;
mod program;
#[cfg(test)]
mod tests;

use std::io;

pub(crate) use measure::{Setup, Target, measure};

use super::limits::TooFewDescriptors;
use crate::twilio::HandshakeError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BareError {
    #[error("{0}")]
    Descriptors(#[from] TooFewDescriptors),
    #[error(
        "haproxy is not there; install it (`apt-get install haproxy`) or leave out what compares \
         with it: {0}"
    )]
    NoHaproxy(io::Error),
    #[error("{command} cannot be started: {source}")]
    NotStarted { command: String, source: io::Error },
    #[error("{command} ended before it listened on its port; it said:\n{said}")]
    Ended { command: String, said: String },
    #[error("{command} did not listen on port {port} in time; it said:\n{said}")]
    NotReady { command: String, port: u16, said: String },
    #[error("only {up} of {calls} calls came up: {why}")]
    NotUp { up: u64, calls: u32, why: String },
    #[error("a phone got no stream: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("it cannot be measured: {0}")]
    Io(#[from] io::Error),
}
