//! The real program as a process of its own, between simulated peers.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use actors::call::CallStatus;
use actors::ids::{CallId, CallSid};
use callspan::secrets::key_file;
use callspan::store::{CallRow, Store};
use loadtest::tls::Authority;
use loadtest::twilio::{SimCall, SimTwilio, TwilioOptions};
use loadtest::ultravox::{AgentScript, SimAgentCall, SimUltravox, UltravoxOptions};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::requests::INITIATE;
use super::{ADMIN_KEY, CALLEE, LiveCall, soon};

/// What outlives the program: its peers, its database, and its address.
pub(crate) struct World {
    pub(crate) twilio: SimTwilio,
    pub(crate) ultravox: SimUltravox,
    folder: TempDir,
    port: u16,
    scheme: &'static str,
    http: reqwest::Client,
    settings: Vec<(&'static str, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with_twilio(|_| {})
    }

    pub(crate) fn with_twilio(change: impl FnOnce(&mut TwilioOptions)) -> Self {
        let mut options = TwilioOptions { verb_time: 0.0, ..TwilioOptions::default() };
        change(&mut options);
        World::between(options, UltravoxOptions::with_script(AgentScript::Manual))
    }

    pub(crate) fn between(twilio: TwilioOptions, ultravox: UltravoxOptions) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        World {
            twilio: SimTwilio::start(twilio).expect("a simulated Twilio"),
            ultravox: SimUltravox::start(ultravox).expect("a simulated Ultravox"),
            folder: tempfile::tempdir().expect("a folder"),
            // Closed again right away: the next program takes the same port as the one before.
            port: free.local_addr().expect("an address").port(),
            scheme: "http",
            http: reqwest::Client::new(),
            settings: Vec::new(),
        }
    }

    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// The program serves TLS by a certificate of this authority, which it trusts, as its clients do.
    pub(crate) fn with_tls_of(mut self, authority: &Authority) -> Self {
        let files = authority.environment(self.folder()).expect("certificates");
        let text = |path: PathBuf| path.display().to_string();
        self.settings.extend(files.map(|(name, path)| (name, text(path))));
        let tls = authority.peers().expect("a certificate");
        self.http = tls.http_client().build().expect("a client");
        self.scheme = "https";
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn database_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.folder().join("callspan.db").display())
    }

    /// Where the program is, once it runs.
    pub(crate) fn public_url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Runs a command beside the program, with its settings and these, to its end.
    pub(crate) async fn run(&self, args: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = self.command(args);
        command.envs(settings.iter().copied());
        soon("the program to end", command.output()).await.expect("the program starts")
    }

    /// The same, with a text on its standard input.
    pub(crate) async fn run_with_input(
        &self,
        args: &[&str],
        settings: &[(&str, &str)],
        input: &str,
    ) -> Output {
        let mut command = self.command(args);
        command.envs(settings.iter().copied()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        soon("the program to end", child.wait_with_output()).await.expect("a process")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command_with(args);
        command
            .env("CALLSPAN_BIND", format!("127.0.0.1:{}", self.port))
            .env("CALLSPAN_PUBLIC_URL", self.public_url())
            .env("DATABASE_URL", self.database_url())
            .env("CALLSPAN_ADMIN_KEY", ADMIN_KEY)
            .env("CALLSPAN_MAX_CPS", "1000")
            .env("CALLSPAN_TWILIO_API_URL", self.twilio.api_url())
            .env("CALLSPAN_ULTRAVOX_API_URL", self.ultravox.api_url())
            .env("TWILIO_ACCOUNT_SID", self.twilio.account_sid())
            .env("TWILIO_AUTH_TOKEN", self.twilio.auth_token())
            .env("TWILIO_PHONE_NUMBER", self.twilio.phone_number())
            .env("ULTRAVOX_API_KEY", self.ultravox.api_key())
            .current_dir(self.folder())
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a command beside the program, with its settings.
    pub(crate) fn begin(&self, args: &[&str]) -> Program {
        let mut child = self.command(args).spawn().expect("the program starts");
        let log = Log::default();
        log.follow(child.stdout.take().expect("a pipe"));
        log.follow(child.stderr.take().expect("a pipe"));
        Program { child, log, base: self.public_url(), http: self.http.clone() }
    }

    /// Starts the program and waits until it is ready.
    pub(crate) async fn start(&self) -> Program {
        let mut program = self.begin(&["serve"]);
        let ready = async {
            loop {
                let answer = program.http.get(format!("{}/readyz", program.base)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                assert!(program.is_running(), "it did not start: {}", program.log());
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon("the program to be ready", ready).await;
        program
    }

    /// The database, seen beside the program.
    pub(crate) async fn store(&self) -> Store {
        let url = self.database_url();
        let sealer = key_file::load(None, &url).expect("the program has made a key");
        Store::connect(&url, sealer).await.expect("a database")
    }

    /// The stored row of a call.
    pub(crate) async fn row(&self, phone: &SimCall) -> CallRow {
        let sid: CallSid = phone.sid().parse().expect("a call sid");
        let store = self.store().await;
        let row = store.call_by_sid(&sid).await.expect("a database");
        store.close().await;
        row.expect("the call is stored")
    }

    /// Waits until the stored row of the call that an agent was made for is as wanted.
    pub(crate) async fn wait_for_row(
        &self,
        agent: &SimAgentCall,
        wanted: impl Fn(&CallRow) -> bool,
    ) -> CallRow {
        let id = agent.request()["metadata"]["callspanCallId"].as_str().expect("our id");
        let id: CallId = id.parse().expect("our id");
        let store = self.store().await;
        loop {
            let row = store.call(id).await.expect("a database").expect("the call is stored");
            if wanted(&row) {
                store.close().await;
                return row;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Ends the test: nothing may be left behind, and neither vendor may have a complaint.
    pub(crate) async fn finish(self) {
        let over = async {
            self.twilio.wait_until(|it| it.live_calls() + it.live_streams() == 0).await;
            self.ultravox.wait_for_no_sockets().await;
            while self.ultravox.active_calls() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        soon("all calls to be over", over).await;
        let store = self.store().await;
        assert_eq!(store.count_live().await.expect("a database"), 0, "calls are stored as live");
        store.close().await;
        let complaints = (self.twilio.violations(), self.ultravox.violations());
        assert!(complaints.0.is_empty() && complaints.1.is_empty(), "{complaints:#?}");
    }
}

/// Runs the program with these arguments and this environment and nothing else, to its end.
pub(crate) async fn run(args: &[&str], settings: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command_with(args);
    command.current_dir(folder.path()).envs(settings.iter().copied());
    soon("the program to end", command.output()).await.expect("the program starts")
}

fn command_with(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callspan"));
    command
        .args(args)
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running program. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: Log,
    base: String,
    http: reqwest::Client,
}

impl Program {
    /// Runs the program with these settings and nothing else, to its end.
    pub(crate) async fn run_with(settings: &[(&str, &str)]) -> Output {
        run(&["serve"], settings).await
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// Waits for the program's end; `None` when it was killed.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let status: ExitStatus =
            soon("the program to end", self.child.wait()).await.expect("a process");
        soon("the end of the log", self.log.ended()).await;
        status.code()
    }

    /// All it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it has printed this.
    pub(crate) async fn wait_for_log(&self, words: &str) {
        self.log.wait_for(words).await;
    }

    /// A request for a call, not sent yet.
    pub(crate) fn ask(&self, to: &str) -> reqwest::RequestBuilder {
        let body = json!({ "companyId": 1, "destinationNumber": to });
        let url = format!("{}{INITIATE}", self.base);
        self.http.post(url).header("X-API-Key", ADMIN_KEY).json(&body)
    }

    pub(crate) async fn place_call(&self, world: &World) -> SimCall {
        let answer = soon("an answer", self.ask(CALLEE).send()).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", self.log());
        soon("the call", world.twilio.wait_for_call(CALLEE)).await
    }

    pub(crate) async fn live_call(&self, world: &World) -> LiveCall {
        let phone = self.place_call(world).await;
        let agent = soon("the agent", world.ultravox.wait_for_call()).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        soon("the agent", agent.wait_joined()).await;
        soon("audio", agent.wait_for_audio_ms(100)).await;
        LiveCall { phone, agent }
    }

    /// Waits until the call is stored with this status.
    pub(crate) async fn stored(&self, world: &World, phone: &SimCall, status: CallStatus) {
        self.row_when(world, phone, |row| row.status == status).await;
    }

    /// Waits until the call is stored as ended.
    pub(crate) async fn ended(&self, world: &World, phone: &SimCall) -> CallRow {
        self.row_when(world, phone, |row| row.status.is_final()).await
    }

    async fn row_when(
        &self,
        world: &World,
        phone: &SimCall,
        wanted: impl Fn(&CallRow) -> bool,
    ) -> CallRow {
        let sid: CallSid = phone.sid().parse().expect("a call sid");
        let store = world.store().await;
        let found = async {
            loop {
                let row = store.call_by_sid(&sid).await.expect("a database");
                if let Some(row) = row.filter(|row| wanted(row)) {
                    return row;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let row = soon("the call to be stored", found).await;
        store.close().await;
        row
    }
}

/// What a program prints, on both its streams.
#[derive(Clone)]
struct Log {
    text: Arc<Mutex<String>>,
    changed: watch::Sender<usize>,
    open: Arc<()>,
}

impl Default for Log {
    fn default() -> Self {
        Log { text: Arc::default(), changed: watch::Sender::new(0), open: Arc::default() }
    }
}

impl Log {
    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let (text, changed, open) = (self.text.clone(), self.changed.clone(), self.open.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
                changed.send_modify(|lines| *lines += 1);
            }
            drop(open);
            changed.send_modify(|lines| *lines += 1);
        });
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait_for(&self, words: &str) {
        let mut changed = self.changed.subscribe();
        let said = changed.wait_for(|_| self.text().contains(words));
        said.await.expect("the sender lives in `self`");
    }

    /// Both streams are closed.
    async fn ended(&self) {
        let mut changed = self.changed.subscribe();
        let ended = changed.wait_for(|_| Arc::strong_count(&self.open) == 1);
        ended.await.expect("the sender lives in `self`");
    }
}
