//! Keys, tools and what makes no sense.

use super::*;

#[test]
fn keys_pressed_together_reach_the_agent_as_one_text() {
    let mut call = BridgeTest::live();
    for digit in ["4", "2", "#"] {
        call.give(Input::PhoneText(&format!(
            r#"{{"event":"dtmf","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#
        )));
    }
    call.advance_ms(600);
    let actions = call.actions();
    assert_eq!(
        actions.lines().next(),
        Some(
            r#"to agent: {"type":"user_text_message","text":"DTMF received: 42#","urgency":"immediate"}"#
        )
    );
}

#[test]
fn a_tool_we_do_not_have_is_answered_so() {
    let mut call = BridgeTest::live();
    call.give(Input::AgentText(
        r#"{"type":"client_tool_invocation","toolName":"sing","invocationId":"i1","parameters":{}}"#,
    ));
    assert_snapshot!(call.actions(), @r#"to agent: {"type":"client_tool_result","invocationId":"i1","errorType":"undefined","errorMessage":"there is no tool named sing"}"#);
}

#[test]
fn the_wish_not_to_be_called_is_answered_each_time_and_told_once() {
    let mut call = BridgeTest::live();
    for id in ["i1", "i2"] {
        let invocation = format!(
            r#"{{"type":"client_tool_invocation","toolName":"doNotCall","invocationId":"{id}","parameters":{{}}}}"#
        );
        call.give(Input::AgentText(&invocation));
    }
    assert_snapshot!(call.actions(), @r#"
    to agent: {"type":"client_tool_result","invocationId":"i1","result":"The number is on the list of those that are not called any more."}
    to agent: {"type":"client_tool_result","invocationId":"i2","result":"The number is on the list of those that are not called any more."}
    notice: DoNotCall
    "#);
}

#[test]
fn useless_frames_are_ignored_until_they_are_a_flood() {
    let mut call = BridgeTest::live();
    for _ in 0..50 {
        call.give(Input::PhoneText("not json"));
        call.give(Input::PhoneBinary);
    }
    assert_eq!(call.bridge.over(), None);
    call.give(Input::PhoneBinary);
    assert_eq!(call.bridge.over(), Some(EndReason::ProtocolError));
}
