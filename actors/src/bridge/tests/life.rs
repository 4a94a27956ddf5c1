//! How a stream begins, and every way in which it ends.

use super::*;

#[test]
fn a_stream_with_the_right_token_goes_live() {
    let mut call = BridgeTest::upgraded();
    call.phone_starts(CALL, TOKEN);
    call.give(Input::AgentJoined);
    assert_snapshot!(call.actions(), @r#"
    notice: StreamStarted(StreamSid("MZ00000000000000000000000000000001"))
    notice: AgentJoined
    "#);
}

#[test]
fn a_stream_that_shows_no_or_another_token_or_call_is_rejected() {
    for (call_sid, token) in
        [(CALL, ""), (CALL, "guess"), ("CA00000000000000000000000000000002", TOKEN)]
    {
        let mut call = BridgeTest::upgraded();
        call.phone_starts(call_sid, token);
        assert_eq!(call.actions(), "over: stream_rejected", "{call_sid} {token}");
    }
}

#[test]
fn a_stream_that_never_starts_ends_after_ten_seconds() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.advance_ms(9_999);
    assert_eq!(call.bridge.over(), None);
    call.advance_ms(1);
    assert_eq!(call.bridge.over(), Some(EndReason::StreamMissing));
}

#[test]
fn every_way_to_lose_a_side_has_its_reason() {
    let closed = |code| Input::AgentClosed { code, reason: String::new() };
    for (input, reason) in [
        (Input::PhoneText(r#"{"event":"stop"}"#), EndReason::PhoneHungUp),
        (Input::PhoneClosed, EndReason::PhoneLost),
        (Input::PhoneViolation, EndReason::ProtocolError),
        (closed(Some(1000)), EndReason::AgentHungUp),
        (closed(Some(1005)), EndReason::AgentHungUp),
        (closed(Some(1008)), EndReason::AgentLost),
        (closed(Some(4404)), EndReason::AgentLost),
        (closed(None), EndReason::AgentLost),
        (Input::AgentUnreachable { cause: String::new() }, EndReason::AgentUnreachable),
        (Input::End(EndReason::ShutDown), EndReason::ShutDown),
    ] {
        let mut call = BridgeTest::live();
        call.give(input);
        assert_eq!(call.bridge.over(), Some(reason));
        call.give(Input::AgentAudio(&[0; 320]));
        call.advance_ms(60_000);
        assert_eq!(call.bridge.over(), Some(reason), "the first reason stands");
        assert_eq!(call.bridge.next_deadline(), None);
    }
}

#[test]
fn audio_before_the_start_is_ignored() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.phone_frame(&[0; FRAME_SAMPLES]);
    assert_snapshot!(call.actions(), @r#"
    notice: AgentJoined
    notice: Ignored { from: Phone, why: "before_start" }
    "#);
}

#[test]
fn what_the_agent_says_before_the_start_is_kept() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.agent_speaks_ms(300);
    assert_snapshot!(call.actions(), @"notice: AgentJoined");
    call.phone_starts(CALL, TOKEN);
    assert_eq!(call.mulaw_for_phone().len(), 300 * SAMPLES_PER_MS);
}

#[test]
fn a_silent_agent_socket_is_probed_and_given_up() {
    let mut call = BridgeTest::live();
    for _ in 0..4 {
        call.advance_ms(10_000);
        if call.actions().contains("probe") {
            call.give(Input::AgentAlive);
        }
    }
    assert_eq!(call.bridge.over(), None);
    for _ in 0..5 {
        call.advance_ms(10_000);
        call.actions();
    }
    assert_eq!(call.bridge.over(), Some(EndReason::AgentLost));
}

#[test]
fn an_agent_nobody_reads_is_not_taken_for_silent() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(2_000);
    assert!(!call.bridge.wants_agent());
    call.advance_ms(100_000);
    assert_eq!(call.bridge.over(), None);
}
