//! The service under test: the real binary, started as an operator would, and stopped by SIGTERM.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use url::{Host, Url};

use super::proc::Process;
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

/// The service did not do what every test needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("{what} is {url}, which is not on this machine: load goes to loopback only")]
    NotLoopback { what: &'static str, url: String },
    #[error("{program} cannot be started: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("the service ended before it was ready ({status}); its log ends with:\n{log}")]
    Ended { status: ExitStatus, log: String },
    #[error("the service was not ready within {} s; its log ends with:\n{log}", LIMIT.as_secs())]
    NotReady { log: String },
    #[error("the service did not stop within {} s of SIGTERM; its log ends with:\n{log}", LIMIT.as_secs())]
    NotStopped { log: String },
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
    /// Starts the service between the simulators and waits until it is ready.
    pub(crate) async fn start(
        program: &Path,
        cpus: Option<&str>,
        calls: u32,
        (twilio, ultravox): (&SimTwilio, &SimUltravox),
        http: &reqwest::Client,
    ) -> Result<Self, ServiceError> {
        let (twilio_url, ultravox_url) = (twilio.api_url(), ultravox.api_url());
        must_be_loopback("Twilio's API", &twilio_url)?;
        must_be_loopback("Ultravox's API", &ultravox_url)?;
        let folder = tempfile::Builder::new().prefix("callspan-loadtest-").tempdir()?;
        let address = free_address()?;
        let base = format!("http://{address}");

        let mut command = match cpus {
            None => Command::new(program),
            Some(cpus) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", cpus]).arg(program);
                taskset
            }
        };
        let database = folder.path().join("callspan.db");
        // Neither settings nor credentials nor proxies of whoever runs the test get in.
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(folder.path())
            .arg("serve")
            .env("CALLSPAN_BIND", &address)
            .env("CALLSPAN_PUBLIC_URL", &base)
            .env("DATABASE_URL", format!("sqlite://{}?mode=rwc", database.display()))
            .env("CALLSPAN_ADMIN_KEY", ADMIN_KEY)
            .env("CALLSPAN_TWILIO_API_URL", twilio_url)
            .env("CALLSPAN_ULTRAVOX_API_URL", ultravox_url)
            .env("TWILIO_ACCOUNT_SID", twilio.account_sid())
            .env("TWILIO_AUTH_TOKEN", twilio.auth_token())
            .env("TWILIO_PHONE_NUMBER", twilio.phone_number())
            .env("ULTRAVOX_API_KEY", ultravox.api_key())
            .env("CALLSPAN_MAX_ACTIVE_CALLS", (calls + 1).to_string())
            .env("CALLSPAN_MAX_CALL_SECONDS", "86400")
            .env("CALLSPAN_MAX_CPS", "1000")
            .env("CALLSPAN_RATE_LIMIT_PER_MINUTE", "0")
            .env("CALLSPAN_RATE_LIMIT_PER_HOUR", "0")
            .env("CALLSPAN_RATE_LIMIT_BURST", "0")
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

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub(crate) async fn terminate(mut self) -> Result<ExitStatus, ServiceError> {
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

/// An address of this machine that nobody listens on.
fn free_address() -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

/// Refuses every URL that could leave this machine; names too, since they may mean anything.
fn must_be_loopback(what: &'static str, url: &str) -> Result<(), ServiceError> {
    let parsed = Url::parse(url).ok();
    let is_loopback = match parsed.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    if is_loopback { Ok(()) } else { Err(ServiceError::NotLoopback { what, url: url.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_stays_on_this_machine() {
        for url in ["http://127.0.0.1:1/x", "http://[::1]:8000", "http://127.8.9.1"] {
            assert!(must_be_loopback("it", url).is_ok(), "{url}");
        }
        for url in ["https://api.twilio.com", "http://localhost:80", "http://10.0.0.1", "nonsense"]
        {
            assert!(must_be_loopback("it", url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_free_address_can_be_taken() {
        let address = free_address().expect("an address");
        TcpListener::bind(address).expect("it is free");
    }
}
