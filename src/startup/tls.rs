//! Our own certificate, when we serve TLS ourselves.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
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

/// Reads both files. Whoever comes back resumes its session by a ticket: these need no memory, so
/// that no number of clients is too large for it.
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
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::io;

    use loadtest::tls::Authority;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, HandshakeKind, ServerConnection};

    use super::*;
    use crate::clients::client_config;

    /// Carries bytes both ways until neither side has more to say.
    fn converse(client: &mut ClientConnection, server: &mut ServerConnection) {
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("a Vec takes anything");
            }
            let mut said: &[u8] = &wire;
            while server.read_tls(&mut said).expect("a slice can be read") > 0 {
                server.process_new_packets().expect("the client keeps the protocol");
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("a Vec takes anything");
            }
            let mut said: &[u8] = &wire;
            while client.read_tls(&mut said).expect("a slice can be read") > 0 {
                client.process_new_packets().expect("the server keeps the protocol");
            }
        }
    }

    #[test]
    fn connections_after_the_first_are_resumed_however_many_begin_at_once() -> io::Result<()> {
        let authority = Authority::new().map_err(io::Error::other)?;
        let folder = tempfile::tempdir()?;
        let [(_, cert), (_, key), _] =
            authority.environment(folder.path()).map_err(io::Error::other)?;
        let server = server_config(&TlsFiles { cert, key }).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let client = client_config(&[authority.certificate().clone()]).map_err(io::Error::other)?;
        let begin = |count: usize| -> Vec<_> {
            let pair = || {
                let name = ServerName::try_from("localhost").expect("a name");
                let client = ClientConnection::new(client.clone(), name).expect("a client");
                let server = ServerConnection::new(server.clone()).expect("a server");
                (client, server)
            };
            // All take their tickets before the first gets another.
            let mut pairs: Vec<_> = (0..count).map(|_| pair()).collect();
            for (client, server) in &mut pairs {
                converse(client, server);
            }
            pairs.iter().map(|(client, _)| client.handshake_kind()).collect()
        };
        assert_eq!(begin(1), [Some(HandshakeKind::Full)]);
        // Each leaves two tickets for the one it took.
        for count in [2, 4, 8, 16, 32, 64, 128] {
            assert_eq!(begin(count), vec![Some(HandshakeKind::Resumed); count]);
        }
        Ok(())
    }
}
