//! The authority of a test, and what its certificates are good for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What every certificate names: this machine, by each of its names.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Keys or certificates.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What rustls says of them.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The service's files.
    #[error("{path} cannot be written: {source}")]
    Unwritten {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An authority whose certificates are for this machine, and whose key is gone with it.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When the system has no randomness for a key.
    pub fn new() -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // No two share a name, so that whoever trusts another says so, and not that a signature is
        // wrong.
        let name = format!("Callspan load test {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Authority(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// The certificate to trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.0.der()
    }

    /// Writes into a folder what a service on this machine needs, and gives the variables of its
    /// environment that name the files: its certificate, its key, and whom it is to trust.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn environment(&self, folder: &Path) -> Result<[(&'static str, PathBuf); 3], TlsError> {
        let (certificate, key) = self.issue()?;
        let write = |name: &str, pem: String| {
            let path = folder.join(name);
            match std::fs::write(&path, pem) {
                Ok(()) => Ok(path),
                Err(source) => Err(TlsError::Unwritten { path, source }),
            }
        };
        Ok([
            ("CALLSPAN_TLS_CERT", write("certificate.pem", pem("CERTIFICATE", &certificate))?),
            ("CALLSPAN_TLS_KEY", write("key.pem", pem("PRIVATE KEY", key.secret_der()))?),
            ("SSL_CERT_FILE", write("authority.pem", pem("CERTIFICATE", self.certificate()))?),
        ])
    }

    /// A certificate for simulators, who trust the authority and nobody else.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn peers(&self) -> Result<Tls, TlsError> {
        let (certificate, key) = self.issue()?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        // Tickets can be resumed however many clients there are; what is remembered is soon
        // forgotten.
        server.ticketer = Ticketer::new()?;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls { server: Arc::new(server), client: Arc::new(client) })
    }

    fn issue(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(NAMES.map(str::to_owned))?.signed_by(&key, &self.0)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate.der().clone(), key.into()))
    }
}

/// What a simulator shows to those who connect to it, and whom it trusts. Clones share the keys of
/// their tickets, so that a session of one of them can be resumed at another.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// For those who are connected to.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// The same for a server that adds to it.
    pub(crate) fn server_config(&self) -> ServerConfig {
        ServerConfig::clone(&self.server)
    }

    /// For those who connect.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// The beginning of an HTTP client that trusts the authority and nobody else.
    pub fn http_client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().tls_backend_preconfigured(ClientConfig::clone(&self.client))
    }

    /// The letter that makes `https` of `http` and `wss` of `ws`, if there is TLS.
    pub(crate) fn letter(tls: Option<&Tls>) -> &'static str {
        if tls.is_some() { "s" } else { "" }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_shown() {
        let authority = Authority::new().expect("an authority");
        let shown = format!("{authority:?} {:?}", authority.peers().expect("a certificate"));
        assert!(!shown.contains("serialized_der: ["), "{shown}");
        assert!(shown.ends_with(" Tls { .. }"), "{shown}");
    }
}
