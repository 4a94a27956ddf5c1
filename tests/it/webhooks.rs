//! Requests in Twilio's name that are not Twilio's, or that make no sense: turned away, counted,
//! and without any effect.

use actors::call::CallStatus;
use actors::ids::CallId;
use loadtest::twilio::{PhoneBehaviour, SignatureFault, WebhookFaults, signature};

use crate::harness::requests::{Answer, owned};
use crate::harness::{CALLEE, LiveCall, TestApp, soon};

/// Fails unless the call goes on as if nothing had happened.
async fn assert_unharmed(app: &TestApp, call: &LiveCall) {
    assert_eq!(app.row(&call.phone).await.status, CallStatus::InProgress);
    assert!(call.phone.is_streaming() && call.agent.end_reason().is_none());
    let heard = call.agent.audio_ms_received();
    soon("audio to go on", call.agent.wait_for_audio_ms(heard + 200)).await;
}

async fn assert_turned_away(app: &TestApp, answer: Answer, status: u16, reason: &str, count: f64) {
    assert_eq!(answer.status, status, "{reason}: {answer:?}");
    assert_eq!(app.rejected(reason).await, count, "{reason}");
}

#[actix_web::test]
async fn webhooks_that_twilio_did_not_sign_are_turned_away() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    let fields = owned(&[
        ("CallSid", call.phone.sid()),
        ("CallStatus", "completed"),
        ("StreamEvent", "stream-error"),
        ("AnsweredBy", "machine_start"),
    ]);
    let token = app.twilio.auth_token().to_owned();
    let urls =
        [&hooks.answer, &hooks.status, &hooks.stream_status, &hooks.stream_ended, &hooks.machine];
    for (n, url) in urls.into_iter().enumerate() {
        let none = app.post_form(url, None, &fields).await;
        assert_turned_away(&app, none, 403, "missing", (n + 1) as f64).await;

        let (before, good) = ((n * 5) as f64, signature::sign(&token, url, &fields));
        let wrong = app.post_form(url, Some("bm90IGEgc2lnbmF0dXJl"), &fields).await;
        assert_turned_away(&app, wrong, 403, "wrong", before + 1.0).await;
        let other = signature::sign(&"0".repeat(32), url, &fields);
        let other = app.post_form(url, Some(&other), &fields).await;
        assert_turned_away(&app, other, 403, "wrong", before + 2.0).await;
        let unkeyed = signature::sign("", url, &fields);
        let unkeyed = app.post_form(url, Some(&unkeyed), &fields).await;
        assert_turned_away(&app, unkeyed, 403, "wrong", before + 3.0).await;
        let mut tampered = fields.clone();
        tampered[1].1 = "busy".to_owned();
        let tampered = app.post_form(url, Some(&good), &tampered).await;
        assert_turned_away(&app, tampered, 403, "wrong", before + 4.0).await;
        let elsewhere = signature::sign(&token, &format!("{url}?"), &fields);
        let elsewhere = app.post_form(url, Some(&elsewhere), &fields).await;
        assert_turned_away(&app, elsewhere, 403, "wrong", before + 5.0).await;
    }
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_signature_is_good_for_its_own_call_only() {
    let app = TestApp::start().await;
    let first = app.live_call().await;
    let (first_hooks, phone) = (app.hooks(), "+12125550124");
    let second = app.place_call(phone).await;
    soon("the stream", second.wait_for_stream()).await.expect("a stream");
    let hooks = app.hooks();

    let fields = owned(&[("CallSid", second.sid()), ("CallStatus", "completed")]);
    let good = signature::sign(app.twilio.auth_token(), &hooks.status, &fields);
    let replayed = app.post_form(&first_hooks.status, Some(&good), &fields).await;
    assert_turned_away(&app, replayed, 403, "wrong", 1.0).await;
    assert_unharmed(&app, &first).await;
    first.phone.hang_up();
    second.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn webhooks_of_calls_nobody_knows_are_not_found() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    let fields = [("CallSid", call.phone.sid()), ("CallStatus", "completed")];
    let unknown = CallId::generate().to_string();
    for (n, id) in
        [unknown.as_str(), "42", "..%2F..", "%00", "'; drop table calls"].into_iter().enumerate()
    {
        let answer = app.webhook(&hooks.of_call(id).status, &fields).await;
        assert_turned_away(&app, answer, 404, "unknown_call", (n + 1) as f64).await;
    }
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn webhooks_without_what_they_need_are_bad_requests() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let (hooks, sid) = (app.hooks(), call.phone.sid());
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, f64);
    let cases: [Case<'_>; 8] = [
        (&hooks.status, &[("CallStatus", "completed")], "no_call_sid", 1.0),
        (&hooks.status, &[("CallSid", "SM1"), ("CallStatus", "completed")], "no_call_sid", 2.0),
        (&hooks.answer, &[], "no_call_sid", 3.0),
        (&hooks.status, &[("CallSid", sid)], "no_call_status", 1.0),
        (&hooks.status, &[("CallSid", sid), ("CallStatus", "")], "no_call_status", 2.0),
        (&hooks.status, &[("CallSid", sid), ("CallStatus", "asleep")], "no_call_status", 3.0),
        (&hooks.stream_status, &[("CallSid", sid)], "no_stream_event", 1.0),
        (&hooks.machine, &[("CallSid", sid)], "no_answered_by", 1.0),
    ];
    for (url, fields, reason, count) in cases {
        let answer = app.webhook(url, fields).await;
        assert_turned_away(&app, answer, 400, reason, count).await;
    }
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn news_of_another_call_does_not_touch_this_one() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    let other = "CA00000000000000000000000000000009";
    let told = app.webhook(&hooks.status, &[("CallSid", other), ("CallStatus", "completed")]).await;
    assert_eq!(told.status, 204);
    let answered = app.webhook(&hooks.answer, &[("CallSid", other)]).await;
    assert!(!answered.body.contains("<Stream"), "the token is not for that call: {answered:?}");
    let left = app.webhook(&hooks.stream_ended, &[("CallSid", other)]).await;
    assert_eq!(left.status, 200);
    let machine = [("CallSid", other), ("AnsweredBy", "machine_start")];
    assert_eq!(app.webhook(&hooks.machine, &machine).await.status, 204);
    let broken = [("CallSid", other), ("StreamEvent", "stream-error"), ("StreamError", "x")];
    assert_eq!(app.webhook(&hooks.stream_status, &broken).await.status, 204);
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn webhooks_are_posted_and_nothing_else() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    for url in
        [&hooks.answer, &hooks.status, &hooks.stream_status, &hooks.stream_ended, &hooks.machine]
    {
        let signature = signature::sign(app.twilio.auth_token(), url, &[]);
        let request = app.http.get(url).header("X-Twilio-Signature", signature);
        assert_eq!(Answer::to(request).await.status, 405, "{url}");
    }
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_webhook_beyond_any_sense_is_too_large() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    let long = "x".repeat(100 * 1024);
    let fields = [("CallSid", call.phone.sid()), ("CallStatus", "completed"), ("More", &long)];
    let answer = app.webhook(&hooks.status, &fields).await;
    assert_turned_away(&app, answer, 413, "too_large", 1.0).await;
    assert_unharmed(&app, &call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_call_answered_in_a_forger_s_name_gets_no_stream() {
    for signature in [SignatureFault::Missing, SignatureFault::Wrong] {
        let app = TestApp::start().await;
        let webhook = WebhookFaults { signature, ..WebhookFaults::default() };
        app.twilio.set_phone(CALLEE, PhoneBehaviour { webhook, ..PhoneBehaviour::answers() });
        let phone = app.place_call(CALLEE).await;
        soon("the end", phone.wait_until_settled()).await;
        assert!(phone.stream_sids().is_empty());
        app.quiet().await;
        assert_eq!(app.row(&phone).await.status, CallStatus::Completed);
        app.finish().await;
    }
}
