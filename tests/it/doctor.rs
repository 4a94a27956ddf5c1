//! `callspan doctor`, the real program, beside the real service.

use std::process::Output;

use loadtest::twilio::TwilioOptions;
use serde_json::Value;

use crate::harness::process::{Program, World, run};

/// What was found, by verdict: check and detail.
struct Findings(Value);

impl Findings {
    fn of(output: &Output) -> Self {
        let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let has_failed = output.status.code() == Some(1);
        assert_eq!(findings["ok"], !has_failed, "{output:?}");
        assert!(has_failed || output.status.success(), "{output:?}");
        Findings(findings)
    }

    fn with(&self, verdict: &str) -> Vec<(&str, &str)> {
        let findings = self.0["findings"].as_array().expect("a list").iter();
        findings
            .filter(|found| found["verdict"] == verdict)
            .map(|found| {
                let text = |name: &str| found[name].as_str().expect("text");
                (text("check"), text("detail"))
            })
            .collect()
    }

    /// The only thing that failed.
    fn failure(&self) -> (&str, &str) {
        let failed = self.with("failed");
        assert_eq!(failed.len(), 1, "{:#}", self.0);
        failed[0]
    }
}

async fn examine(world: &World, settings: &[(&str, &str)]) -> Findings {
    Findings::of(&world.run(&["doctor", "--json"], settings).await)
}

async fn stop(mut program: Program) {
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
}

#[actix_web::test]
async fn all_is_well_beside_a_running_service() {
    let world = World::new();
    let program = world.start().await;
    let found = examine(&world, &[]).await;
    assert_eq!(found.with("failed"), []);
    let warned: Vec<&str> = found.with("warning").into_iter().map(|(check, _)| check).collect();
    assert_eq!(warned, ["public URL", "Ultravox"], "no https, no subscription: {:#}", found.0);
    let well: Vec<&str> = found.with("ok").into_iter().map(|(check, _)| check).collect();
    let expected = [
        "configuration",
        "schema",
        "database",
        "master key",
        "public URL",
        "signed webhook",
        "signed webhook",
        "Twilio",
        "Twilio",
        "clock",
    ];
    assert_eq!(well, expected);

    let output = world.run(&["doctor"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("ok       signed webhook: a webhook of Twilio's is believed"), "{text}");
    assert!(text.contains("         -> set CALLSPAN_PUBLIC_URL"), "{text}");
    for secret in [world.twilio.auth_token(), world.ultravox.api_key()] {
        assert!(!text.contains(secret) && !found.0.to_string().contains(secret), "{text}");
    }
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_wrong_auth_token_fails_at_twilio_and_at_the_service() {
    let world = World::new();
    let program = world.start().await;
    let found = examine(&world, &[("TWILIO_AUTH_TOKEN", "not-the-token")]).await;
    let failed = found.with("failed");
    assert_eq!(failed.len(), 2, "{:#}", found.0);
    assert_eq!(failed[0], ("signed webhook", "a webhook of Twilio's is refused"));
    assert!(failed[1].0 == "Twilio" && failed[1].1.contains("401"), "{failed:?}");
    assert!(!found.0.to_string().contains("not-the-token"));
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_wrong_ultravox_key_fails() {
    let world = World::new();
    let program = world.start().await;
    let found = examine(&world, &[("ULTRAVOX_API_KEY", "not-the-key")]).await;
    let (check, detail) = found.failure();
    assert!(check == "Ultravox" && detail.contains("403"), "{detail}");
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_public_url_that_leads_elsewhere_or_nowhere_fails() {
    let world = World::new();
    let program = world.start().await;
    let elsewhere = world.twilio.api_url();
    let found = examine(&world, &[("CALLSPAN_PUBLIC_URL", &elsewhere)]).await;
    let (check, detail) = found.failure();
    assert!(check == "public URL" && detail.contains("somebody else answers"), "{detail}");
    stop(program).await;

    let found = examine(&world, &[]).await;
    let (check, detail) = found.failure();
    assert!(check == "public URL" && detail.contains("cannot be reached"), "{detail}");
    world.finish().await;
}

#[actix_web::test]
async fn a_clock_that_is_wrong_is_told_by_how_much() {
    for (seconds, verdict, direction) in
        [(90, "failed", "behind that of Twilio"), (-20, "warning", "ahead of that of Twilio")]
    {
        let world =
            World::with_twilio(|twilio: &mut TwilioOptions| twilio.clock_ahead_seconds = seconds);
        let program = world.start().await;
        let found = examine(&world, &[]).await;
        let told = found.with(verdict);
        let told = told.iter().find(|(check, _)| *check == "clock").expect("it is told");
        assert!(told.1.ends_with(direction), "{told:?}");
        stop(program).await;
        world.finish().await;
    }
}

#[actix_web::test]
async fn nothing_is_made_before_the_first_start() {
    let world = World::new();
    let found = examine(&world, &[]).await;
    let (check, _) = found.failure();
    assert_eq!(check, "public URL", "nobody listens yet");
    assert!(
        found.with("warning").iter().any(|(check, detail)| {
            *check == "database" && detail.contains("does not exist yet")
        })
    );
    let files = std::fs::read_dir(world.folder()).expect("a folder").count();
    assert_eq!(files, 0, "the doctor made a file");
}

#[actix_web::test]
async fn a_key_that_does_not_open_the_secrets_fails() {
    let world = World::new();
    let program = world.start().await;
    let other = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let found = examine(&world, &[("CALLSPAN_MASTER_KEY", other)]).await;
    assert_eq!(found.failure().0, "master key");
    stop(program).await;

    std::fs::remove_file(world.folder().join("callspan.key")).expect("the key's file");
    let found = examine(&world, &[]).await;
    let failed = found.with("failed");
    assert!(failed[0].1.contains("is missing"), "{failed:?}");
    assert!(!world.folder().join("callspan.key").exists(), "no other key is made");
}

#[actix_web::test]
async fn a_company_that_is_not_configured_fails() {
    let world = World::new();
    let program = world.start().await;
    let output = world.run(&["doctor", "--json", "--company", "7"], &[]).await;
    let found = Findings::of(&output);
    let failed: Vec<&str> = found.with("failed").into_iter().map(|(check, _)| check).collect();
    assert_eq!(failed, ["Twilio", "Ultravox"]);
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_configuration_that_cannot_be_read_is_told_whole() {
    let settings = [("CALLSPAN_BIND", "everywhere"), ("CALLSPAN_PUBLIC_URL", "ftp://a.b")];
    let output = run(&["doctor"], &settings).await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("CALLSPAN_BIND") && text.contains("CALLSPAN_PUBLIC_URL"), "{text}");
    assert!(output.stdout.is_empty());
}
