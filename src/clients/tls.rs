//! One TLS setup for everything we connect to.
//!
//! It names its crypto provider itself, so nothing depends on a process-wide default. The roots
//! are the machine's own; `SSL_CERT_FILE` and `SSL_CERT_DIR` point elsewhere where that is needed.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::tls_sessions::Sessions;

/// TLS could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsSetupError(String);

/// A client configuration that trusts the machine's roots and `extra_roots`.
///
/// Sessions are resumed, also where hundreds of calls begin at once: see `tls_sessions`. A machine
/// without roots is not an error: plain `http` and `ws` work on it, and every TLS connection is
/// refused with the reason.
pub fn client_config(
    extra_roots: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a root certificate of this machine could not be loaded: {error}");
    }
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 && extra_roots.is_empty() {
        tracing::warn!("this machine has no root certificates: TLS connections will be refused");
    }
    for root in extra_roots {
        roots.add(root.clone()).map_err(|error| TlsSetupError(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsSetupError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(Sessions::default()));
    Ok(Arc::new(config))
}

/// The configuration every client shares, made at the first use: reading the roots takes a while.
pub(super) fn shared() -> Result<Arc<ClientConfig>, TlsSetupError> {
    static SHARED: OnceLock<Result<Arc<ClientConfig>, TlsSetupError>> = OnceLock::new();
    SHARED.get_or_init(|| client_config(&[])).clone()
}
