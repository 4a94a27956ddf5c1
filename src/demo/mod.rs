//! `callspan demo`: a phone call one can watch and hear, without an account or a network.
//!
//! The service is the real one, with its database, REST API and sockets. Only the two vendors are
//! simulated: a phone with a recorded person on it, and an agent with recorded lines that listens,
//! takes turns and can be interrupted.

mod latency;
mod timeline;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::ids::CallSid;
use loadtest::audio::{Clip, Track, WavError, write_stereo};
use loadtest::twilio::{CallerScript, PhoneBehaviour, SimCall, SimTwilio, TwilioOptions};
use loadtest::ultravox::{AgentScript, SimUltravox, UltravoxOptions};
use serde_json::{Value, json};

use crate::config::{Config, ConfigErrors, Found, Source};
use crate::startup::{Application, StartupError};
use crate::store::StoreError;

use timeline::Timeline;

/// Whom the demo calls: a number reserved for fiction.
const CALLEE: &str = "+12125550123";
/// The admin key of a service between simulated vendors.
pub const ADMIN_KEY: &str = "the-key-of-a-simulated-service";
/// Longest wait for the end of a conversation that takes about 35 seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Why there was no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulators or a temporary folder.
    #[error("the demo cannot be set up: {0}")]
    Setup(#[from] io::Error),
    /// The service's configuration.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The service itself.
    #[error("the service did not start: {0}")]
    Startup(#[from] StartupError),
    /// Its REST API.
    #[error("the service did not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// What it answered.
    #[error("the call was not placed: HTTP {status}: {body}")]
    NotPlaced {
        /// HTTP status.
        status: u16,
        /// The answer.
        body: Value,
    },
    /// Its database.
    #[error("the timeline cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The call went on and on.
    #[error("the call did not end within {} s", LIMIT.as_secs())]
    TooLong,
    /// The recording.
    #[error("{}: {source}", path.display())]
    Recording {
        /// Where it was to go.
        path: PathBuf,
        /// What is wrong.
        source: WavError,
    },
    /// A simulated vendor was not content.
    #[error("a vendor would have complained: {0}")]
    Violation(String),
}

/// Runs the demo and writes what was heard to `recording`.
pub async fn run(recording: &Path) -> Result<(), DemoError> {
    say("Callspan demo: the real service between a simulated phone and a simulated voice agent.");
    say("No account, no network; the voices are recordings.\n");
    let folder = TemporaryFolder::make()?;
    let twilio = SimTwilio::start(TwilioOptions {
        phone: PhoneBehaviour::answers().ringing_for(Duration::from_secs(1)).following(caller()),
        ..TwilioOptions::default()
    })?;
    let ultravox = SimUltravox::start(UltravoxOptions::with_script(AgentScript::demo()))?;

    let began = Instant::now();
    let app = Application::start(config(&folder.0, &twilio, &ultravox)?).await?;
    let base = format!("http://{}", app.address());
    say(&format!("service ready at {base} after {} ms", began.elapsed().as_millis()));

    let sid = place_call(&base).await?;
    let phone = twilio.wait_for_call(CALLEE).await;
    let followed = follow(&app, &sid, &phone);
    tokio::time::timeout(LIMIT, followed).await.map_err(|_| DemoError::TooLong)??;

    say("");
    write_recording(&phone, recording)?;
    for line in latency::summary(&scrape(&base).await?) {
        say(&line);
    }
    app.drain(Duration::ZERO).await;
    let complaints = twilio.violations().into_iter().map(|found| format!("Twilio: {found:?}"));
    let complaints = complaints
        .chain(ultravox.violations().into_iter().map(|found| format!("Ultravox: {found:?}")));
    match complaints.reduce(|all, next| format!("{all}; {next}")) {
        Some(complaints) => Err(DemoError::Violation(complaints)),
        None => Ok(()),
    }
}

/// The person on the phone, who interrupts the agent once.
fn caller() -> CallerScript {
    CallerScript::new()
        .wait_ms(600)
        .say(Clip::CALLER_HELLO.ulaw())
        .wait_for_agent_speech()
        .wait_for_agent_silence(500)
        .say(Clip::CALLER_YES.ulaw())
        .interrupt_after_agent_spoke(3_000)
        .say(Clip::CALLER_INTERRUPTS.ulaw())
        .wait_for_agent_speech()
        .wait_for_agent_silence(500)
        .say(Clip::CALLER_GOODBYE.ulaw())
}

/// The settings of a service between simulated vendors, with its database in `folder`.
pub fn settings(
    folder: &Path,
    twilio: &SimTwilio,
    ultravox: &SimUltravox,
) -> HashMap<&'static str, String> {
    let database = folder.join("callspan.db");
    HashMap::from([
        ("CALLSPAN_BIND", "127.0.0.1:0".to_owned()),
        ("CALLSPAN_PUBLIC_URL", "http://127.0.0.1:0".to_owned()),
        ("DATABASE_URL", format!("sqlite://{}?mode=rwc", database.display())),
        ("CALLSPAN_ADMIN_KEY", ADMIN_KEY.to_owned()),
        ("CALLSPAN_RATE_LIMIT_PER_MINUTE", "0".to_owned()),
        ("CALLSPAN_RATE_LIMIT_PER_HOUR", "0".to_owned()),
        ("CALLSPAN_RATE_LIMIT_BURST", "0".to_owned()),
        ("CALLSPAN_MAX_CPS", "1000".to_owned()),
        ("CALLSPAN_TWILIO_API_URL", twilio.api_url()),
        ("CALLSPAN_ULTRAVOX_API_URL", ultravox.api_url()),
        ("TWILIO_ACCOUNT_SID", twilio.account_sid().to_owned()),
        ("TWILIO_AUTH_TOKEN", twilio.auth_token().to_owned()),
        ("TWILIO_PHONE_NUMBER", twilio.phone_number().to_owned()),
        ("ULTRAVOX_API_KEY", ultravox.api_key().to_owned()),
    ])
}

fn config(
    folder: &Path,
    twilio: &SimTwilio,
    ultravox: &SimUltravox,
) -> Result<Config, ConfigErrors> {
    let settings = settings(folder, twilio, ultravox);
    Config::parse(|name| {
        let value = settings.get(name)?.clone();
        Some(Found { value, source: Source::Environment })
    })
}

async fn place_call(base: &str) -> Result<CallSid, DemoError> {
    let body = json!({ "companyId": 1, "destinationNumber": CALLEE });
    say(&format!("POST /api/ultravox-calls/initiate-call {body}"));
    let began = Instant::now();
    let response = reqwest::Client::new()
        .post(format!("{base}/api/ultravox-calls/initiate-call"))
        .header("X-API-Key", ADMIN_KEY)
        .json(&body)
        .send()
        .await?;
    let status = response.status().as_u16();
    let answer: Value = response.json().await?;
    let sid = answer["callSid"].as_str().and_then(|sid| sid.parse().ok());
    let Some(sid) = sid.filter(|_| status == 200) else {
        return Err(DemoError::NotPlaced { status, body: answer });
    };
    say(&format!("200 after {} ms: call {sid}\n", began.elapsed().as_millis()));
    Ok(sid)
}

/// Prints the call's timeline as it comes, until the call is over at Twilio and here.
async fn follow(app: &Application, sid: &CallSid, phone: &SimCall) -> Result<(), DemoError> {
    let mut timeline = Timeline::default();
    let over = phone.wait_until_settled();
    tokio::pin!(over);
    let mut is_over = false;
    loop {
        if let Some(call) = app.store().call_by_sid(sid).await? {
            for line in timeline.new_lines(&app.store().events(call.id).await?) {
                say(&line);
            }
            if is_over && call.status.is_final() {
                return Ok(());
            }
        }
        let pause = tokio::time::sleep(Duration::from_millis(50));
        tokio::select! {
            _ = &mut over, if !is_over => is_over = true,
            () = pause => {}
        }
    }
}

fn write_recording(phone: &SimCall, path: &Path) -> Result<(), DemoError> {
    let recording = phone.recording();
    let (left, right) = (Track::from_ulaw(&recording.said), Track::from_ulaw(&recording.heard));
    let failed = |source| DemoError::Recording { path: path.to_owned(), source };
    write_stereo(path, left.samples(), right.samples()).map_err(failed)?;
    let seconds = recording.said.len().max(recording.heard.len()) as f64 / 8_000.0;
    say(&format!(
        "wrote {} ({seconds:.1} s, stereo: left the caller, right the agent)",
        path.display()
    ));
    Ok(())
}

async fn scrape(base: &str) -> Result<String, DemoError> {
    Ok(reqwest::get(format!("{base}/metrics")).await?.text().await?)
}

/// Removed with everything in it when the demo is over.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("callspan-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::print_stdout, reason = "the demo talks to the person who started it")]
fn say(line: &str) {
    println!("{line}");
}
