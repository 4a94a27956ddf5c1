//! How many connections went through a whole handshake, and how many resumed a session.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::HandshakeKind;
use serde::{Deserialize, Serialize};

/// TLS handshakes of one kind of connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    /// All of them.
    pub all: u64,
    /// Those that resumed a session: no certificate is sent or checked, and nothing signed.
    pub resumed: u64,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct HandshakeCount {
    all: AtomicU64,
    resumed: AtomicU64,
}

impl HandshakeCount {
    /// Counts a handshake that is over; one that is not has no kind.
    pub(crate) fn note(&self, kind: Option<HandshakeKind>) {
        if kind.is_some() {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
        if kind == Some(HandshakeKind::Resumed) {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Handshakes {
        let [all, resumed] = [&self.all, &self.resumed].map(|count| count.load(Ordering::Relaxed));
        Handshakes { all, resumed }
    }
}
