//! Calls whose news never came: Twilio is asked, and they end as it says.

use std::time::Duration;

use actors::call::{CallStatus, Direction, EndReason};
use actors::ids::{CallId, CompanyId};
use callspan::reconcile::Pace;
use callspan::store::NewCall;
use jiff::Timestamp;
use loadtest::twilio::{CallbackFaults, PhoneBehaviour, PhoneOutcome, RestFault, RestOperation};

use crate::harness::{CALLEE, Setup, TestApp, soon};

/// Asks early and often.
const EAGER: Pace = Pace {
    every: Duration::from_millis(100),
    unanswered: Duration::from_millis(300),
    answered: Duration::from_millis(300),
};

/// A service that asks early about calls whose final callback is lost.
async fn unheard() -> TestApp {
    let last = ["completed", "busy", "no-answer", "failed", "canceled"];
    let lost =
        CallbackFaults { drop: last.map(str::to_owned).to_vec(), ..CallbackFaults::default() };
    Setup::new().pace(EAGER).twilio(|twilio| twilio.callbacks = lost).start().await
}

/// How often Twilio was asked how a call stands.
fn asked(app: &TestApp) -> usize {
    let requests = app.twilio.requests();
    let about_a_call = requests
        .iter()
        .filter(|request| request.method == "GET" && request.path.contains("/Calls/CA"));
    about_a_call.count()
}

#[actix_web::test]
async fn a_call_whose_end_was_not_reported_ends_as_twilio_says_when_asked() {
    let app = unheard().await;
    let cases = [
        (PhoneOutcome::Busy, CallStatus::Busy, EndReason::Busy),
        (PhoneOutcome::Failed, CallStatus::Failed, EndReason::PhoneFailed),
        (PhoneOutcome::Canceled, CallStatus::Canceled, EndReason::Canceled),
    ];
    for (outcome, status, reason) in cases {
        app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(outcome));
        let phone = app.place_call(CALLEE).await;
        app.quiet().await;
        let row = app.row(&phone).await;
        assert_eq!((row.status, row.end_reason), (status, Some(reason)));
    }
    assert!(asked(&app) >= 3);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_is_up_does_not_notice_that_twilio_is_asked() {
    let app = unheard().await;
    let call = app.live_call().await;
    let asked_twice = |_: &loadtest::twilio::SimTwilio| asked(&app) >= 2;
    soon("the questions", app.twilio.wait_until(asked_twice)).await;
    assert_eq!(app.row(&call.phone).await.status, CallStatus::InProgress);
    let heard = call.agent.audio_ms_received();
    soon("audio to go on", call.agent.wait_for_audio_ms(heard + 200)).await;
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_twilio_that_does_not_answer_is_asked_again() {
    let app = unheard().await;
    let busy = RestFault::TooManyRequests { retry_after: Some(Duration::from_secs(3)) };
    app.twilio.fail_next(RestOperation::FetchCall, busy);
    app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(PhoneOutcome::Busy));
    let phone = app.place_call(CALLEE).await;
    app.quiet().await;
    assert_eq!(app.row(&phone).await.status, CallStatus::Busy);
    assert!(asked(&app) >= 2);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_is_stored_and_has_nobody_is_ended() {
    let app = unheard().await;
    // Any call tells which node this is.
    let call = app.live_call().await;
    let row = app.row(&call.phone).await;
    let forgotten = NewCall {
        id: CallId::generate(),
        company: CompanyId(1),
        node: row.node,
        to: "+12125550124".parse().expect("a party"),
        from: row.from,
        direction: Direction::Outbound,
        agent: None,
        at: Timestamp::now(),
    };
    app.app.store().insert_call(&forgotten).await.expect("a database");
    let ended = async {
        while !app.row_of(forgotten.id).await.status.is_final() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("its end", ended).await;
    let ended = app.row_of(forgotten.id).await;
    let (status, reason) = (ended.status, ended.end_reason);
    assert_eq!((status, reason), (CallStatus::Failed, Some(EndReason::NeverPlaced)));
    assert_eq!(app.row(&call.phone).await.status, CallStatus::InProgress, "the other goes on");
    app.hang_up(&call).await;
    app.finish().await;
}
