//! The service under test: the real binary, started as an operator would, and stopped by SIGTERM.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::proc::Process;
use crate::tls::{Authority, TlsError};
use crate::twilio::SimTwilio;
use crate::ultravox::SimUltravox;

/// The service's admin key; it lives as long as the test.
pub(crate) const ADMIN_KEY: &str = "the-admin-key-of-the-load-test";
/// How long the service may take to be ready, and to stop.
const LIMIT: Duration = Duration::from_secs(30);
/// How often it is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Lines of the service's log that are shown when it fails.
const LOG_LINES: usize = 15;
/// Its database, in its folder.
const DATABASE: &str = "callspan.db";

/// The service did not do what every test needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("{program} cannot be started: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("the service ended before it was ready ({status}); its log ends with:\n{log}")]
    Ended { status: ExitStatus, log: String },
    #[error("the service was not ready within {} s; its log ends with:\n{log}", LIMIT.as_secs())]
    NotReady { log: String },
    #[error("the service did not stop within {} s of SIGTERM; its log ends with:\n{log}", LIMIT.as_secs())]
    NotStopped { log: String },
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A running service. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    folder: TempDir,
    base: String,
    started_in: Duration,
}

impl Service {
    /// Starts the service between the simulators and waits until it is ready. It serves TLS when
    /// there is an authority for it, which is then the only one that it trusts.
    pub(crate) async fn start(
        program: &Path,
        cpus: Option<&str>,
        authority: Option<&Authority>,
        calls: u32,
        (twilio, ultravox): (&SimTwilio, &SimUltravox),
        http: &reqwest::Client,
    ) -> Result<Self, ServiceError> {
        let folder = tempfile::Builder::new().prefix("callspan-loadtest-").tempdir()?;
        let address = free_address()?;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{address}");
        let files = authority.map(|authority| authority.environment(folder.path())).transpose()?;

        let mut command = match cpus {
            None => Command::new(program),
            Some(cpus) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", cpus]).arg(program);
                taskset
            }
        };
        let database = folder.path().join(DATABASE);
        // Neither settings nor credentials nor proxies of whoever runs the test get in.
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(folder.path())
            .arg("serve")
            .env("CALLSPAN_BIND", &address)
            .env("CALLSPAN_PUBLIC_URL", &base)
            .env("DATABASE_URL", sqlite_url(&database))
            .env("CALLSPAN_ADMIN_KEY", ADMIN_KEY)
            .envs(environment(calls, (twilio, ultravox)))
            .envs(files.into_iter().flatten())
            .env("CALLSPAN_DRAIN_SECONDS", "5")
            .env("CALLSPAN_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("callspan.log"))?);
        let began = Instant::now();
        let child = command.spawn().map_err(|source| {
            let program = command.get_program().to_string_lossy().into_owned();
            ServiceError::NotStarted { program, source }
        })?;
        let mut service = Service { child, folder, base, started_in: Duration::ZERO };
        service.wait_until_ready(began, http).await?;
        service.started_in = began.elapsed();
        Ok(service)
    }

    async fn wait_until_ready(
        &mut self,
        began: Instant,
        http: &reqwest::Client,
    ) -> Result<(), ServiceError> {
        let readyz = self.url("/readyz");
        loop {
            if let Ok(answer) = http.get(&readyz).timeout(LIMIT).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(ServiceError::Ended { status, log: self.end_of_log() });
            }
            if began.elapsed() > LIMIT {
                return Err(ServiceError::NotReady { log: self.end_of_log() });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// From its start until it was ready.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The address of one of its routes.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Its process, to be measured. taskset becomes the service, so this is never a wrapper.
    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id())
    }

    /// Bytes of its database, once it has stopped.
    pub(crate) fn database_bytes(&self, program: &Path) -> io::Result<u64> {
        settled_database_bytes(program, self.folder.path())
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> Result<ExitStatus, ServiceError> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(io::Error::from)?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if asked.elapsed() > LIMIT {
                return Err(ServiceError::NotStopped { log: self.end_of_log() });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("callspan.log"));
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail when it has ended and been waited for, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a service needs to know to be between the simulators, and not to stand in the way of load.
pub(crate) fn environment(
    calls: u32,
    (twilio, ultravox): (&SimTwilio, &SimUltravox),
) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("CALLSPAN_TWILIO_API_URL", twilio.api_url()),
        ("CALLSPAN_ULTRAVOX_API_URL", ultravox.api_url()),
        ("TWILIO_ACCOUNT_SID", text(twilio.account_sid())),
        ("TWILIO_AUTH_TOKEN", text(twilio.auth_token())),
        ("TWILIO_PHONE_NUMBER", text(twilio.phone_number())),
        ("ULTRAVOX_API_KEY", text(ultravox.api_key())),
        ("CALLSPAN_MAX_ACTIVE_CALLS", (calls + 10).to_string()),
        ("CALLSPAN_MAX_CALL_SECONDS", text("86400")),
        ("CALLSPAN_MAX_CPS", text("1000")),
        ("CALLSPAN_RATE_LIMIT_PER_MINUTE", text("0")),
        ("CALLSPAN_RATE_LIMIT_PER_HOUR", text("0")),
        ("CALLSPAN_RATE_LIMIT_BURST", text("0")),
    ]
}

/// Bytes of a database with nothing in it, as this program makes it.
pub(crate) fn empty_database_bytes(program: &Path) -> io::Result<u64> {
    let folder = tempfile::Builder::new().prefix("callspan-loadtest-").tempdir()?;
    settled_database_bytes(program, folder.path())
}

/// Bytes of the database in a folder, which is made if it is not there. Opening and closing it first
/// brings into its one file what SQLite kept beside it.
fn settled_database_bytes(program: &Path, folder: &Path) -> io::Result<u64> {
    let database = folder.join(DATABASE);
    let status = Command::new(program)
        .env_clear()
        .current_dir(folder)
        .arg("migrate")
        .env("DATABASE_URL", sqlite_url(&database))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match status.success() {
        true => database_bytes(&database),
        false => Err(io::Error::other(format!("the database cannot be opened ({status})"))),
    }
}

fn sqlite_url(database: &Path) -> String {
    format!("sqlite://{}?mode=rwc", database.display())
}

/// Bytes of a database and of what SQLite keeps beside it.
fn database_bytes(database: &Path) -> io::Result<u64> {
    let mut bytes = std::fs::metadata(database)?.len();
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.as_os_str().to_owned();
        beside.push(suffix);
        // Gone after a clean stop.
        bytes += std::fs::metadata(Path::new(&beside)).map_or(0, |found| found.len());
    }
    Ok(bytes)
}

/// An address of this machine that nobody listens on.
fn free_address() -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_address_can_be_taken() {
        let address = free_address().expect("an address");
        TcpListener::bind(address).expect("it is free");
    }

    #[test]
    fn a_database_is_all_of_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join(DATABASE);
        assert!(database_bytes(&database).is_err());
        std::fs::write(&database, [0; 100]).expect("it is written");
        std::fs::write(folder.path().join("callspan.db-wal"), [0; 20]).expect("it is written");
        assert_eq!(database_bytes(&database).expect("they are there"), 120);
    }
}
