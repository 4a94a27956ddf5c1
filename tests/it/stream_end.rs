//! However one leg ends, the other ends with it, the reason is stored, and nothing is left.

use std::time::Duration;

use actors::call::{CallEvent, EndReason};
use loadtest::twilio::{CloseStyle, SimCall, StreamFaults};
use loadtest::ultravox::{Fault, JoinFault, On};
use serde_json::json;

use crate::harness::sound::{find, noise, pcm_of, recoded};
use crate::harness::{CALLEE, LiveCall, Setup, TestApp, soon};

const APOLOGY: &str = "We are sorry, something broke.";

fn apologetic() -> Setup {
    Setup::new().set("CALLSPAN_APOLOGY", APOLOGY)
}

fn apologies(phone: &SimCall) -> usize {
    let texts = phone.say_texts();
    assert!(texts.iter().all(|text| text == APOLOGY), "{texts:?}");
    texts.len()
}

/// How the agent left, as the timeline has it.
async fn agent_left(app: &TestApp, phone: &SimCall) -> (Option<u16>, String) {
    let mut left = app.timeline(phone).await.into_iter().filter_map(|event| match event {
        CallEvent::AgentLeft { code, reason } => Some((code, reason)),
        _ => None,
    });
    let found = left.next().expect("the agent left");
    assert_eq!(left.next(), None, "the agent left twice");
    found
}

#[actix_web::test]
async fn an_agent_that_hangs_up_ends_the_call_without_an_apology() {
    let app = apologetic().start().await;
    let call = app.live_call().await;
    call.agent.hang_up();
    app.ended(&call.phone, EndReason::AgentHungUp).await;
    assert_eq!(apologies(&call.phone), 0);
    assert_eq!(agent_left(&app, &call.phone).await.0, Some(1_000));
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_is_lost_is_apologised_for() {
    let app = apologetic().start().await;
    for code in [1_001, 1_008, 1_011, 4_404, 4_598] {
        let call = app.live_call().await;
        call.agent.close(code, "not now");
        app.ended(&call.phone, EndReason::AgentLost).await;
        assert_eq!(apologies(&call.phone), 1, "{code}");
        assert_eq!(agent_left(&app, &call.phone).await, (Some(code), "not now".to_owned()));
    }
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_whose_connection_is_reset_is_apologised_for() {
    let app = apologetic().start().await;
    let call = app.live_call().await;
    call.agent.reset();
    app.ended(&call.phone, EndReason::AgentLost).await;
    assert_eq!(apologies(&call.phone), 1);
    assert_eq!(agent_left(&app, &call.phone).await.0, None);
    app.finish().await;
}

#[actix_web::test]
async fn the_last_words_of_an_agent_that_is_lost_are_heard_before_the_apology() {
    let app = apologetic().start().await;
    let call = app.live_call().await;
    let codes = recoded(&noise(100, 1));
    call.agent.say(pcm_of(&codes));
    call.agent.close(1_011, "");
    app.ended(&call.phone, EndReason::AgentLost).await;
    assert!(find(&call.phone.recording().heard, &codes).is_some());
    assert_eq!(apologies(&call.phone), 1);
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_cannot_be_joined_is_apologised_for() {
    let app = apologetic().start().await;
    for fault in [JoinFault::Refuse(404), JoinFault::Refuse(500), JoinFault::NeverAnswers] {
        app.ultravox.fail_next_join(fault.clone());
        let phone = app.place_call(CALLEE).await;
        app.ended(&phone, EndReason::AgentUnreachable).await;
        assert_eq!(apologies(&phone), 1, "{fault:?}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_join_that_is_reset_either_works_the_second_time_or_is_apologised_for() {
    let app = apologetic().start().await;
    for _ in 0..5 {
        app.ultravox.fail_next_join(JoinFault::Reset);
        let phone = app.place_call(CALLEE).await;
        let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
        // A reset that is noticed before the join URL was shown is tried again, and the call goes
        // on; after that the URL may be used up.
        let settled = tokio::select! {
            _ = phone.wait_until_settled() => true,
            () = agent.wait_for_audio_ms(100) => false,
        };
        if settled {
            app.ended(&phone, EndReason::AgentUnreachable).await;
            assert_eq!(apologies(&phone), 1);
        } else {
            phone.hang_up();
            app.ended(&phone, EndReason::PhoneHungUp).await;
        }
    }
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_leaves_as_soon_as_it_is_joined_is_apologised_for() {
    let app = apologetic().start().await;
    for code in [1_008, 4_404] {
        let phone = app.place_call(CALLEE).await;
        let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
        agent.close(code, "");
        app.ended(&phone, EndReason::AgentLost).await;
        assert_eq!(apologies(&phone), 1, "{code}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_nobody_can_reach_is_apologised_for() {
    let app = apologetic().start().await;
    // Nothing listens there.
    let body = json!({
        "callId": "00000000-0000-4000-8000-000000000001",
        "joinUrl": "ws://127.0.0.1:9/calls/1/server_web_socket",
    });
    let nowhere = Fault::Answer { status: 201, body, retry_after: None };
    app.ultravox.fail_next(On::CreateCall, nowhere);
    let phone = app.place_call(CALLEE).await;
    app.ended(&phone, EndReason::AgentUnreachable).await;
    assert_eq!(apologies(&phone), 1);
    app.finish().await;
}

/// A call whose phone leaves in some way; the agent must be told that it is over.
async fn phone_leaves(faults: StreamFaults, leave: impl FnOnce(&LiveCall)) {
    let app = apologetic().streams(faults).start().await;
    let call = app.live_call().await;
    leave(&call);
    soon("the agent to be told", call.agent.wait_until_over()).await;
    app.ended(&call.phone, EndReason::PhoneHungUp).await;
    assert_eq!(apologies(&call.phone), 0);
    assert_eq!(call.agent.close_frame_received().map(|close| close.code), Some(1_000));
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_may_leave_in_good_order() {
    for close in [CloseStyle::NoStatus, CloseStyle::Code(1_000), CloseStyle::Eof] {
        let faults = StreamFaults { close, ..StreamFaults::default() };
        phone_leaves(faults, |call| call.phone.hang_up()).await;
    }
}

#[actix_web::test]
async fn frames_after_the_stop_do_no_harm() {
    let faults = StreamFaults {
        frames_after_stop: 20,
        stop_to_close: Duration::from_millis(300),
        ..StreamFaults::default()
    };
    phone_leaves(faults, |call| call.phone.hang_up()).await;
}

#[actix_web::test]
async fn a_phone_may_hang_up_while_the_agent_speaks() {
    phone_leaves(StreamFaults::default(), |call| {
        call.agent.say(pcm_of(&noise(1_000, 2)));
        call.phone.hang_up();
    })
    .await;
}

#[actix_web::test]
async fn a_phone_that_leaves_without_a_stop_ends_the_call() {
    for (close, omit_stop) in [
        (CloseStyle::NoStatus, true),
        (CloseStyle::Eof, true),
        (CloseStyle::Reset, true),
        // A reset overtakes what was sent before it.
        (CloseStyle::Reset, false),
    ] {
        let faults = StreamFaults { close, omit_stop, ..StreamFaults::default() };
        let app = apologetic().streams(faults).start().await;
        let call = app.live_call().await;
        call.phone.hang_up();
        soon("the end of the call", call.phone.wait_until_settled()).await;
        app.quiet().await;
        let row = app.row(&call.phone).await;
        // Which of the two is noticed first is Twilio's affair.
        let reasons = [Some(EndReason::PhoneLost), Some(EndReason::PhoneHungUp)];
        assert!(reasons.contains(&row.end_reason), "{row:?}");
        assert_eq!(apologies(&call.phone), 0);
        assert_eq!(call.agent.close_frame_received().map(|close| close.code), Some(1_000));
        app.finish().await;
    }
}

#[actix_web::test]
async fn an_agent_is_not_left_waiting_by_a_person_who_hangs_up_before_it_has_joined() {
    let app = TestApp::start().await;
    app.ultravox.fail_next_join(JoinFault::Slow(Duration::from_millis(300)));
    let phone = app.place_call(CALLEE).await;
    let agent = soon("the agent's call", app.ultravox.wait_for_call()).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    soon("the end of the agent's call", agent.wait_until_over()).await;
    assert_eq!(agent.close_frame_received().map(|close| close.code), Some(1_000));
    app.finish().await;
}

#[actix_web::test]
async fn a_stream_that_breaks_while_the_phone_is_up_is_apologised_for() {
    for _ in 0..5 {
        let app = apologetic().start().await;
        let call = app.live_call().await;
        call.phone.drop_connection();
        app.ended(&call.phone, EndReason::PhoneLost).await;
        assert_eq!(apologies(&call.phone), 1);
        assert_eq!(call.agent.close_frame_received().map(|close| close.code), Some(1_000));
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_phone_that_breaks_the_websocket_protocol_ends_its_call_alone() {
    let app = apologetic().start().await;
    let (broken, other) =
        (app.live_call_to("+12125550101").await, app.live_call_to("+12125550102").await);
    broken.phone.send_raw_bytes(vec![0xFF; 64]);
    soon("the end of the call", broken.phone.wait_until_settled()).await;
    soon("the agent to be told", broken.agent.wait_until_over()).await;
    assert_eq!(app.row(&broken.phone).await.end_reason, Some(EndReason::ProtocolError));

    let codes = noise(50, 3);
    other.agent.say(pcm_of(&codes));
    let got_it = |phone: &SimCall| phone.received_audio() == recoded(&codes);
    soon("the other call", other.phone.wait_until(got_it)).await.expect("the call is up");
    app.hang_up(&other).await;
    app.finish().await;
}
