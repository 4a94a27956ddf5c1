//! The vendors' APIs: Twilio's and Ultravox's REST, and the WebSocket an agent is joined by.
//!
//! The promise of this module is that a person is never dialled twice: a request that may have
//! been carried out is repeated only where a second copy does no harm. Everything that goes wrong
//! becomes a [`VendorError`](actors::ports::VendorError) without URL or secret in it. What to do
//! about it is decided elsewhere.

pub mod agent_socket;
mod http;
mod problem;
mod retry;
mod tls;
mod tls_sessions;
pub mod twilio;
pub mod ultravox;

use std::time::Duration;

use actors::ports::Vendor;

pub use agent_socket::{AgentConnector, AgentSocket, AgentSocketError};
pub use http::{ClientSetupError, HttpSettings};
pub use tls::{TlsSetupError, client_config};
pub use twilio::TwilioClient;
pub use ultravox::UltravoxClient;

/// Is told of every attempt of every request, for metrics.
pub trait RequestObserver: Send + Sync {
    /// `operation` is a short label such as `place`; `status` is the HTTP status, or
    /// `unreachable`, `timeout`, `broken` (no readable answer). A request that was repeated is
    /// reported once for each attempt.
    fn request(&self, vendor: Vendor, operation: &'static str, status: &str, elapsed: Duration);
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl RequestObserver for NoObserver {
    fn request(&self, _: Vendor, _: &'static str, _: &str, _: Duration) {}
}
