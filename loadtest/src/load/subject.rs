//! The service under test: one of our own, or one that somebody else started.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::attach::{ApiKey, Target};
use super::gauge::Gauge;
use super::service::{self, ADMIN_KEY, Service};

/// Where the service comes from.
#[derive(Clone, Debug)]
pub(crate) enum LaunchMode {
    /// It is started for the test, on loopback, with a database that lives as long.
    Own {
        program: PathBuf,
        /// Keeps it to these processors.
        cpus: Option<String>,
        /// Encrypts whatever goes to it and comes from it.
        tls: bool,
    },
    /// It runs already, or is about to.
    Attached(Attachment),
}

impl LaunchMode {
    /// Whether both legs are encrypted. Those to somebody else's service are as it has them.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, LaunchMode::Own { tls: true, .. })
    }

    /// The processors it is kept to.
    pub(crate) fn cpus(&self) -> Option<String> {
        match self {
            LaunchMode::Own { cpus, .. } => cpus.clone(),
            LaunchMode::Attached(_) => None,
        }
    }

    /// The same without TLS.
    pub(crate) fn plain(&self) -> Self {
        let mut plain = self.clone();
        if let LaunchMode::Own { tls, .. } = &mut plain {
            *tls = false;
        }
        plain
    }
}

/// A service of somebody else's, and where the simulators are for it.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) url: Url,
    pub(crate) key: ApiKey,
    pub(crate) listen: IpAddr,
    pub(crate) twilio_port: u16,
    /// Of the REST API; the join sockets have the one after it.
    pub(crate) ultravox_port: u16,
}

/// A service that is ready.
#[derive(Debug)]
pub(crate) enum Subject {
    Own { service: Service, program: PathBuf },
    Attached { target: Target, http: reqwest::Client },
}

/// How a service of our own went.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stopped {
    /// Unless it was as it should.
    pub(crate) bad_exit: Option<String>,
    /// Bytes by which its database has grown.
    pub(crate) database_growth: Option<u64>,
}

impl Subject {
    /// The address of one of its routes.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Subject::Own { service, .. } => service.url(path),
            Subject::Attached { target, .. } => format!("{}{path}", target.base),
        }
    }

    /// The key of its API.
    pub(crate) fn key(&self) -> &str {
        match self {
            Subject::Own { .. } => ADMIN_KEY,
            Subject::Attached { target, .. } => target.key.expose(),
        }
    }

    /// Where its use of processors and memory is read.
    pub(crate) fn gauge(&self) -> Gauge {
        match self {
            Subject::Own { service, .. } => Gauge::Process(service.process()),
            Subject::Attached { target, http } => target.gauge(http),
        }
    }

    /// From its start until it was ready; nothing when somebody else started it.
    pub(crate) fn started_in(&self) -> Duration {
        match self {
            Subject::Own { service, .. } => service.started_in(),
            Subject::Attached { .. } => Duration::ZERO,
        }
    }

    /// Stops what we started, and looks at what it leaves.
    pub(crate) async fn stop(self) -> Stopped {
        let Subject::Own { mut service, program } = self else { return Stopped::default() };
        let bad_exit = match service.terminate().await {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the service ended with {status}")),
            Err(error) => Some(error.to_string()),
        };
        let grown = || -> io::Result<u64> {
            let empty = service::empty_database_bytes(&program)?;
            Ok(service.database_bytes(&program)?.saturating_sub(empty))
        };
        Stopped { bad_exit, database_growth: grown().ok() }
    }
}
