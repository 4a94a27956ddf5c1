//! Starts the real service between its simulated peers, and checks that nothing is left of it.

pub(crate) mod process;
pub(crate) mod requests;
pub(crate) mod scripted;
pub(crate) mod sound;

use std::collections::HashMap;
use std::time::Duration;

use actors::call::{CallEvent, CallStatus, EndReason};
use actors::ids::CallSid;
use callspan::config::{Config, Found, Source};
use callspan::demo;
pub(crate) use callspan::demo::ADMIN_KEY;
use callspan::reconcile::Pace;
use callspan::startup::Application;
use callspan::store::CallRow;
use loadtest::twilio::{PhoneBehaviour, SimCall, SimTwilio, StreamFaults, TwilioOptions};
use loadtest::ultravox::{AgentScript, SimAgentCall, SimUltravox, UltravoxOptions};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

/// Whom the tests call, unless they care.
pub(crate) const CALLEE: &str = "+12125550123";
/// Longest wait for anything that must happen. Never a measure: only the end of a test that failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running service and its peers.
pub(crate) struct TestApp {
    pub(crate) app: Application,
    pub(crate) twilio: SimTwilio,
    pub(crate) ultravox: SimUltravox,
    pub(crate) http: reqwest::Client,
    base: String,
    settings: HashMap<&'static str, String>,
    _folder: TempDir,
}

/// How a [`TestApp`] is to be.
pub(crate) struct Setup {
    settings: HashMap<&'static str, String>,
    twilio: TwilioOptions,
    ultravox: UltravoxOptions,
    pace: Pace,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Setup {
            settings: HashMap::new(),
            twilio: TwilioOptions {
                verb_time: 0.0,
                stamp_frames: true,
                ..TwilioOptions::default()
            },
            ultravox: UltravoxOptions::with_script(AgentScript::Manual),
            pace: Pace::default(),
        }
    }

    /// Sets a variable of the configuration; an empty one unsets it.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.insert(name, value.into());
        self
    }

    /// What agents do by themselves.
    pub(crate) fn agents(mut self, script: AgentScript) -> Self {
        self.ultravox.script = script;
        self
    }

    pub(crate) fn twilio(mut self, change: impl FnOnce(&mut TwilioOptions)) -> Self {
        change(&mut self.twilio);
        self
    }

    /// What phones do, and what goes wrong with their streams.
    pub(crate) fn phones(self, behaviour: PhoneBehaviour) -> Self {
        self.twilio(|twilio| twilio.phone = behaviour)
    }

    /// What goes wrong with the streams of phones.
    pub(crate) fn streams(self, faults: StreamFaults) -> Self {
        self.phones(PhoneBehaviour::answers().with_stream_faults(faults))
    }

    pub(crate) fn ultravox(mut self, change: impl FnOnce(&mut UltravoxOptions)) -> Self {
        change(&mut self.ultravox);
        self
    }

    /// How often Twilio is asked about silent calls.
    pub(crate) fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub(crate) async fn start(self) -> TestApp {
        let twilio = SimTwilio::start(self.twilio).expect("a simulated Twilio");
        let ultravox = SimUltravox::start(self.ultravox).expect("a simulated Ultravox");
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = demo::settings(folder.path(), &twilio, &ultravox);
        settings.extend(self.settings);
        let config = configure(&settings);
        let app = Application::start_with(config, self.pace).await.expect("a running service");
        TestApp {
            base: format!("http://{}", app.address()),
            app,
            twilio,
            ultravox,
            http: reqwest::Client::new(),
            settings,
            _folder: folder,
        }
    }
}

fn configure(settings: &HashMap<&'static str, String>) -> Config {
    let lookup = |name: &str| {
        let value = settings.get(name)?.clone();
        Some(Found { value, source: Source::Environment })
    };
    Config::parse(lookup).expect("a configuration")
}

/// A call that is up: both sockets are open.
pub(crate) struct LiveCall {
    pub(crate) phone: SimCall,
    pub(crate) agent: SimAgentCall,
}

/// Waits for something that must happen, so that a test that fails does not hang.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(LIMIT, what, future).await
}

/// The same for what takes its time.
pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// A second node over the same database and vendors.
    pub(crate) async fn another_node(&self) -> Application {
        Application::start(configure(&self.settings)).await.expect("a running service")
    }

    /// Asks the database itself, for one text.
    pub(crate) async fn sql(&self, query: &'static str) -> Option<String> {
        let mut direct = sqlx::SqliteConnection::connect(&self.settings["DATABASE_URL"]).await;
        let direct = direct.as_mut().expect("a database");
        sqlx::query_scalar(query).fetch_optional(direct).await.expect("is good SQL")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks for a call with any body; gives status and body.
    pub(crate) async fn initiate(&self, body: &Value) -> (u16, Value) {
        let request = self
            .http
            .post(self.url("/api/ultravox-calls/initiate-call"))
            .header("X-API-Key", ADMIN_KEY)
            .json(body);
        let response = soon("an answer", request.send()).await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("a JSON body"))
    }

    /// Places a call that must be accepted; gives Twilio's side of it.
    pub(crate) async fn place_call(&self, to: &str) -> SimCall {
        let body = json!({ "companyId": 1, "destinationNumber": to });
        let (status, answer) = self.initiate(&body).await;
        assert_eq!(status, 200, "{answer}");
        let call = soon("the call at Twilio", self.twilio.wait_for_call(to)).await;
        assert_eq!(answer["callSid"], call.sid());
        call
    }

    /// Places a call and waits until both sockets are up.
    pub(crate) async fn live_call(&self) -> LiveCall {
        self.live_call_to(CALLEE).await
    }

    /// The same with somebody else.
    pub(crate) async fn live_call_to(&self, number: &str) -> LiveCall {
        let phone = self.place_call(number).await;
        let agent = soon("the agent's call", self.ultravox.wait_for_call()).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        soon("the agent", agent.wait_joined()).await;
        LiveCall { phone, agent }
    }

    /// Waits until a call is over everywhere; it must have been answered and end for this reason.
    pub(crate) async fn ended(&self, phone: &SimCall, reason: EndReason) {
        soon("the end of the call", phone.wait_until_settled()).await;
        self.quiet().await;
        let row = self.row(phone).await;
        assert_eq!((row.status, row.end_reason), (CallStatus::Completed, Some(reason)));
        assert_eq!(phone.status(), loadtest::twilio::CallStatus::Completed);
    }

    /// The phone hangs up; the call ends as it should.
    pub(crate) async fn hang_up(&self, call: &LiveCall) {
        call.phone.hang_up();
        self.ended(&call.phone, EndReason::PhoneHungUp).await;
        let close = call.agent.close_frame_received().expect("the agent's socket is closed");
        assert_eq!(close.code, 1_000);
    }

    /// The stored row of a call.
    pub(crate) async fn row(&self, phone: &SimCall) -> CallRow {
        assert!(self.app.flush(LIMIT).await, "the journal is not written");
        let sid: CallSid = phone.sid().parse().expect("a call sid");
        let row = self.app.store().call_by_sid(&sid).await.expect("a database");
        row.expect("the call is stored")
    }

    /// The stored timeline of a call.
    pub(crate) async fn timeline(&self, phone: &SimCall) -> Vec<CallEvent> {
        let row = self.row(phone).await;
        let events = self.app.store().events(row.id).await.expect("a database");
        events.into_iter().map(|event| event.event).collect()
    }

    /// A metric's value; 0 when it was never counted.
    pub(crate) async fn metric(&self, name_and_labels: &str) -> f64 {
        let text = self.http.get(self.url("/metrics")).send().await.expect("an answer");
        let text = text.text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name_and_labels));
        line.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    /// Waits until no call is live anywhere: here, at Twilio, at Ultravox.
    pub(crate) async fn quiet(&self) {
        let all_over = async {
            let twilio = |twilio: &SimTwilio| twilio.live_calls() + twilio.live_streams() == 0;
            self.twilio.wait_until(twilio).await;
            self.ultravox.wait_for_no_sockets().await;
            while self.app.live_calls() > 0 || self.ultravox.active_calls() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LIMIT, all_over).await.is_err() {
            let calls: Vec<_> = self.twilio.calls().iter().map(|call| call.statuses()).collect();
            let agents: Vec<_> = self.ultravox.calls().iter().map(|call| call.events()).collect();
            panic!(
                "not all is over: {} calls and {} streams at Twilio, {} calls and {} sockets at \
                 Ultravox, {} calls here; {calls:?} {agents:?}",
                self.twilio.live_calls(),
                self.twilio.live_streams(),
                self.ultravox.active_calls(),
                self.ultravox.live_sockets(),
                self.app.live_calls(),
            );
        }
    }

    /// Ends the test: nothing may be left behind, and neither vendor may have a complaint.
    pub(crate) async fn finish(self) {
        self.finish_with_violations(&[]).await;
    }

    /// The same when the test itself provoked complaints that contain these words.
    pub(crate) async fn finish_with_violations(self, expected: &[&str]) {
        self.quiet().await;
        assert!(self.app.flush(LIMIT).await, "the journal is not written");
        let live = self.app.store().count_live().await.expect("a database");
        assert_eq!(live, 0, "calls are stored as live");
        assert_eq!(self.metric("callspan_calls_active").await, 0.0);
        assert_eq!(self.metric("callspan_media_streams_active").await, 0.0);
        self.assert_no_complaints(expected);
        soon("the service to stop", self.app.drain(Duration::ZERO)).await;
        self.twilio.shutdown();
        self.ultravox.shutdown();
    }

    /// Ends a test in which the service has stopped, which leaves nothing behind either.
    pub(crate) async fn finish_stopped(self) {
        self.quiet().await;
        let live = self.app.store().count_live().await.expect("a database");
        assert_eq!(live, 0, "calls are stored as live");
        // Callbacks about calls that outlived the service find nobody.
        self.assert_no_complaints(&[]);
    }

    fn assert_no_complaints(&self, expected: &[&str]) {
        let complaints = self.twilio.violations().into_iter().map(|found| format!("{found:?}"));
        let complaints = complaints
            .chain(self.ultravox.violations().into_iter().map(|found| format!("{found:?}")));
        let unexpected: Vec<String> = complaints
            .filter(|complaint| !expected.iter().any(|words| complaint.contains(words)))
            .collect();
        assert!(unexpected.is_empty(), "the vendors complain: {unexpected:#?}");
    }
}
