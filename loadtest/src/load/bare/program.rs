//! The program that is measured: started in a process group of its own, and ended with all of it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::group::Group;
use super::{BareError, haproxy};

/// How long a program may take to listen; frameworks import much.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often its port is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How long it may take to end when asked to.
const END_LIMIT: Duration = Duration::from_secs(3);
/// Bytes of what it said that are shown when it fails.
const SAID_BYTES: usize = 2_000;

/// A running program. Dropped, it and its children are ended.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    folder: TempDir,
    name: String,
    port: u16,
}

impl Program {
    /// Starts a bridge by its command line. It learns from its environment where to listen
    /// (`LISTEN_PORT`) and which agent to join (`AGENT_URL`).
    pub(crate) fn bridge(command: &str, cpus: Option<&str>, agent: u16) -> Result<Self, BareError> {
        let port = free_port()?;
        let mut shell = kept_to(cpus, "sh");
        shell
            .arg("-c")
            .arg(command)
            .env("LISTEN_PORT", port.to_string())
            .env("AGENT_URL", format!("ws://127.0.0.1:{agent}/agent"));
        let folder = tempfile::Builder::new().prefix("callspan-bare-").tempdir()?;
        Self::spawn(shell, folder, command.to_owned(), port)
    }

    /// Starts HAProxy in front of a peer.
    pub(crate) fn haproxy(cpus: Option<&str>, peer: u16, calls: u32) -> Result<Self, BareError> {
        let port = free_port()?;
        let name = haproxy::name()?;
        let folder = tempfile::Builder::new().prefix("callspan-bare-").tempdir()?;
        let config = folder.path().join("haproxy.cfg");
        std::fs::write(&config, haproxy::config(port, peer, calls))?;
        let mut command = kept_to(cpus, "haproxy");
        command.arg("-db").arg("-q").arg("-f").arg(config);
        Self::spawn(command, folder, name, port)
    }

    fn spawn(
        mut command: Command,
        folder: TempDir,
        name: String,
        port: u16,
    ) -> Result<Self, BareError> {
        let log = File::create(folder.path().join("said"))?;
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .map_err(|source| BareError::NotStarted { command: name.clone(), source })?;
        Ok(Program { child, folder, name, port })
    }

    /// Waits until it listens.
    pub(crate) async fn wait_until_ready(&mut self) -> Result<(), BareError> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            let (command, port) = (self.name.clone(), self.port);
            if self.child.try_wait()?.is_some() {
                return Err(BareError::Ended { command, said: self.said() });
            }
            if began.elapsed() > READY_LIMIT {
                return Err(BareError::NotReady { command, port, said: self.said() });
            }
            sleep(TRY_EVERY).await;
        }
        Ok(())
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where phones are to connect.
    pub(crate) fn media_url(&self) -> String {
        format!("ws://127.0.0.1:{}/media", self.port)
    }

    /// All of its processes, to be measured.
    pub(crate) fn group(&self) -> Group {
        Group::of(self.child.id())
    }

    /// The end of what it wrote to its terminal.
    pub(crate) fn said(&self) -> String {
        let said = std::fs::read(self.folder.path().join("said")).unwrap_or_default();
        let from = said.len().saturating_sub(SAID_BYTES);
        String::from_utf8_lossy(&said[from..]).trim().to_owned()
    }

    fn end(&mut self) -> io::Result<()> {
        let group = Pid::from_child(&self.child);
        kill_process_group(group, Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() && asked.elapsed() < END_LIMIT {
            std::thread::sleep(TRY_EVERY);
        }
        // Children that outlive the first of them; none is left as a rule.
        let _ = kill_process_group(group, Signal::KILL);
        self.child.wait().map(drop)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails when all of it has ended already.
        let _ = self.end();
    }
}

/// A command that runs on these processors only.
fn kept_to(cpus: Option<&str>, program: &str) -> Command {
    let Some(cpus) = cpus else { return Command::new(program) };
    let mut taskset = Command::new("taskset");
    taskset.args(["--cpu-list", cpus, program]);
    taskset
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
