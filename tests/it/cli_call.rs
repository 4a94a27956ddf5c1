//! `callspan call`, the real program: against the real service, and against one that fails by plan.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::process::{World, run};
use crate::harness::scripted::Scripted;
use crate::harness::{ADMIN_KEY, CALLEE};

const SID: &str = "CA00000000000000000000000000000001";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

async fn call(service: &Scripted, args: &[&str]) -> Output {
    service.run(&[&["call", CALLEE], args].concat()).await
}

fn placed() -> (u16, Value) {
    (201, json!({ "call_sid": SID, "join_url": "wss://agent/secret", "status": "initiated" }))
}

#[actix_web::test]
async fn a_call_is_placed_and_its_sid_is_all_that_is_printed() {
    let world = World::new();
    let mut program = world.start().await;
    let env = [("CALLSPAN_API_KEY", ADMIN_KEY), ("CALLSPAN_URL", &world.public_url())];
    let output = run(&["call", CALLEE], &env).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let phone = world.twilio.wait_for_call(CALLEE).await;
    assert_eq!(stdout(&output), format!("{}\n", phone.sid()));
    assert_eq!((stderr(&output).as_str(), world.twilio.dials_to(CALLEE)), ("", 1));
    phone.hang_up();
    program.ended(&world, &phone).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn what_the_service_refuses_is_told_with_its_own_words() {
    let world = World::new();
    let mut program = world.start().await;
    let url = world.public_url();
    let call = async |number: &str, key: &str| {
        let env = [("CALLSPAN_ADMIN_KEY", key)];
        run(&["call", number, "--url", &url], &env).await
    };
    let output = call(CALLEE, "the-wrong-key").await;
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("HTTP 401"), "{output:?}");
    assert!(!stderr(&output).contains("the-wrong-key"), "{output:?}");

    let output = call("12125550123", ADMIN_KEY).await;
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""));
    assert!(stderr(&output).contains("destinationNumber"), "{output:?}");
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    assert!(world.twilio.calls().is_empty());
    world.finish().await;
}

#[actix_web::test]
async fn a_repeated_request_carries_the_same_idempotency_key() {
    let busy = || (503, json!({ "error": "service_unavailable", "message": "draining" }));
    let service = Scripted::start(vec![busy(), busy(), placed()]);
    let args = ["--agent", "agent_1", "--company", "7", "--context", "name=Sam = I am", "--json"];
    let output = call(&service, &args).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(answer, placed().1, "with --json the join URL is there");

    let asked = service.finish().await;
    assert_eq!(asked.len(), 3);
    let body = json!({
        "phone_number": CALLEE,
        "template_context": { "name": "Sam = I am" },
        "agent_id": "agent_1",
    });
    let once = asked[0].idempotency_key.clone();
    assert!(once.is_some());
    for asked in asked {
        assert_eq!(asked.line, "POST /api/v1/calls/agent_1");
        assert_eq!(asked.key.as_deref(), Some(ADMIN_KEY));
        assert_eq!(asked.company.as_deref(), Some("7"));
        assert_eq!((asked.idempotency_key, asked.body), (once.clone(), body.clone()));
    }
}

#[actix_web::test]
async fn two_commands_ask_for_two_calls() {
    let service = Scripted::start(vec![placed(), placed()]);
    call(&service, &[]).await;
    call(&service, &[]).await;
    let asked = service.finish().await;
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].idempotency_key, asked[1].idempotency_key);
}

#[actix_web::test]
async fn whoever_waits_sees_every_change_and_learns_the_end_by_the_exit_code() {
    let state = |status: &str| (200, json!({ "call_sid": SID, "status": status }));
    let ended = |status: &str, reason: &str| {
        let call = json!({ "status": status, "end_reason": reason, "duration_seconds": 12 });
        (200, call)
    };
    let busy = || (503, json!({ "message": "the database is away" }));
    let service = Scripted::start(vec![
        placed(),
        state("initiated"),
        busy(),
        state("in-progress"),
        ended("completed", "agent_hung_up"),
    ]);
    let output = call(&service, &["--wait"]).await;
    let expected = format!("{SID}\ninitiated\nin-progress\ncompleted: agent_hung_up, 12 s\n");
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), expected));
    let asked = service.finish().await;
    assert_eq!(asked[1].line, format!("GET /api/v1/calls/{SID}"));

    for status in ["busy", "no-answer", "canceled", "failed"] {
        let service = Scripted::start(vec![placed(), ended(status, "because")]);
        let output = call(&service, &["--wait"]).await;
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        service.finish().await;
    }
}

#[actix_web::test]
async fn every_way_to_fail_has_its_exit_code() {
    let service = Scripted::start(vec![(500, json!({ "error": "Twilio said no" }))]);
    let output = call(&service, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Twilio said no"), "{output:?}");
    assert_eq!(service.finish().await.len(), 1, "a failure is not repeated");

    let key = [("CALLSPAN_API_KEY", ADMIN_KEY)];
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let output = run(&["call", CALLEE, "--url", &nowhere], &key).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(stderr(&output).contains(&nowhere), "{output:?}");

    assert_eq!(run(&["call", CALLEE], &[]).await.status.code(), Some(2), "no key");
    for args in [
        ["call", CALLEE, "--url", "calls.example.com"],
        ["call", CALLEE, "--context", "a=b"],
        ["call", CALLEE, "--company", "0"],
        ["call", CALLEE, "--agent", "a/../b"],
    ] {
        let output = run(&args, &key).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}
