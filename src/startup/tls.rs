//! Our own certificate, when we serve TLS ourselves.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is missing, or holds no PEM of the kind needed.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The two do not fit together, or are of a kind we cannot serve.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Reads both files.
pub(super) fn server_config(files: &TlsFiles) -> Result<ServerConfig, CertificateError> {
    let bad = |path: &PathBuf| {
        let path = path.clone();
        move |source| CertificateError::File { path, source }
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(bad(&files.cert))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(bad(&files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?)
}
