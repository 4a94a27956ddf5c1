//! Measures what a large campaign takes, and how full a busy one keeps its limit.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callspan::config::{Config, Found, Source};
use callspan::demo::{self, ADMIN_KEY};
use callspan::startup::Application;
use loadtest::twilio::{CallerScript, PhoneBehaviour, SimTwilio, TwilioOptions};
use loadtest::ultravox::{SimUltravox, UltravoxOptions};
use serde_json::{Value, json};

pub(crate) use crate::database::Database;

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(1_800);
/// How often the state of the large campaign is asked for.
const LOOKS: usize = 200;
/// How often live calls are counted.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the service keeps its campaigns.
    pub(crate) database: Database,
    /// Recipients of the large campaign.
    pub(crate) recipients: u32,
    /// Calls of the busy one at a time.
    pub(crate) concurrent: u32,
    /// Recipients of the busy one.
    pub(crate) calls: u32,
    /// How long each of its calls lasts, in milliseconds.
    pub(crate) talk_ms: u64,
}

impl Plan {
    /// Says whether it works, and not how fast it is.
    pub(crate) fn smoke(database: Database) -> Plan {
        Plan { database, recipients: 500, concurrent: 4, calls: 12, talk_ms: 200 }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    plan: Plan,
    /// From the first byte of the upload to its answer.
    accepted_in: Duration,
    /// How many rows the service took.
    pub(crate) accepted: u64,
    /// How much more memory the process has while the large campaign runs, simulators included.
    memory_bytes: i64,
    /// Answers to questions for the large campaign's state, sorted.
    looks: Vec<Duration>,
    /// Live calls of the busy campaign for as long as somebody was waiting, on average.
    pub(crate) occupancy: f64,
    /// How many of its recipients were reached.
    pub(crate) completed: u64,
    /// How long the busy campaign took.
    lasted: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { database, recipients, concurrent, calls, talk_ms } = &self.plan;
        let at =
            |share: usize| self.looks[(self.looks.len() - 1) * share / 100].as_secs_f64() * 1e3;
        writeln!(f, "{recipients} recipients as CSV, on {database}")?;
        let taken_in = self.accepted_in.as_secs_f64();
        writeln!(f, "  accepted          {} in {taken_in:.2} s", self.accepted)?;
        writeln!(f, "  more memory       {} KiB while it runs", self.memory_bytes / 1024)?;
        writeln!(f, "  its state         p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))?;
        writeln!(f, "{calls} calls of {talk_ms} ms, {concurrent} at a time")?;
        let share = 100.0 * self.occupancy / f64::from(*concurrent);
        writeln!(f, "  live while any waits  {:.1} ({share:.1} %)", self.occupancy)?;
        write!(f, "  took {:.1} s; {} completed", self.lasted.as_secs_f64(), self.completed)
    }
}

/// Carries a plan out.
pub(crate) async fn run(plan: &Plan) -> Report {
    let talk = CallerScript::new().wait_ms(plan.talk_ms).hang_up();
    let phone = PhoneBehaviour::answers().ringing_for(Duration::ZERO).following(talk);
    let twilio = TwilioOptions { phone, record: false, verb_time: 0.0, ..TwilioOptions::default() };
    let twilio = SimTwilio::start(twilio).expect("a simulated Twilio");
    let ultravox = SimUltravox::start(UltravoxOptions::for_load()).expect("a simulated Ultravox");
    let home = plan.database.make().await;
    let mut settings = demo::settings(home.folder.path(), &twilio, &ultravox);
    settings.insert("DATABASE_URL", home.url.clone());
    settings.insert("CALLSPAN_MASTER_KEY", STANDARD.encode([7; 32]));
    let config = Config::parse(|name| {
        let value = settings.get(name)?.clone();
        Some(Found { value, source: Source::Environment })
    });
    let app = Application::start(config.expect("a configuration")).await.expect("it starts");
    let api = Api { http: reqwest::Client::new(), base: format!("http://{}", app.address()) };

    // What the first call of all allocates is no large campaign's.
    let first = api.create("first", 1, 1).await;
    let id = first["id"].as_str().expect("an id");
    api.until(id, |state| state["state"] == "completed").await;

    let before = resident_bytes();
    let began = Instant::now();
    let large = api.create("large", 1, plan.recipients).await;
    let accepted_in = began.elapsed();
    let id = large["id"].as_str().expect("an id").to_owned();
    api.until(&id, |state| state["counts"]["calling"].as_u64() > Some(0)).await;
    let begun_bytes = resident_bytes();
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let began = Instant::now();
        api.read(&id).await;
        looks.push(began.elapsed());
    }
    let memory_bytes = begun_bytes.max(resident_bytes()) - before;
    looks.sort_unstable();
    api.post(&format!("/{id}/cancel"), &json!({ "end_live_calls": true })).await;
    api.until(&id, |state| state["state"] == "canceled").await;

    let began = Instant::now();
    let busy = api.create("busy", plan.concurrent, plan.calls).await;
    let id = busy["id"].as_str().expect("an id").to_owned();
    let mut counts = Vec::new();
    loop {
        let state = api.read(&id).await;
        if state["counts"]["waiting"] == 0 || state["state"] == "completed" {
            break;
        }
        counts.push(f64::from(u32::try_from(twilio.live_calls()).expect("a few")));
        tokio::time::sleep(COUNT_EVERY).await;
    }
    let done = api.until(&id, |state| state["state"] == "completed").await;
    let lasted = began.elapsed();
    app.drain(Duration::ZERO).await;
    home.delete().await;
    let sum: f64 = counts.iter().sum();
    let samples = u32::try_from(counts.len().max(1)).expect("a few");
    Report {
        plan: plan.clone(),
        accepted_in,
        accepted: large["accepted"].as_u64().expect("a number"),
        memory_bytes,
        looks,
        occupancy: sum / f64::from(samples),
        completed: done["counts"]["completed"].as_u64().expect("a number"),
        lasted,
    }
}

/// The campaigns of the service's API.
struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    async fn create(&self, name: &str, concurrent: u32, recipients: u32) -> Value {
        let mut csv = String::from("phone_number\n");
        for n in 0..recipients {
            csv.push_str(&format!("+1212{n:07}\n"));
        }
        let query = format!("name={name}&max_concurrent_calls={concurrent}&max_cps=100");
        let request = self.http.post(format!("{}/api/v1/campaigns?{query}", self.base));
        Self::json(request.header("Content-Type", "text/csv").body(csv)).await
    }

    async fn read(&self, id: &str) -> Value {
        Self::json(self.http.get(format!("{}/api/v1/campaigns/{id}", self.base))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        Self::json(self.http.post(format!("{}/api/v1/campaigns{path}", self.base)).json(body)).await
    }

    async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let reached = async {
            loop {
                let state = self.read(id).await;
                if is_so(&state) {
                    return state;
                }
                tokio::time::sleep(COUNT_EVERY).await;
            }
        };
        tokio::time::timeout(LIMIT, reached).await.expect("the campaign gets on")
    }

    async fn json(request: reqwest::RequestBuilder) -> Value {
        let answer = request.header("X-API-Key", ADMIN_KEY).send().await.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("a JSON body");
        assert!(status.is_success(), "{status}: {body}");
        body
    }
}

/// What the process has in memory.
fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib = line.trim().trim_end_matches("kB").trim();
    kib.parse::<i64>().expect("a number") * 1024
}
