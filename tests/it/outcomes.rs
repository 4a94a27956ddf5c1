//! How calls end that nobody talks on, and what becomes of a call whose news is doubled, reordered,
//! late or lost.

use std::time::Duration;

use actors::call::{CallEvent, CallStatus, EndReason};
use loadtest::audio::{Tone, g711};
use loadtest::twilio::{CallbackFaults, CallerScript, PhoneBehaviour, PhoneOutcome, WebhookFaults};
use loadtest::ultravox::{AgentScript, Line};

use crate::harness::{CALLEE, Setup, TestApp, soon};

/// Statuses in a call's timeline, in the order they were stored.
async fn steps(app: &TestApp, phone: &loadtest::twilio::SimCall) -> Vec<&'static str> {
    let timeline = app.timeline(phone).await;
    timeline
        .iter()
        .filter_map(|event| match event {
            CallEvent::Placed { .. } => Some("placed"),
            CallEvent::Ringing => Some("ringing"),
            CallEvent::Answered => Some("answered"),
            CallEvent::Ended { .. } => Some("ended"),
            _ => None,
        })
        .collect()
}

#[actix_web::test]
async fn a_phone_that_is_not_answered_ends_the_call_as_twilio_says() {
    let cases = [
        (PhoneOutcome::Busy, CallStatus::Busy, EndReason::Busy),
        (PhoneOutcome::NoAnswer, CallStatus::NoAnswer, EndReason::NoAnswer),
        (PhoneOutcome::Failed, CallStatus::Failed, EndReason::PhoneFailed),
        (PhoneOutcome::Canceled, CallStatus::Canceled, EndReason::Canceled),
    ];
    let app = Setup::new().set("CALLSPAN_RING_TIMEOUT_SECONDS", "5").start().await;
    for (outcome, status, reason) in cases {
        app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(outcome));
        let phone = app.place_call(CALLEE).await;
        soon("the end", phone.wait_until_settled()).await;
        app.quiet().await;
        let row = app.row(&phone).await;
        assert_eq!((row.status, row.end_reason), (status, Some(reason)));
        assert_eq!((row.duration, row.answered_at), (None, None));
        assert_eq!(steps(&app, &phone).await, ["placed", "ringing", "ended"]);
        let name = format!(r#"callspan_calls_total{{direction="outbound",outcome="{status}"}} "#);
        assert_eq!(app.metric(&name).await, 1.0);
    }
    for agent in app.ultravox.calls() {
        assert_eq!(agent.end_reason(), Some(loadtest::ultravox::EndReason::Hangup));
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_that_declines_is_busy() {
    let app = TestApp::start().await;
    let behaviour = PhoneBehaviour::answers().ringing_for(Duration::from_secs(50));
    app.twilio.set_phone(CALLEE, behaviour);
    let phone = app.place_call(CALLEE).await;
    let ringing = phone.wait_for_status(loadtest::twilio::CallStatus::Ringing);
    soon("the phone to ring", ringing).await.expect("it rings");
    phone.hang_up();
    app.quiet().await;
    assert_eq!(app.row(&phone).await.status, CallStatus::Busy);
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_ends_the_conversation_hangs_up() {
    let script = AgentScript::conversation([Line::tone(Tone::HIGH, 300)]);
    let app = Setup::new().agents(script).start().await;
    let greeting = CallerScript::new().say(g711::encode_all(&Tone::LOW.samples(500)));
    app.twilio.set_phone(CALLEE, PhoneBehaviour::answers().following(greeting));
    let phone = app.place_call(CALLEE).await;
    soon("the end", phone.wait_until_settled()).await;
    app.quiet().await;
    assert!(phone.heard_speech_ms() >= 200, "its last words were played");
    let row = app.row(&phone).await;
    let (status, reason) = (row.status, row.end_reason);
    assert_eq!((status, reason), (CallStatus::Completed, Some(EndReason::AgentHungUp)));
    app.finish().await;
}

/// A whole call under these faults must end like any other.
async fn assert_call_survives(callbacks: CallbackFaults) {
    let shown = format!("{callbacks:?}");
    let app = Setup::new().twilio(|twilio| twilio.callbacks = callbacks).start().await;
    let call = app.live_call().await;
    call.phone.hang_up();
    soon("the end", call.phone.wait_until_settled()).await;
    app.quiet().await;
    let row = app.row(&call.phone).await;
    assert_eq!(row.status, CallStatus::Completed, "{shown}");
    assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp), "{shown}");
    let steps = steps(&app, &call.phone).await;
    let mut sorted = steps.clone();
    sorted.sort_by_key(|step| {
        ["placed", "ringing", "answered", "ended"].iter().position(|s| s == step)
    });
    sorted.dedup();
    assert_eq!(steps, sorted, "{shown}: each step once, and never backwards");
    assert!(steps.contains(&"answered") && steps.ends_with(&["ended"]), "{shown}: {steps:?}");
    app.finish().await;
}

#[actix_web::test]
async fn doubled_callbacks_count_once() {
    assert_call_survives(CallbackFaults { duplicate: true, ..CallbackFaults::default() }).await;
}

#[actix_web::test]
async fn reordered_callbacks_never_move_a_call_backwards() {
    let faults = CallbackFaults { reorder: true, duplicate: true, ..CallbackFaults::default() };
    assert_call_survives(faults).await;
}

#[actix_web::test]
async fn late_callbacks_never_move_a_call_backwards() {
    let delay = Duration::from_millis(400);
    assert_call_survives(CallbackFaults { delay, ..CallbackFaults::default() }).await;
}

#[actix_web::test]
async fn callbacks_with_fields_nobody_knows_are_read_all_the_same() {
    let extra_field = Some(("NewIn2027".to_owned(), "x & y = ü".to_owned()));
    let faults = CallbackFaults { extra_field, empty_geo: true, ..CallbackFaults::default() };
    assert_call_survives(faults).await;
}

#[actix_web::test]
async fn a_call_whose_callbacks_are_all_lost_still_ends() {
    let all = ["initiated", "ringing", "in-progress", "completed"];
    let drop = all.map(str::to_owned).to_vec();
    assert_call_survives(CallbackFaults { drop, ..CallbackFaults::default() }).await;
}

#[actix_web::test]
async fn a_phone_that_rings_for_ever_is_hung_up() {
    let all = ["initiated", "ringing", "no-answer"];
    let drop = all.map(str::to_owned).to_vec();
    let app = Setup::new()
        .set("CALLSPAN_RING_TIMEOUT_SECONDS", "5")
        .twilio(|twilio| twilio.callbacks.drop = drop)
        .start()
        .await;
    app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(PhoneOutcome::NoAnswer));
    let phone = app.place_call(CALLEE).await;
    app.quiet().await;
    let row = app.row(&phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::NoAnswer, Some(EndReason::NoAnswer)));
    app.finish().await;
}

#[actix_web::test]
async fn twiml_asked_for_twice_is_the_same_and_leads_to_one_stream() {
    let app = TestApp::start().await;
    let webhook = WebhookFaults {
        twice: true,
        extra_field: Some(("NewIn2027".to_owned(), "yes".to_owned())),
        ..WebhookFaults::default()
    };
    app.twilio.set_phone(CALLEE, PhoneBehaviour { webhook, ..PhoneBehaviour::answers() });
    let call = app.live_call().await;
    let hooks = app.hooks();
    let fields = [("CallSid", call.phone.sid()), ("CallStatus", "in-progress")];
    let again = app.webhook(&hooks.answer, &fields).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.header("content-type"), Some("text/xml; charset=utf-8"));
    assert_eq!(again.body, call.phone.twiml()[0].body);
    assert_eq!(call.phone.stream_sids().len(), 1);
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn news_of_a_call_that_is_over_changes_nothing() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    call.phone.hang_up();
    app.quiet().await;
    let (hooks, before) = (app.hooks(), app.row(&call.phone).await);

    for status in ["initiated", "ringing", "in-progress", "busy", "failed", "completed"] {
        let answer = app.tell_status(&hooks.status, &call.phone, status).await;
        assert_eq!(answer.status, 204, "{status}");
    }
    let sid = [("CallSid", call.phone.sid())];
    let twiml = app.webhook(&hooks.answer, &sid).await;
    assert_eq!(twiml.status, 200);
    assert!(twiml.body.contains("<Hangup/>") && !twiml.body.contains("<Stream"), "{twiml:?}");
    let after = app.webhook(&hooks.stream_ended, &sid).await;
    assert!(after.body.contains("<Response><Hangup/></Response>"), "{after:?}");

    let row = app.row(&call.phone).await;
    assert_eq!((row.status, row.end_reason), (before.status, before.end_reason));
    assert_eq!((row.ended_at, row.duration), (before.ended_at, before.duration));
    assert_eq!(app.ultravox.calls().len(), 1);
    app.finish().await;
}
