//! What becomes of a call when Twilio or Ultravox will not have it.

use std::time::Duration;

use actors::call::{CallStatus, EndReason};
use loadtest::twilio::{
    CallbackFaults, CallerScript, PhoneBehaviour, PhoneOutcome, RestFault, RestOperation,
    SimTwilio, TwilioOptions,
};
use loadtest::ultravox::{self, Fault, On};
use serde_json::json;

use crate::harness::requests::Answer;
use crate::harness::{CALLEE, Setup, TestApp, soon};

/// Nothing that may reach a client or a database column holds a secret.
async fn assert_failed(app: &TestApp, answer: &Answer, reason: EndReason, words: &str) {
    let error = answer.error();
    assert!(error.contains(words), "no {words:?} in {error:?}");
    let row = app.only_row().await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Failed, Some(reason)), "{error}");
    let detail = row.detail.expect("a detail");
    assert_eq!(detail, error);
    for secret in [app.twilio.auth_token(), app.ultravox.api_key(), "/join", "ws://"] {
        assert!(!detail.contains(secret), "{detail}");
    }
    assert!(row.ended_at.is_some() && row.duration.is_none());
}

async fn refused_by_ultravox(fault: Fault) -> (TestApp, Answer) {
    let app = TestApp::start().await;
    app.ultravox.fail_always(On::CreateCall, fault);
    let answer = app.call(CALLEE).await;
    assert_eq!(app.twilio.dials_to(CALLEE), 0, "nobody is called without an agent");
    (app, answer)
}

async fn refused_by_twilio(fault: RestFault) -> (TestApp, Answer) {
    let app = TestApp::start().await;
    app.twilio.fail_always(RestOperation::CreateCall, fault);
    let answer = app.call(CALLEE).await;
    assert_eq!(app.twilio.dials_to(CALLEE), 0);
    (app, answer)
}

/// The agent was joined and closed at once, not left to its time limit.
async fn assert_agent_given_back(app: &TestApp) {
    let agent = soon("the agent", app.ultravox.wait_for_call()).await;
    let end = soon("the agent to be given back", agent.wait_until_over()).await;
    assert_eq!(end, ultravox::EndReason::Hangup);
    assert_eq!(agent.close_frame_received().expect("a close frame").code, 1000);
}

#[actix_web::test]
async fn an_agent_that_is_refused_fails_the_call_in_ultravox_s_words() {
    let cases = [
        (Fault::bad_request(), 400, "This field may not be blank."),
        (Fault::unauthorized(), 500, "Authentication credentials were not provided."),
        (Fault::payment_required(), 500, "A subscription is required."),
        (Fault::forbidden(), 500, "Invalid API key"),
        (Fault::server_error(), 500, "Internal server error."),
        (Fault::Garbage, 500, "Ultravox gave no usable answer"),
    ];
    for (fault, status, words) in cases {
        let (app, answer) = refused_by_ultravox(fault).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_failed(&app, &answer, EndReason::AgentCreateFailed, words).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_busy_ultravox_makes_the_client_come_back_later() {
    let cases = [
        (Fault::too_many(Some(30)), 30),
        (Fault::too_many(None), 5),
        (Fault::unavailable(Some(30)), 30),
        (Fault::unavailable(None), 5),
    ];
    for (fault, seconds) in cases {
        let (app, answer) = refused_by_ultravox(fault).await;
        assert_eq!((answer.status, answer.retry_after()), (503, seconds));
        assert_failed(&app, &answer, EndReason::AgentCreateFailed, "Ultravox refused").await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn an_ultravox_account_without_a_free_slot_makes_the_client_come_back_later() {
    let app = Setup::new().ultravox(|options| options.concurrent_calls = Some(1)).start().await;
    let call = app.live_call().await;
    let other = "+12125550124";
    let refused = app.call(other).await;
    assert_eq!((refused.status, refused.retry_after()), (503, 5));
    assert!(refused.error().contains("Concurrent call limit reached."), "{refused:?}");
    assert_eq!(app.twilio.dials_to(other), 0);
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn an_ultravox_that_stumbles_once_costs_nothing() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(On::CreateCall, Fault::unavailable(None));
    let call = app.live_call().await;
    assert_eq!(app.ultravox.calls().len(), 1);
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn an_ultravox_that_never_answers_is_not_waited_for_for_ever() {
    let (app, answer) = refused_by_ultravox(Fault::NeverAnswers).await;
    assert_eq!(answer.status, 500);
    assert_failed(&app, &answer, EndReason::AgentCreateFailed, "no answer within").await;
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_without_a_join_url_fails_the_call() {
    // Without the URL the agent cannot be given back: it is gone when its join timeout is over.
    let app = Setup::new().set("CALLSPAN_RING_TIMEOUT_SECONDS", "5").start().await;
    app.ultravox.fail_next(On::CreateCall, Fault::NoJoinUrl);
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 500);
    assert_failed(&app, &answer, EndReason::AgentCreateFailed, "no join URL").await;
    assert_eq!(app.twilio.dials_to(CALLEE), 0);
    let agent = soon("the agent", app.ultravox.wait_for_call()).await;
    assert_eq!(agent.request()["joinTimeout"], "35s");
    assert_eq!(agent.wait_until_over().await, ultravox::EndReason::Unjoined);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_twilio_refuses_fails_in_twilio_s_words() {
    let refuse = |status, code, message: &str| RestFault::Error {
        status,
        code,
        message: message.to_owned(),
    };
    let cases = [
        (refuse(400, 21_211, "The phone number you are attempting to call is not valid."), 21_211),
        (refuse(400, 21_215, "Account not authorized to call this number."), 21_215),
        (refuse(400, 21_210, "The source phone number is not yet verified."), 21_210),
        (refuse(401, 20_003, "Authenticate"), 20_003),
        (refuse(500, 20_500, "An internal server error has occurred"), 20_500),
    ];
    for (fault, code) in cases {
        let RestFault::Error { message, status, .. } = &fault else { unreachable!() };
        // What is wrong with the request is for the client to put right.
        let expected = if *status == 400 { 400 } else { 500 };
        let message = message.clone();
        let (app, answer) = refused_by_twilio(fault).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        assert!(answer.error().contains(&format!("code {code}")), "{answer:?}");
        assert_failed(&app, &answer, EndReason::PhoneCreateFailed, &message).await;
        assert_agent_given_back(&app).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_busy_twilio_makes_the_client_come_back_later() {
    let busy = |code| RestFault::Error { status: 503, code, message: "Unavailable".to_owned() };
    let cases = [
        (RestFault::TooManyRequests { retry_after: Some(Duration::from_secs(30)) }, 30),
        (RestFault::TooManyRequests { retry_after: None }, 5),
        (busy(20_503), 5),
    ];
    for (fault, seconds) in cases {
        let (app, answer) = refused_by_twilio(fault).await;
        assert_eq!((answer.status, answer.retry_after()), (503, seconds));
        assert_failed(&app, &answer, EndReason::PhoneCreateFailed, "Twilio refused").await;
        assert_agent_given_back(&app).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_wrong_auth_token_is_told_and_not_shown() {
    let app = Setup::new().set("TWILIO_AUTH_TOKEN", "f".repeat(32)).start().await;
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains(&"f".repeat(32)), "{answer:?}");
    assert_failed(&app, &answer, EndReason::PhoneCreateFailed, "code 20003").await;
    assert_agent_given_back(&app).await;
    app.finish().await;
}

/// The call may have been placed: nothing else tells.
async fn placed_without_an_answer(app: &TestApp, fault: RestFault) {
    app.twilio.fail_next(RestOperation::CreateCall, fault);
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.twilio.dials_to(CALLEE), 1, "dialled exactly once");
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    assert_eq!(answer.json()["callSid"], phone.sid());
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    app.quiet().await;
    let row = app.row(&phone).await;
    assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp));
    assert_eq!(app.twilio.dials_to(CALLEE), 1, "dialled exactly once");
}

#[actix_web::test]
async fn a_call_whose_answer_was_lost_is_found_by_its_callbacks() {
    for fault in
        [RestFault::DropAfterEffect, RestFault::NeverAnswersAfterEffect, RestFault::Garbage]
    {
        let app = TestApp::start().await;
        placed_without_an_answer(&app, fault).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_call_whose_answer_was_lost_is_found_in_twilio_s_list() {
    let silent = CallbackFaults {
        drop: ["initiated", "ringing", "in-progress"].map(str::to_owned).to_vec(),
        ..CallbackFaults::default()
    };
    let app = Setup::new()
        .twilio(|twilio: &mut TwilioOptions| {
            twilio.callbacks = silent;
            // Longer than the search: the call must not be found because it was answered.
            twilio.phone = PhoneBehaviour::answers().ringing_for(Duration::from_secs(4));
        })
        .start()
        .await;
    placed_without_an_answer(&app, RestFault::DropAfterEffect).await;
    let listed = |twilio: &SimTwilio| {
        let requests = twilio.requests();
        requests
            .iter()
            .any(|request| request.method == "GET" && request.path.ends_with("/Calls.json"))
    };
    assert!(listed(&app.twilio));
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_that_is_done_before_its_create_is_answered_ends_the_call() {
    let app = TestApp::start().await;
    let short = PhoneBehaviour::answers().following(CallerScript::new().wait_ms(40).hang_up());
    for (phone, status) in [
        (PhoneBehaviour::ends_in(PhoneOutcome::Busy), CallStatus::Busy),
        (short, CallStatus::Completed),
    ] {
        app.twilio.set_phone(CALLEE, phone);
        app.twilio.fail_next(RestOperation::CreateCall, RestFault::NeverAnswersAfterEffect);
        let answer = app.call(CALLEE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        app.quiet().await;
        let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
        assert_eq!(app.row(&phone).await.status, status);
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_was_never_placed_is_looked_for_and_fails() {
    for fault in [RestFault::Drop, RestFault::Html { status: 502 }] {
        let (app, answer) = refused_by_twilio(fault).await;
        assert_eq!(answer.status, 500);
        let words = "Twilio gave no usable answer";
        assert_failed(&app, &answer, EndReason::DialOutcomeUnknown, words).await;
        assert_agent_given_back(&app).await;
        app.finish().await;
    }
}

/// The next call is placed, and cannot be found.
fn lose_the_call(app: &TestApp) {
    let message = "An internal server error has occurred".to_owned();
    let broken = RestFault::Error { status: 500, code: 20_500, message };
    app.twilio.fail_next(RestOperation::CreateCall, RestFault::DropAfterEffect);
    app.twilio.fail_always(RestOperation::ListCalls, broken);
}

#[actix_web::test]
async fn a_call_that_was_given_up_and_rings_after_all_is_hung_up() {
    let unseen = CallbackFaults {
        drop: ["initiated", "ringing"].map(str::to_owned).to_vec(),
        ..CallbackFaults::default()
    };
    let app = Setup::new()
        .twilio(|twilio: &mut TwilioOptions| {
            twilio.callbacks = unseen;
            twilio.phone = PhoneBehaviour::answers().ringing_for(Duration::from_secs(55));
        })
        .start()
        .await;
    lose_the_call(&app);
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 500);
    let words = "Twilio gave no usable answer";
    assert_failed(&app, &answer, EndReason::DialOutcomeUnknown, words).await;
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    assert!(!phone.is_over());

    let told = app.tell_status(&app.hooks().status, &phone, "ringing").await;
    assert_eq!(told.status, 204);
    let end = soon("the call to be hung up", phone.wait_until_settled()).await;
    assert_eq!(end, loadtest::twilio::CallStatus::Canceled);
    let row = app.only_row().await;
    assert_eq!(row.status, CallStatus::Failed, "it stays what the client was told");
    assert_eq!(row.end_reason, Some(EndReason::DialOutcomeUnknown));
    assert_eq!(app.twilio.dials_to(CALLEE), 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_was_given_up_and_is_answered_after_all_hears_an_apology() {
    let unseen = CallbackFaults {
        drop: ["initiated", "ringing", "in-progress"].map(str::to_owned).to_vec(),
        ..CallbackFaults::default()
    };
    let app = Setup::new()
        .set("CALLSPAN_APOLOGY", "Sorry & goodbye")
        .twilio(|twilio: &mut TwilioOptions| {
            twilio.callbacks = unseen;
            twilio.phone = PhoneBehaviour::answers().ringing_for(Duration::from_secs(22));
        })
        .start()
        .await;
    lose_the_call(&app);
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 500);
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    soon("the end", phone.wait_until_settled()).await;
    assert_eq!(phone.say_texts(), ["Sorry & goodbye"]);
    assert_eq!(app.only_row().await.status, CallStatus::Failed);
    app.finish().await;
}

#[actix_web::test]
async fn a_vendor_that_repeats_a_secret_does_not_get_it_shown() {
    let app = TestApp::start().await;
    let key = app.ultravox.api_key().to_owned();
    let body = json!({ "detail": format!("the key {key} is unknown") });
    app.ultravox.fail_next(On::CreateCall, Fault::Answer { status: 403, body, retry_after: None });
    let answer = app.call(CALLEE).await;
    assert_eq!(answer.status, 500);
    assert!(answer.error().contains("the key *** is unknown"), "{answer:?}");
    assert_failed(&app, &answer, EndReason::AgentCreateFailed, "***").await;
    app.finish().await;
}
