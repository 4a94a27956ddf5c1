//! The running service against a schema-driven fuzzer: schemathesis reads the OpenAPI document and
//! sends what it allows and what it forbids, in every order it can think of. No answer may be a
//! 5xx or contradict the document.
//!
//! `SCHEMATHESIS` names the program, by default `schemathesis`. `FUZZ_SECONDS` and `FUZZ_SEED` say
//! for how long and where from; both are printed, so that a finding can be had again.

#[expect(dead_code, reason = "the whole of it is used by the tests of the service")]
#[path = "../it/harness/mod.rs"]
mod harness;

use std::process::Stdio;
use std::time::Duration;

use harness::{ADMIN_KEY, Setup, TestApp, within};
use loadtest::twilio::{CallerScript, PhoneBehaviour};
use loadtest::ultravox::AgentScript;
use serde_json::json;
use tokio::process::Command;

/// The key of a company that the fuzzer has first. Then it gets the admin key, with which it can
/// take the company itself away.
const KEY: &str = "the-key-the-fuzzer-has";
/// What the document cannot say, and the fuzzer therefore must be told.
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/schemathesis.toml");
/// How long it may take to end once its time is over: it finishes what it has begun.
const PATIENCE: Duration = Duration::from_secs(300);

fn set(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => default,
    }
}

/// A service without limits, whose callees say nothing and hang up: calls must not pile up.
async fn service() -> TestApp {
    let caller = CallerScript::new().wait_ms(100).hang_up();
    let app = Setup::new()
        .set("CALLSPAN_RATE_LIMIT_PER_MINUTE", "0")
        .set("CALLSPAN_RATE_LIMIT_PER_HOUR", "0")
        .set("CALLSPAN_RATE_LIMIT_BURST", "0")
        .set("CALLSPAN_MAX_CPS", "1000")
        .set("CALLSPAN_MAX_ACTIVE_CALLS", "100000")
        .phones(PhoneBehaviour::answers().following(caller))
        .agents(AgentScript::Echo)
        .start()
        .await;
    app.add_key(1, KEY).await;
    let agent = json!({
        "name": "Fuzzed agent",
        "prompt": "You help {{customer_name}}.",
        "voice": "default",
        "language": "en-US",
        "template_variables": { "customer_name": "the customer" },
    });
    let request = app.http.post(app.url("/api/v1/agents")).header("X-API-Key", ADMIN_KEY);
    let answer = request.json(&agent).send().await.expect("an answer");
    assert_eq!(answer.status(), 201, "an agent to call with");
    app
}

#[actix_web::test]
#[ignore = "needs schemathesis: run ./scripts/test"]
async fn the_fuzzer_finds_no_failure_and_no_lie_in_the_document() {
    let program = std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let (seconds, seed) = (set("FUZZ_SECONDS", 120), set("FUZZ_SEED", 1));
    let app = service().await;
    fuzz(&app, &program, &["--header", &format!("X-API-Key: {KEY}")], seconds / 2, seed).await;
    // Whoever takes the only company away makes the service truly unhealthy.
    let admin = format!("X-API-Key: {ADMIN_KEY}");
    let but_health = ["--header", &admin, "--exclude-path-regex", "/health"];
    fuzz(&app, &program, &but_health, seconds / 2, seed).await;
    // Whatever it had placed is hung up; what it broke must not have broken the service.
    let health = app.get("/healthz").await;
    assert_eq!(health.status, 200, "the service is still there");
    app.app.drain(Duration::ZERO).await;
}

async fn fuzz(app: &TestApp, program: &str, choice: &[&str], seconds: u64, seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    command
        .args(["--config-file", SETTINGS, "--no-color", "run"])
        .arg(app.url("/openapi.json"))
        .args(choice)
        // All checks are on unless the settings turn one off; to name them here would overrule that.
        .arg("--continue-on-failure")
        .args(["--max-time", &seconds.to_string(), "--seed", &seed.to_string()])
        .args(["--request-timeout", "60"])
        // It leaves a database of examples where it runs.
        .current_dir(folder.path())
        .kill_on_drop(true)
        .stdin(Stdio::null());
    let output = within(Duration::from_secs(seconds) + PATIENCE, "the fuzzer", command.output());
    let output = output.await.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "FUZZ_SECONDS={seconds} FUZZ_SEED={seed}: {}\n{said}\n{complaints}",
        output.status
    );
}
