//! Conversations in real speech: turns, transcripts, keys, tools, and the goodbye.

use std::time::Duration;

use actors::call::{CallEvent, EndReason, Speaker};
use loadtest::audio::{Clip, g711};
use loadtest::twilio::{CallerScript, Message, PhoneBehaviour, SimCall, StreamFaults};
use loadtest::ultravox::{AgentScript, HangUpWhen, Line, Turn};
use serde_json::json;

use crate::harness::sound::{find, noise, pcm_of, recoded};
use crate::harness::{CALLEE, Setup, TestApp, soon, within};

/// For a conversation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// An agent has finished a turn when it is silent for longer than between two sentences.
const TURN_MS: u64 = 900;

/// The caller's side of the recorded dialogue, up to its last words.
fn caller() -> CallerScript {
    CallerScript::new()
        .wait_ms(200)
        .say(Clip::CALLER_HELLO.ulaw())
        .wait_for_agent_speech()
        .wait_for_agent_silence(TURN_MS)
        .say(Clip::CALLER_YES.ulaw())
        .interrupt_after_agent_spoke(2_500)
        .say(Clip::CALLER_INTERRUPTS.ulaw())
        .wait_for_agent_speech()
        .wait_for_agent_silence(TURN_MS)
        .say(Clip::CALLER_GOODBYE.ulaw())
}

/// A caller who says hello, to an agent that says goodbye.
fn short_call() -> Setup {
    let hello = CallerScript::new().wait_ms(200).say(Clip::CALLER_HELLO.ulaw());
    Setup::new()
        .agents(AgentScript::conversation([Clip::AGENT_GOODBYE.into()]))
        .phones(PhoneBehaviour::answers().following(hello))
}

/// Whether the phone has heard a line to its end.
fn has_heard(phone: &SimCall, line: Clip) -> bool {
    find(&phone.recording().heard, &recoded(line.ulaw())).is_some()
}

#[actix_web::test]
async fn a_conversation_is_written_down_and_its_goodbye_is_heard_to_its_end() {
    let app = Setup::new()
        .agents(AgentScript::demo())
        .phones(PhoneBehaviour::answers().following(caller()))
        .start()
        .await;
    let call = app.live_call().await;
    within(PATIENCE, "the agent to leave", call.agent.wait_until_over()).await;
    app.ended(&call.phone, EndReason::AgentHungUp).await;

    assert!(has_heard(&call.phone, Clip::AGENT_GREETING));
    assert!(has_heard(&call.phone, Clip::AGENT_REBOOKED));
    assert!(has_heard(&call.phone, Clip::AGENT_GOODBYE));
    assert!(!has_heard(&call.phone, Clip::AGENT_MORE_DETAILS));
    assert_eq!(call.phone.say_texts(), [""; 0]);
    assert_eq!(call.phone.clears().len(), 1);
    assert_eq!(call.agent.close_frame_received().map(|close| close.code), Some(1_000));
    let timeline = app.timeline(&call.phone).await;
    let said: Vec<(Speaker, &str)> = timeline
        .iter()
        .filter_map(|event| match event {
            CallEvent::Transcript { speaker, text } => Some((*speaker, text.as_str())),
            _ => None,
        })
        .collect();
    let (phone, agent) = (Speaker::Phone, Speaker::Agent);
    assert_eq!(said.len(), 8, "{said:#?}");
    assert_eq!(said[0], (phone, Clip::CALLER_HELLO.text()));
    assert_eq!(said[1], (agent, Clip::AGENT_GREETING.text()));
    assert_eq!(said[2], (phone, Clip::CALLER_YES.text()));
    assert!(said[3].0 == agent && Clip::AGENT_DETAILS.text().starts_with(&said[3].1[..10]));
    assert_eq!(said[4], (phone, Clip::CALLER_INTERRUPTS.text()));
    assert_eq!(said[5], (agent, Clip::AGENT_REBOOKED.text()));
    assert_eq!(said[6], (phone, Clip::CALLER_GOODBYE.text()));
    assert_eq!(said[7], (agent, Clip::AGENT_GOODBYE.text()));
    assert!(timeline.contains(&CallEvent::AgentLeft { code: Some(1_000), reason: String::new() }));
    let interruptions = timeline.iter().filter(|e| matches!(e, CallEvent::Interrupted { .. }));
    assert_eq!(interruptions.count(), 1);
    assert_eq!(app.metric("callspan_answer_to_first_audio_seconds_count").await, 1.0);
    assert!(app.metric("callspan_agent_response_seconds_count").await >= 3.0);
    app.finish().await;
}

#[actix_web::test]
async fn a_goodbye_is_heard_to_its_end_though_the_agent_has_left() {
    let app = short_call().ultravox(|agents| agents.hang_up = HangUpWhen::Sent).start().await;
    let call = app.live_call().await;
    soon("the agent to leave", call.agent.wait_until_over()).await;
    app.ended(&call.phone, EndReason::AgentHungUp).await;
    assert!(has_heard(&call.phone, Clip::AGENT_GOODBYE));
    app.finish().await;
}

#[actix_web::test]
async fn a_goodbye_ends_though_nobody_confirms_that_it_was_heard() {
    let mut setup = short_call().ultravox(|agents| agents.hang_up = HangUpWhen::Sent);
    setup = setup.twilio(|twilio| twilio.phone.stream.swallow_marks = true);
    let app = setup.start().await;
    let call = app.live_call().await;
    soon("the agent to leave", call.agent.wait_until_over()).await;
    app.ended(&call.phone, EndReason::AgentHungUp).await;
    assert!(has_heard(&call.phone, Clip::AGENT_GOODBYE));
    app.finish().await;
}

#[actix_web::test]
async fn a_person_may_hang_up_during_the_goodbye() {
    let app = short_call().ultravox(|agents| agents.hang_up = HangUpWhen::Sent).start().await;
    let call = app.live_call().await;
    soon("the agent to leave", call.agent.wait_until_over()).await;
    soon("its last words", call.phone.wait_for_agent_speech(300)).await.expect("the call is up");
    call.phone.hang_up();
    app.ended(&call.phone, EndReason::PhoneHungUp).await;
    assert!(!has_heard(&call.phone, Clip::AGENT_GOODBYE));
    app.finish().await;
}

#[actix_web::test]
async fn keys_pressed_together_reach_the_agent_as_one_message() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    for digit in ['1', '2', '#'] {
        call.phone.press(digit);
    }
    let is_text = |message: &serde_json::Value| message["type"] == "user_text_message";
    let message = soon("the keys", call.agent.wait_for_message(is_text)).await;
    assert_eq!(message["text"], "DTMF received: 12#");
    app.hang_up(&call).await;
    assert_eq!(call.agent.messages_of_type("user_text_message").len(), 1);
    let keys: Vec<char> = app
        .timeline(&call.phone)
        .await
        .into_iter()
        .filter_map(|event| match event {
            CallEvent::Dtmf { digit } => Some(digit),
            _ => None,
        })
        .collect();
    assert_eq!(keys, ['1', '2', '#']);
    app.finish().await;
}

#[actix_web::test]
async fn a_tool_nobody_has_is_answered_once_that_it_is_undefined() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let invocation = call.agent.invoke_tool("openDoor", json!({ "door": 3 }));
    let result = soon("a result", call.agent.tool_result(&invocation)).await;
    assert_eq!(result["errorType"], "undefined");
    assert!(result["errorMessage"].as_str().is_some_and(|text| text.contains("openDoor")));
    assert_eq!(result.get("result"), None);
    app.hang_up(&call).await;
    assert_eq!(call.agent.tool_results(&invocation).len(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_person_who_wants_no_calls_is_put_on_the_list_by_the_agent() {
    let script = AgentScript::Conversation(vec![
        Turn::of(Line::murmur("I see.")).then_invoke("doNotCall", json!({})),
        Turn::of(Line::murmur("Nobody will call you again.")).then_hang_up(),
    ]);
    let phone = CallerScript::new().wait_ms(200).say(Clip::CALLER_HELLO.ulaw());
    let app = Setup::new()
        .agents(script)
        .phones(PhoneBehaviour::answers().following(phone))
        .start()
        .await;
    let call = app.live_call().await;
    let create = app.ultravox.requests().into_iter().find(|request| request.path == "/api/calls");
    let tools = create.expect("an agent was asked for").body["selectedTools"].clone();
    assert_eq!(tools[1]["temporaryTool"]["modelToolName"], "doNotCall", "{tools}");

    within(PATIENCE, "the end of the call", call.phone.wait_until_settled()).await;
    app.ended(&call.phone, EndReason::AgentHungUp).await;
    let timeline = app.timeline(&call.phone).await;
    let wishes = timeline.iter().filter(|event| **event == CallEvent::DoNotCall);
    assert_eq!(wishes.count(), 1, "{timeline:?}");
    let row = app.sql("SELECT company_id || ' ' || number || ' ' || source FROM do_not_call").await;
    assert_eq!(row, Some(format!("1 {CALLEE} agent")));
    // A result that is missing, late or doubled would be a complaint.
    app.finish().await;
}

#[actix_web::test]
async fn a_wish_that_the_agent_reports_twice_is_noted_once() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    for _ in 0..2 {
        let invocation = call.agent.invoke_tool("doNotCall", json!({}));
        let result = soon("a result", call.agent.tool_result(&invocation)).await;
        assert!(result["result"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
        assert_eq!(result.get("errorType"), None);
        assert_eq!(call.agent.tool_results(&invocation).len(), 1);
    }
    app.hang_up(&call).await;
    let timeline = app.timeline(&call.phone).await;
    let wishes = timeline.iter().filter(|event| **event == CallEvent::DoNotCall);
    assert_eq!(wishes.count(), 1, "{timeline:?}");
    assert_eq!(app.sql("SELECT number FROM do_not_call").await.as_deref(), Some(CALLEE));
    app.finish().await;
}

#[actix_web::test]
async fn messages_nobody_knows_are_ignored_on_both_sides() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    for text in [r#"{"event":"weather","weather":{"sky":"blue"}}"#, "hello?", "[]", "null", ""] {
        call.phone.send_raw(text);
    }
    call.phone.send_raw(r#"{"event":"media","media":{"track":"inbound","payload":"not base64"}}"#);
    call.phone.send_raw(r#"{"event":"mark","mark":{"name":"somebody else's"}}"#);
    call.phone.send_raw(Message::binary(vec![1, 2, 3]));
    call.phone.send_raw(Message::Ping(vec![1].into()));
    call.agent.send_unknown_message();
    for text in ["hello?", r#"{"type":7}"#, r#"{"type":"transcript"}"#, "[]"] {
        call.agent.send_text_raw(text);
    }
    call.agent.send_ping();
    soon("a pong", call.agent.wait_for_pongs(1)).await;

    let codes = noise(50, 1);
    call.agent.say(pcm_of(&codes));
    let got_it = |phone: &SimCall| phone.received_audio() == recoded(&codes);
    soon("the agent's words", call.phone.wait_until(got_it)).await.expect("the call is up");
    soon("to speak", call.phone.say(codes.clone())).await.expect("the call is up");
    let said = g711::decode_all(&codes);
    let heard = async {
        while !call.agent.received_samples().windows(said.len()).any(|heard| heard == said) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the phone's words", heard).await;
    app.hang_up(&call).await;
    for (label, count) in [("unknown", 1.0), ("binary", 1.0), ("unknown_mark", 1.0)] {
        let name =
            format!(r#"callspan_media_ignored_messages_total{{from="phone",reason="{label}"}}"#);
        assert_eq!(app.metric(&name).await, count, "{label}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn every_mark_is_reached_when_nobody_interrupts() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let codes = noise(75, 2);
    call.agent.say(pcm_of(&codes));
    let all_echoed = |phone: &SimCall| {
        let marks = phone.marks();
        phone.received_audio().len() == codes.len()
            && marks.last().is_some_and(|mark| mark.name == "g0:1500")
            && marks.iter().all(|mark| mark.echoed_at.is_some())
    };
    soon("the marks", call.phone.wait_until(all_echoed)).await.expect("the call is up");
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_stream_whose_start_is_late_still_becomes_a_conversation() {
    let start_delay = Duration::from_secs(2);
    let app = short_call()
        .twilio(|twilio| {
            twilio.phone.stream = StreamFaults { start_delay, ..StreamFaults::default() };
        })
        .start()
        .await;
    let phone = app.place_call(CALLEE).await;
    app.ended(&phone, EndReason::AgentHungUp).await;
    assert!(has_heard(&phone, Clip::AGENT_GOODBYE));
    app.finish().await;
}
