//! TLS for the simulators, with an authority that is made for one test and trusted by nobody else.
//!
//! What leaves the process are the files that the service under test needs: the authority's
//! certificate, and a certificate of the service's own with its key.

mod authority;
mod cause;
mod handshakes;
mod stream;

pub use authority::{Authority, Tls, TlsError};
pub use handshakes::Handshakes;

pub(crate) use cause::cause;
pub(crate) use handshakes::HandshakeCount;
pub(crate) use stream::{Stream, accept, tcp_of};
