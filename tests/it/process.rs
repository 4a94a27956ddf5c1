//! The real program: how it starts, stops, dies and comes back.

use std::time::Duration;

use actors::call::{CallStatus, EndReason};
use loadtest::twilio::{PhoneBehaviour, RestFault, RestOperation};
use loadtest::ultravox;

use crate::harness::CALLEE;
use crate::harness::process::{Program, World};
use crate::harness::soon;

#[actix_web::test]
async fn a_first_signal_lets_the_call_finish() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        let mut program = world.start().await;
        let call = program.live_call(&world).await;
        program.signal(signal);
        soon("the drain", program.wait_for_log("draining: no new calls")).await;
        let heard = call.agent.audio_ms_received();
        soon("audio to go on", call.agent.wait_for_audio_ms(heard + 200)).await;
        assert!(program.is_running());
        call.phone.hang_up();
        assert_eq!(program.exit_code().await, Some(0));
        let row = world.row(&call.phone).await;
        assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp), "{signal}");
        world.finish().await;
    }
}

#[actix_web::test]
async fn a_second_signal_hangs_up() {
    for second in ["TERM", "INT"] {
        let world = World::new();
        let mut program = world.start().await;
        let call = program.live_call(&world).await;
        program.signal("TERM");
        soon("the drain", program.wait_for_log("draining: no new calls")).await;
        program.signal(second);
        assert_eq!(program.exit_code().await, Some(0));
        soon("the end", call.phone.wait_until_over()).await;
        assert_eq!(call.agent.close_frame_received().expect("a close frame").code, 1000);
        assert_eq!(world.row(&call.phone).await.end_reason, Some(EndReason::ShutDown));
        world.finish().await;
    }
}

#[actix_web::test]
async fn a_program_without_calls_stops_at_once() {
    let world = World::new();
    let mut program = world.start().await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    assert!(program.log().contains("stopped"));
    let log = world.folder().join("callspan.db-wal");
    assert!(!log.exists(), "the database is one file again, fit to be copied");
    world.finish().await;
}

#[actix_web::test]
async fn a_call_whose_node_was_killed_is_hung_up_by_the_next() {
    let world = World::new();
    let mut program = world.start().await;
    let call = program.live_call(&world).await;
    program.stored(&world, &call.phone, CallStatus::InProgress).await;
    program.signal("KILL");
    assert_eq!(program.exit_code().await, None);

    let mut next = world.start().await;
    let ended = soon("the end", call.phone.wait_until_settled()).await;
    assert_eq!(ended, loadtest::twilio::CallStatus::Completed);
    soon("the agent's end", call.agent.wait_until_over()).await;
    let row = next.ended(&world, &call.phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Completed, Some(EndReason::NodeLost)));
    next.signal("TERM");
    assert_eq!(next.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn a_phone_that_rang_when_its_node_was_killed_is_silenced_by_the_next() {
    let world = World::new();
    let behaviour = PhoneBehaviour::answers().ringing_for(Duration::from_secs(55));
    world.twilio.set_phone(CALLEE, behaviour);
    let mut program = world.start().await;
    let phone = program.place_call(&world).await;
    program.stored(&world, &phone, CallStatus::Ringing).await;
    program.signal("KILL");
    assert_eq!(program.exit_code().await, None);

    let mut next = world.start().await;
    let ended = soon("the end", phone.wait_until_settled()).await;
    assert_eq!(ended, loadtest::twilio::CallStatus::Canceled);
    let row = next.ended(&world, &phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Canceled, Some(EndReason::NodeLost)));
    let agent = soon("the agent", world.ultravox.wait_for_call()).await;
    let given_back = soon("the agent to be given back", agent.wait_until_over()).await;
    assert_eq!(given_back, ultravox::EndReason::Hangup);
    assert_eq!(world.twilio.dials_to(CALLEE), 1);
    next.signal("TERM");
    assert_eq!(next.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn a_call_nobody_heard_of_when_the_node_was_killed_is_found_and_hung_up() {
    let world = World::new();
    world.twilio.set_phone(
        CALLEE,
        PhoneBehaviour {
            // No news before the kill: Twilio's first callback comes with the ringing.
            dialing: Duration::from_secs(50),
            ..PhoneBehaviour::answers()
        },
    );
    let all = ["initiated", "ringing", "canceled"].map(str::to_owned).to_vec();
    world.twilio.set_callback_faults(loadtest::twilio::CallbackFaults {
        drop: all,
        ..loadtest::twilio::CallbackFaults::default()
    });
    world.twilio.fail_next(RestOperation::CreateCall, RestFault::NeverAnswersAfterEffect);
    let mut program = world.start().await;
    let asked = program.ask(CALLEE);
    let asked = tokio::spawn(asked.send());
    let phone = soon("the call", world.twilio.wait_for_call(CALLEE)).await;
    let agent = soon("the agent", world.ultravox.wait_for_call()).await;
    soon("the agent to be stored", world.wait_for_row(&agent, |row| row.join_url.is_some())).await;
    program.signal("KILL");
    assert_eq!(program.exit_code().await, None);
    assert!(asked.await.expect("a task").is_err(), "nobody answered");

    let mut next = world.start().await;
    soon("the end", phone.wait_until_settled()).await;
    let row = next.ended(&world, &phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Canceled, Some(EndReason::NodeLost)));
    soon("the agent to be given back", agent.wait_until_over()).await;
    assert_eq!(world.twilio.dials_to(CALLEE), 1, "dialled exactly once");
    next.signal("TERM");
    assert_eq!(next.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn every_mistake_in_the_configuration_is_told_by_name_at_once() {
    let output = Program::run_with(&[
        ("CALLSPAN_BIND", "everywhere"),
        ("CALLSPAN_PUBLIC_URL", "ftp://example.com"),
        ("DATABASE_URL", "mysql://user:s3cret-password@db/callspan"),
        ("CALLSPAN_RING_TIMEOUT_SECONDS", "soon"),
        ("CALLSPAN_ADMIN_KEY", "s3cret"),
        ("TWILIO_PHONE_NUMBER", "12125550100"),
    ])
    .await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    for name in [
        "CALLSPAN_BIND",
        "CALLSPAN_PUBLIC_URL",
        "DATABASE_URL",
        "CALLSPAN_RING_TIMEOUT_SECONDS",
        "CALLSPAN_ADMIN_KEY",
        "TWILIO_PHONE_NUMBER",
    ] {
        assert!(text.contains(name), "no {name} in {text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
    assert!(output.stdout.is_empty());
}

#[actix_web::test]
async fn an_address_that_is_taken_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite://{}/callspan.db?mode=rwc", folder.path().display());
    let output =
        Program::run_with(&[("CALLSPAN_BIND", &address), ("DATABASE_URL", &database)]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cannot listen on") && text.contains(&address), "{text}");
}

#[actix_web::test]
async fn the_first_start_shows_an_admin_key_once() {
    let world = World::new().set("CALLSPAN_ADMIN_KEY", "");
    let mut program = world.start().await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    let log = program.log();
    assert_eq!(log.matches("csk_").count(), 1, "{log}");
    let mut again = world.start().await;
    again.signal("TERM");
    assert_eq!(again.exit_code().await, Some(0));
    assert!(!again.log().contains("csk_"));
    world.finish().await;
}

#[actix_web::test]
async fn a_whole_call_leaves_no_secret_in_the_log_or_the_database() {
    let world = World::new().set("CALLSPAN_LOG", "trace");
    let mut program = world.start().await;
    let call = program.live_call(&world).await;
    call.agent.play_tone(loadtest::audio::Tone::HIGH, 300);
    soon("speech", call.phone.wait_for_agent_speech(200)).await.expect("the call is up");
    let twiml = call.phone.twiml()[0].body.clone();
    let (_, rest) = twiml.split_once(r#"name="token" value=""#).expect("a token");
    let (token, _) = rest.split_once('"').expect("a token");
    call.phone.hang_up();
    program.ended(&world, &call.phone).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));

    let log = program.log();
    assert!(log.contains("TRACE") && log.contains("ended: phone_hung_up"), "{log}");
    let (_, join_path) = call.agent.join_url().split_once("://").expect("a URL");
    let (_, join_path) = join_path.split_once('/').expect("a path");
    let secrets = [
        ("the auth token", world.twilio.auth_token()),
        ("the API key", world.ultravox.api_key()),
        ("the admin key", crate::harness::ADMIN_KEY),
        ("the join URL", join_path),
    ];
    let private = [("the stream's token", token), ("the number", CALLEE.trim_start_matches('+'))];
    for (what, secret) in secrets.into_iter().chain(private) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} is in the log");
    }
    for file in std::fs::read_dir(world.folder()).expect("a folder") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("a file");
        for (what, secret) in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{what} is in {}", path.display());
        }
    }
    world.finish().await;
}
