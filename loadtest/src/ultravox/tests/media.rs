//! Join sockets: greeting, turns, interruptions, echo, commands and endings.

use base64::Engine;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use super::*;
use crate::audio::g711;

fn quick(script: AgentScript) -> Service {
    let think = Duration::ZERO;
    Service::start(UltravoxOptions { think, ..UltravoxOptions::with_script(script) })
}

#[tokio::test]
async fn an_agent_that_speaks_first_greets_and_hangs_up() {
    let greeting = Line::tone(Tone::LOW, 300);
    let service = quick(AgentScript::conversation([greeting.clone()]));
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    let (messages, code) = joined.until_closed().await;

    assert_eq!(code, 1000);
    assert_eq!(audio_of(&messages), greeting.pcm);
    let texts: Vec<Value> = messages
        .iter()
        .filter_map(|message| message.to_text().ok())
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    assert_eq!(texts[0], json!({"type": "call_started", "callId": call.id()}));
    let states: Vec<_> =
        texts.iter().filter(|text| text["type"] == "state").map(|text| &text["state"]).collect();
    assert_eq!(states, ["listening", "speaking"]);
    assert_eq!(call.wait_until_over().await, EndReason::AgentHangup);
    assert_eq!(call.close_frame_received().map(|close| close.code), Some(1000));
    assert_eq!(service.sim.live_sockets(), 0);
    service.assert_no_violations();
}

#[tokio::test]
async fn turns_are_taken_on_real_speech() {
    let lines = [Line::tone(Tone::LOW, 200), Line::tone(Tone::HIGH, 200)];
    let service = quick(AgentScript::conversation(lines));
    let call = service.call_with(json!({"firstSpeakerSettings": {"user": {}}})).await;
    let mut joined = Joined::to(&call).await;
    let mut line = Clip::CALLER_HELLO.samples();
    line.resize(line.len() + 4_000, 0);

    joined.speak(&line).await;
    assert!(Tone::LOW.is_in(&crate::audio::pcm_samples(&joined.next_audio(3_200).await)));
    call.wait_for_event(|event| *event == AgentEvent::TurnEnded).await;
    joined.speak(&line).await;
    let (messages, _) = joined.until_closed().await;
    assert!(Tone::HIGH.is_in(&crate::audio::pcm_samples(&audio_of(&messages))));

    let said: Vec<_> =
        call.transcript().into_iter().map(|said| (said.by_agent, said.text)).collect();
    let hello = Clip::CALLER_HELLO.text().to_owned();
    let expected = [
        (false, hello.clone()),
        (true, "a tone of 400 Hz".to_owned()),
        (false, hello),
        (true, "a tone of 1100 Hz".to_owned()),
    ];
    assert_eq!(said, expected);
    let (_, messages) = service.get(&format!("/api/calls/{}/messages", call.id())).await;
    assert_eq!(messages["results"][1]["role"], "MESSAGE_ROLE_AGENT");
    assert_eq!(messages["total"], 4);
    service.assert_no_violations();
}

#[tokio::test]
async fn a_burst_is_cleared_when_the_user_interrupts() {
    let long = Line::tone(Tone::LOW, 20_000);
    let script = AgentScript::conversation([long, Line::tone(Tone::HIGH, 200)]);
    let service = quick(script);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    joined.next_audio(3_200).await;
    joined.speak(&Tone::HIGH.samples(200)).await;
    joined.next_of_type("playback_clear_buffer").await;
    joined.speak(&[0; 4_000]).await;
    let (messages, code) = joined.until_closed().await;

    assert_eq!(code, 1000);
    // After the clear only the next line comes: nothing of the interrupted one.
    assert_eq!(audio_of(&messages), Line::tone(Tone::HIGH, 200).pcm);
    let interrupted = |event: &AgentEvent| matches!(event, AgentEvent::Interrupted { .. });
    call.wait_for_event(interrupted).await;
    service.assert_no_violations();
}

#[tokio::test]
async fn echo_is_exact_to_the_bit() {
    let service = Service::with_script(AgentScript::Echo);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    let sent: Vec<u8> = (0..=255).cycle().take(320 * 40).collect();
    for frame in sent.chunks(320) {
        joined.send(Message::Binary(Bytes::copy_from_slice(frame))).await;
    }
    assert_eq!(joined.next_audio(sent.len()).await, sent);
    assert_eq!(call.received_audio(), sent);
    assert_eq!(call.audio_ms_received(), 800);

    joined.0.close(None).await.expect("a close");
    assert_eq!(call.wait_until_over().await, EndReason::Hangup);
    assert_eq!(call.close_frame_received().map(|close| close.code), Some(1005));
    service.assert_no_violations();
}

#[tokio::test]
async fn a_stream_of_any_pacing_arrives_whole() {
    let pcm = pcm_bytes(&Tone::LOW.samples(300));
    for pacing in [Pacing::REAL_TIME, Pacing::default(), Pacing::AllAtOnce] {
        let script = AgentScript::Stream { pcm: pcm.clone().into(), pacing };
        let service = Service::with_script(script);
        let call = service.call().await;
        let mut joined = Joined::to(&call).await;
        assert_eq!(joined.next_audio(pcm.len()).await, pcm);
    }
}

#[tokio::test]
async fn a_test_can_say_clear_and_say_again() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    let pcm = Bytes::from(pcm_bytes(&Tone::LOW.samples(100)));
    call.say_frames_of(pcm.clone(), &[1, 321, 2]);
    assert_eq!(joined.next_audio(pcm.len()).await, pcm);

    call.clear_and_say(pcm.clone());
    joined.next_of_type("playback_clear_buffer").await;
    assert_eq!(joined.next_audio(pcm.len()).await, pcm);

    call.send_ping();
    call.send_unknown_message();
    joined.next_of_type("weather_report").await;
    joined.speak(&Tone::HIGH.samples(200)).await;
    call.wait_for_audio_ms(200).await;
    call.wait_for_pongs(1).await;
    service.assert_no_violations();
}

#[tokio::test]
async fn tools_want_exactly_one_result() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    let invocation = call.invoke_tool("transfer", json!({"reason": "billing"}));
    let asked = joined.next_of_type("client_tool_invocation").await;
    assert_eq!(asked["invocationId"], invocation);
    let result = json!({"type": "client_tool_result", "invocationId": invocation, "result": "{}"});
    joined.send_json(result.clone()).await;
    assert_eq!(call.tool_result(&invocation).await["result"], "{}");
    service.assert_no_violations();

    joined.send_json(result).await;
    joined.send_json(json!({"type": "ping", "timestamp": 1.0})).await;
    joined.next_of_type("pong").await;
    assert_eq!(service.sim.violations().len(), 1);
}

#[tokio::test]
async fn what_is_not_documented_is_a_violation() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    joined.send(Message::Binary(Bytes::from_static(&[1, 2, 3]))).await;
    joined.send(Message::text("not json")).await;
    joined.send_json(json!({"type": "user_spoke"})).await;
    joined.send_json(json!({"type": "hang_up", "why": "x"})).await;
    joined.send_json(json!({"type": "ping", "timestamp": 1.0})).await;
    joined.next_of_type("pong").await;
    let violations = service.sim.violations();
    assert_eq!(violations.len(), 4, "{violations:#?}");
    assert!(violations.iter().all(|violation| violation.call_id.as_deref() == Some(call.id())));
}

#[tokio::test]
async fn too_much_audio_is_noticed() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    joined.speak(&[0; 10 * 8_000]).await;
    call.wait_for_audio_ms(10_000).await;
    assert_eq!(call.timing_events()[0].kind, TimingKind::Overflow);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_speech_gets_its_close_answered() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    // More than the kernel's buffers hold, so that much of it is still waiting.
    call.say_frames_of(vec![0; 16 << 20], &[64 << 10]);
    joined.next_audio(1).await;
    let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    joined.send(Message::Close(Some(frame))).await;
    joined.until_closed().await;
    assert_eq!(call.wait_until_over().await, EndReason::Hangup);
    let received = CloseReceived { code: 1000, reason: "done".into() };
    assert_eq!(call.close_frame_received(), Some(received));
}

#[tokio::test]
async fn fifty_agents_talk_at_once() {
    let service = Service::start(UltravoxOptions::for_load());
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(Joined::to(&service.call().await).await);
    }
    assert_eq!(service.sim.live_sockets(), 50);
    for _ in 0..10 {
        for joined in &mut sockets {
            joined.send(Message::Binary(Bytes::from_static(&[7; 320]))).await;
        }
    }
    for joined in &mut sockets {
        assert_eq!(joined.next_audio(3_200).await, [7; 3_200]);
    }
    drop(sockets);
    service.sim.wait_for_no_sockets().await;
    for call in service.sim.calls() {
        assert_eq!(call.wait_until_over().await, EndReason::ConnectionError);
    }
}

#[tokio::test]
async fn a_twilio_stream_is_spoken_on_the_twilio_medium() {
    let line = Line::tone(Tone::LOW, 1_000);
    let service = quick(AgentScript::conversation([line, Line::tone(Tone::HIGH, 100)]));
    let call = service.call_with(json!({"medium": {"twilio": {}}})).await;
    let mut joined = Joined::to(&call).await;
    let format = json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1});
    let start = json!({"streamSid": "MZ1", "mediaFormat": format});
    joined.send_json(json!({"event": "connected", "protocol": "Call"})).await;
    joined.send_json(json!({"event": "start", "sequenceNumber": "1", "start": start})).await;
    let first = joined.next_event("media").await;
    assert_eq!(first["streamSid"], "MZ1");
    assert_eq!(call.twilio_stream_sid().as_deref(), Some("MZ1"));

    let mut number = 1;
    let mut speech = Tone::HIGH.samples(200);
    speech.resize(speech.len() + 4_000, 0);
    for frame in speech.chunks(160) {
        number += 1;
        let payload = base64::engine::general_purpose::STANDARD.encode(g711::encode_all(frame));
        joined
            .send_json(json!({"event": "media", "sequenceNumber": number.to_string(),
                "streamSid": "MZ1", "media": {"payload": payload}}))
            .await;
    }
    assert_eq!(joined.next_event("clear").await["streamSid"], "MZ1");
    let (messages, code) = joined.until_closed().await;
    assert_eq!((messages.len(), code), (5, 1000), "five frames of the second line");
    assert_eq!(call.audio_ms_received(), 700);
    service.assert_no_violations();
}
