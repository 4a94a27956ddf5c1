//! Limits, and how the service stops taking calls.

use std::time::Duration;

use actors::call::{CallStatus, EndReason};
use loadtest::twilio::PhoneBehaviour;

use crate::harness::{LIMIT, Setup, TestApp, soon};

#[actix_web::test]
async fn a_node_that_is_full_sends_clients_away_until_a_call_ends() {
    let app = Setup::new().set("CALLSPAN_MAX_ACTIVE_CALLS", "1").start().await;
    let call = app.live_call().await;
    let other = "+12125550124";
    let refused = app.call(other).await;
    assert_eq!(refused.status, 503);
    assert!(refused.error().contains("its limit of 1 calls"), "{refused:?}");
    assert!(refused.retry_after() >= 1);
    assert_eq!((app.twilio.dials_to(other), app.ultravox.calls().len()), (0, 1));
    assert_eq!(app.get("/readyz").await.status, 200, "full is not broken");

    call.phone.hang_up();
    app.quiet().await;
    let phone = app.place_call(other).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn clients_that_rush_in_together_do_not_exceed_the_limit() {
    let app = Setup::new().set("CALLSPAN_MAX_ACTIVE_CALLS", "2").start().await;
    app.twilio.set_default_phone(PhoneBehaviour::answers().ringing_for(Duration::from_secs(50)));
    let numbers: Vec<String> = (100..108).map(|n| format!("+12125550{n}")).collect();
    let answers = futures_util::future::join_all(numbers.iter().map(|to| app.call(to))).await;
    let placed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(placed, 2, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)));
    assert_eq!(app.twilio.calls().len(), 2);
    // Those that were stored and then found no room are stored as failed.
    assert!(app.app.flush(LIMIT).await);
    assert_eq!(app.app.store().count_live().await.expect("a database"), 2);
    for call in app.twilio.calls() {
        let ringing = call.wait_for_status(loadtest::twilio::CallStatus::Ringing);
        soon("the phone to ring", ringing).await.expect("it rings");
        call.hang_up();
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_draining_service_lets_calls_finish_and_takes_no_new_ones() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let talk = async {
        soon("the drain", async {
            while app.get("/readyz").await.status == 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let ready = app.get("/readyz").await;
        assert_eq!(ready.json()["draining"], true);
        assert_eq!(app.get("/healthz").await.status, 200);
        let refused = app.call("+12125550124").await;
        assert_eq!(refused.status, 503);
        assert!(refused.error().contains("shutting down"), "{refused:?}");
        assert!(refused.retry_after() >= 1);

        let heard = call.agent.audio_ms_received();
        soon("audio to go on", call.agent.wait_for_audio_ms(heard + 200)).await;
        call.phone.hang_up();
    };
    tokio::join!(soon("the service to stop", app.app.drain(LIMIT)), talk);

    assert_eq!(app.twilio.dials_to("+12125550124"), 0);
    soon("the callbacks", call.phone.wait_until_settled()).await;
    let row = app.row(&call.phone).await;
    assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp), "it was not cut off");
    app.finish_stopped().await;
}

#[actix_web::test]
async fn a_drain_that_is_hurried_hangs_up_on_both_sides() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let rings = "+12125550124";
    let behaviour = PhoneBehaviour::answers().ringing_for(Duration::from_secs(50));
    app.twilio.set_phone(rings, behaviour);
    let ringing = app.place_call(rings).await;

    let hurry = async {
        soon("the drain", async {
            while app.get("/readyz").await.status == 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        app.app.hurry();
    };
    tokio::join!(soon("the service to stop", app.app.drain(Duration::from_secs(3_600))), hurry);

    let ended = soon("the end", call.phone.wait_until_over()).await;
    assert_eq!(ended, loadtest::twilio::CallStatus::Completed);
    assert_eq!(call.agent.close_frame_received().expect("a close frame").code, 1000);
    let canceled = soon("the end", ringing.wait_until_over()).await;
    assert_eq!(canceled, loadtest::twilio::CallStatus::Canceled);
    for (phone, status) in [(&call.phone, CallStatus::Completed), (&ringing, CallStatus::Canceled)]
    {
        let row = app.row(phone).await;
        assert_eq!((row.status, row.end_reason), (status, Some(EndReason::ShutDown)));
    }
    app.finish_stopped().await;
}

#[actix_web::test]
async fn a_drain_whose_time_is_over_hangs_up() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    soon("the service to stop", app.app.drain(Duration::from_millis(200))).await;
    soon("the end", call.phone.wait_until_over()).await;
    let row = app.row(&call.phone).await;
    assert_eq!(row.end_reason, Some(EndReason::ShutDown));
    app.finish_stopped().await;
}
