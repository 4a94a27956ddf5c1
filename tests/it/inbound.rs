//! Somebody calls a number of ours: taken once, answered in time, and ended properly, whoever it is
//! and whatever goes wrong.

use std::time::Duration;

use actors::call::{CallEvent, CallStatus, Direction, EndReason};
use actors::ids::CompanyId;
use callspan::store::{CompanySettings, TwilioSettings, UltravoxSettings};
use futures_util::future::join;
use loadtest::twilio::{
    AccountOptions, InboundCall, PhoneBehaviour, SignatureFault, SimCall, WebhookFaults, signature,
};
use loadtest::ultravox::{Fault, On};

use crate::harness::requests::{Answer, owned};
use crate::harness::sound::{noise, pcm_of, recoded};
use crate::harness::{CALLEE as CALLER, LiveCall, Setup, TestApp, soon};

const APOLOGY: &str = "We are sorry, this call cannot be continued. Goodbye.";

/// Somebody who calls company 1, whose number reports the end of calls.
fn caller(app: &TestApp) -> InboundCall {
    InboundCall {
        from: CALLER.to_owned(),
        to: app.twilio.phone_number().to_owned(),
        voice_url: app.url("/twilio/voice"),
        fallback_url: None,
        status_callback: Some(app.url("/twilio/voice-status")),
        phone: PhoneBehaviour::answers(),
    }
}

/// A call that has come in and is up on both sides.
async fn live(app: &TestApp, caller: InboundCall) -> LiveCall {
    let phone = app.twilio.call_in(caller);
    let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    soon("the agent", agent.wait_joined()).await;
    LiveCall { phone, agent }
}

/// A call to `number` that nobody at Twilio knows of.
fn fields<'a>(app: &'a TestApp, sid: &'a str, number: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CallSid", sid),
        ("AccountSid", app.twilio.account_sid()),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", CALLER),
        ("To", number),
    ]
}

/// Fails unless the person heard this apology and nothing else.
async fn assert_apologised(app: &TestApp, phone: &SimCall, words: &str) {
    soon("the end", phone.wait_until_settled()).await;
    assert_eq!(phone.say_texts(), [words]);
    assert!(phone.stream_sids().is_empty());
    app.quiet().await;
}

#[actix_web::test]
async fn a_caller_and_the_agent_hear_each_other() {
    let app = TestApp::start().await;
    let call = live(&app, caller(&app)).await;
    let row = app.row(&call.phone).await;
    assert_eq!((row.direction, row.status), (Direction::Inbound, CallStatus::InProgress));
    assert_eq!((row.from.as_str(), row.to.as_str()), (CALLER, app.twilio.phone_number()));
    assert_eq!(row.company, CompanyId(1));

    let codes = noise(50, 1);
    call.agent.say(pcm_of(&codes));
    let got_it = |phone: &SimCall| phone.received_audio() == recoded(&codes);
    soon("the agent's words", call.phone.wait_until(got_it)).await.expect("the call is up");
    let heard = call.agent.audio_ms_received();
    soon("to speak", call.phone.say(codes.clone())).await.expect("the call is up");
    soon("the phone's words", call.agent.wait_for_audio_ms(heard + 500)).await;

    app.hang_up(&call).await;
    let timeline = app.timeline(&call.phone).await;
    let steps: Vec<&CallEvent> = timeline
        .iter()
        .filter(|event| {
            matches!(event, CallEvent::Initiated | CallEvent::Ringing | CallEvent::Answered)
        })
        .collect();
    assert_eq!(steps, [&CallEvent::Initiated, &CallEvent::Ringing, &CallEvent::Answered]);
    let name = r#"callspan_calls_total{direction="inbound",outcome="completed"} "#;
    assert_eq!(app.metric(name).await, 1.0);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_ends_though_its_number_reports_nothing() {
    let app = TestApp::start().await;
    let call = live(&app, InboundCall { status_callback: None, ..caller(&app) }).await;
    app.hang_up(&call).await;
    assert!(app.row(&call.phone).await.duration.is_some());

    let call = live(&app, InboundCall { status_callback: None, ..caller(&app) }).await;
    call.agent.hang_up();
    app.ended(&call.phone, EndReason::AgentHungUp).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_request_repeated_gets_the_same_answer_and_no_second_agent() {
    let app = TestApp::start().await;
    let webhook = WebhookFaults { twice: true, ..WebhookFaults::default() };
    let phone = PhoneBehaviour { webhook, ..PhoneBehaviour::answers() };
    let call = live(&app, InboundCall { phone, ..caller(&app) }).await;
    let fields = fields(&app, call.phone.sid(), app.twilio.phone_number());
    let again = app.webhook(&app.url("/twilio/voice"), &fields).await;
    assert_eq!((again.status, &again.body), (200, &call.phone.twiml()[0].body));
    assert_eq!(app.ultravox.calls().len(), 1);
    app.hang_up(&call).await;

    // Once it is over there is nothing left to open.
    let late = app.webhook(&app.url("/twilio/voice"), &fields).await;
    assert!(late.status == 200 && late.body.contains(APOLOGY), "{late:?}");
    assert_eq!(app.ultravox.calls().len(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn two_requests_at_once_make_one_call() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(On::CreateCall, Fault::Slow(Duration::from_millis(500)));
    let (url, sid) = (app.url("/twilio/voice"), "CA000000000000000000000000000000f1");
    let fields = fields(&app, sid, app.twilio.phone_number());
    let (first, second) = join(app.webhook(&url, &fields), app.webhook(&url, &fields)).await;
    assert!(first.body.contains("<Stream"), "{first:?}");
    assert_eq!(first.body, second.body);
    assert_eq!((app.ultravox.calls().len(), app.app.live_calls()), (1, 1));
    let over = [("CallSid", sid), ("CallStatus", "completed")];
    assert_eq!(app.webhook(&app.url("/twilio/voice-status"), &over).await.status, 204);
    app.finish().await;
}

#[actix_web::test]
async fn callers_who_have_no_number_are_welcome() {
    let app = TestApp::start().await;
    for from in ["anonymous", "+266696687", "sip:alice@example.com", "client:bob", ""] {
        let call = live(&app, InboundCall { from: from.to_owned(), ..caller(&app) }).await;
        assert_eq!(app.row(&call.phone).await.from.as_str(), from);
        app.hang_up(&call).await;
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_call_to_a_number_that_is_nobody_s_is_not_found() {
    let app = TestApp::start().await;
    let url = app.url("/twilio/voice");
    for (n, number) in ["+15005550009", "sip:us@example.com", "' OR 1=1 --"].iter().enumerate() {
        let sid = "CA000000000000000000000000000000f1";
        let answer = app.webhook(&url, &fields(&app, sid, number)).await;
        assert_eq!((answer.status, app.rejected("unknown_number").await), (404, (n + 1) as f64));
    }
    let nothing = app.webhook(&url, &[]).await;
    assert_eq!((nothing.status, app.rejected("unknown_number").await), (404, 4.0));
    assert!(app.ultravox.calls().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn a_call_in_a_forger_s_name_is_turned_away() {
    let app = TestApp::start().await;
    for (signature, label) in
        [(SignatureFault::Missing, "missing"), (SignatureFault::Wrong, "wrong")]
    {
        let webhook = WebhookFaults { signature, ..WebhookFaults::default() };
        let phone = PhoneBehaviour { webhook, ..PhoneBehaviour::answers() };
        let caller = InboundCall { phone, status_callback: None, ..caller(&app) };
        let phone = app.twilio.call_in(caller);
        soon("the end", phone.wait_until_settled()).await;
        assert!(phone.twiml().is_empty());
        assert_eq!(app.rejected(label).await, 1.0);
    }
    let (url, sid) = (app.url("/twilio/voice"), "CA000000000000000000000000000000f1");
    let mut other = fields(&app, sid, app.twilio.phone_number());
    other[1].1 = "AC00000000000000000000000000000009";
    assert_eq!(app.webhook(&url, &other).await.status, 403);
    other.remove(1);
    assert_eq!(app.webhook(&url, &other).await.status, 403);
    assert_eq!(app.rejected("other_account").await, 2.0);
    let mut unnamed = fields(&app, sid, app.twilio.phone_number());
    unnamed.remove(0);
    assert_eq!(app.webhook(&url, &unnamed).await.status, 400);
    assert!(app.ultravox.calls().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn a_number_s_status_callback_is_believed_only_when_it_is_signed_and_known() {
    let app = TestApp::start().await;
    let call = live(&app, caller(&app)).await;
    let url = app.url("/twilio/voice-status");
    let over = owned(&[("CallSid", call.phone.sid()), ("CallStatus", "completed")]);
    assert_eq!(app.post_form(&url, None, &over).await.status, 403);
    let wrong = signature::sign(&"0".repeat(32), &url, &over);
    assert_eq!(app.post_form(&url, Some(&wrong), &over).await.status, 403);
    let unknown = [("CallSid", "CA00000000000000000000000000000009"), ("CallStatus", "completed")];
    assert_eq!(app.webhook(&url, &unknown).await.status, 404);
    assert_eq!(app.webhook(&url, &[("CallStatus", "completed")]).await.status, 400);
    assert_eq!(app.row(&call.phone).await.status, CallStatus::InProgress);
    let get = Answer::to(app.http.get(&url)).await;
    assert_eq!(get.status, 405);
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_caller_whose_agent_is_refused_hears_an_apology() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(On::CreateCall, Fault::payment_required());
    let phone = app.twilio.call_in(caller(&app));
    assert_apologised(&app, &phone, APOLOGY).await;
    let row = app.row(&phone).await;
    let (status, reason) = (row.status, row.end_reason);
    assert_eq!((status, reason), (CallStatus::Completed, Some(EndReason::AgentCreateFailed)));
    assert!(row.detail.is_some_and(|detail| detail.contains("A subscription is required.")));
    app.finish().await;
}

#[actix_web::test]
async fn a_caller_whose_agent_takes_too_long_hears_an_apology_and_the_agent_is_given_back() {
    let app = TestApp::start().await;
    // Together they take longer than the caller is left waiting, and each is within its own limit.
    let busy = Fault::Answer { status: 503, body: serde_json::json!({}), retry_after: Some(1) };
    app.ultravox.fail_next(On::CreateCall, busy);
    app.ultravox.fail_next(On::CreateCall, Fault::Slow(Duration::from_millis(9_500)));
    let phone = app.twilio.call_in(caller(&app));
    assert_apologised(&app, &phone, APOLOGY).await;
    let row = app.row(&phone).await;
    assert_eq!(row.end_reason, Some(EndReason::AgentCreateFailed));
    app.finish().await;
}

#[actix_web::test]
async fn a_caller_who_hangs_up_before_the_agent_is_ready_leaves_nothing_behind() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(On::CreateCall, Fault::Slow(Duration::from_secs(2)));
    let phone = app.twilio.call_in(caller(&app));
    let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
    phone.hang_up();
    soon("the end", phone.wait_until_settled()).await;
    app.quiet_but(0).await;
    let row = app.row(&phone).await;
    assert_eq!((row.status, row.answered_at), (CallStatus::NoAnswer, None));
    app.quiet().await;
    assert!(agent.end_reason().is_some(), "it was given back");
    assert_eq!(agent.audio_ms_received(), 0);
    app.finish().await;
}

#[actix_web::test]
async fn a_full_node_apologises_and_takes_the_next_call() {
    let app = Setup::new().set("CALLSPAN_MAX_ACTIVE_CALLS", "1").start().await;
    let first = live(&app, caller(&app)).await;
    let phone = app.twilio.call_in(InboundCall { status_callback: None, ..caller(&app) });
    soon("the end", phone.wait_until_settled()).await;
    assert_eq!(phone.say_texts(), [APOLOGY]);
    let sid = phone.sid().parse().expect("a sid");
    assert!(app.app.store().call_by_sid(&sid).await.expect("a database").is_none());
    assert_eq!(app.ultravox.calls().len(), 1);
    app.hang_up(&first).await;
    let next = live(&app, caller(&app)).await;
    app.hang_up(&next).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_draining_node_apologises() {
    let app = TestApp::start().await;
    let call = live(&app, caller(&app)).await;
    let late = async {
        let draining = async {
            while app.get("/readyz").await.status == 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("the drain", draining).await;
        let phone = app.twilio.call_in(InboundCall { status_callback: None, ..caller(&app) });
        soon("the end", phone.wait_until_settled()).await;
        assert_eq!(phone.say_texts(), [APOLOGY]);
        call.phone.hang_up();
    };
    soon("the drain", join(app.app.drain(Duration::from_secs(60)), late)).await;
    app.finish_stopped().await;
}

#[actix_web::test]
async fn a_company_apologises_in_its_own_name_whatever_that_is() {
    let app = Setup::new().set("CALLSPAN_APOLOGY", "{company} is sorry. Yours, {company}").start();
    let app = app.await;
    let name = "</Say><Dial>+12125550100</Dial>";
    let named = CompanySettings { name: Some(name.to_owned()), ..CompanySettings::default() };
    app.add_company(1, &named).await;
    app.ultravox.fail_next(On::CreateCall, Fault::payment_required());
    let phone = app.twilio.call_in(caller(&app));
    assert_apologised(&app, &phone, &format!("{name} is sorry. Yours, {name}")).await;
    assert!(phone.dials().is_empty());
    let twiml = &phone.twiml()[0].body;
    assert!(!twiml.contains("<Dial") && twiml.contains("&lt;Dial&gt;"), "{twiml}");

    // And so it does when a call that is up cannot go on.
    let call = live(&app, caller(&app)).await;
    call.agent.reset();
    soon("the end", call.phone.wait_until_settled()).await;
    assert_eq!(call.phone.say_texts(), [format!("{name} is sorry. Yours, {name}")]);
    app.finish().await;
}

#[actix_web::test]
async fn each_number_is_answered_by_its_company_s_agent() {
    let app = TestApp::start().await;
    let (number, account_sid) = ("+15005550077", "AC00000000000000000000000000000077");
    let account = AccountOptions {
        sid: account_sid.to_owned(),
        auth_token: "f".repeat(32),
        numbers: vec![number.to_owned()],
        ..AccountOptions::default()
    };
    let line = actors::ports::TwilioAccount {
        account_sid: account_sid.parse().expect("a sid"),
        auth_token: account.auth_token.clone().into(),
        phone_number: number.parse().expect("a number"),
    };
    app.twilio.add_account(account);
    let second = CompanySettings {
        twilio: Some(TwilioSettings::from(line)),
        ultravox: Some(UltravoxSettings {
            api_key: Some(app.ultravox.api_key().to_owned().into()),
            system_prompt: Some("You are the second.".to_owned()),
            ..UltravoxSettings::default()
        }),
        ..CompanySettings::default()
    };
    app.add_company(2, &second).await;
    let call = live(&app, InboundCall { to: number.to_owned(), ..caller(&app) }).await;
    assert_eq!(call.agent.request()["systemPrompt"], "You are the second.");
    assert_eq!(app.row(&call.phone).await.company, CompanyId(2));
    // The first company's token is no good for the second's number.
    let sid = "CA000000000000000000000000000000f1";
    let answer = app.webhook(&app.url("/twilio/voice"), &fields(&app, sid, number)).await;
    assert_eq!(answer.status, 403);
    app.hang_up(&call).await;
    app.finish().await;
}
