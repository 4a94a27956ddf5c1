//! Every frame arrives, in order and bit for bit, whatever sizes and bursts it comes in.

use std::time::Duration;

use futures_util::future::join_all;
use loadtest::audio::g711;
use loadtest::twilio::{SimCall, StreamFaults};
use loadtest::ultravox::{AgentScript, Pacing};

use crate::harness::sound::{
    FRAME, ends_in, excusable_silence, noise, pcm_of, recoded, silence_within, stretch,
};
use crate::harness::{LiveCall, Setup, TestApp, soon, within};

/// For a minute of talk on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The phone says `codes`, some noise; waits until the agent has heard them, and checks every one.
async fn agent_hears_all(call: &LiveCall, codes: Vec<u8>) {
    let say = call.phone.say(codes.clone());
    within(PATIENCE, "the phone to say it", say).await.expect("the call is up");
    // What is left over of a large frame is sent with what follows.
    let breath = call.phone.say(vec![0xFF; 30 * FRAME]);
    within(PATIENCE, "a breath", breath).await.expect("the call is up");
    let all_there = async {
        while !ends_in(&codes, &call.agent.received_samples()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(PATIENCE, "the last frame", all_there).await;
    let sent = call.phone.sent_audio();
    assert!(stretch(&sent, &codes) == codes, "the phone did not send what it said");
    let silence = silence_within(&g711::decode_all(&codes), &call.agent.received_samples());
    let excusable = excusable_silence(&call.phone, 0);
    assert!(silence <= excusable, "{silence} frames of silence were put in, {excusable} excused");
}

/// Waits until the phone has been sent `codes`, and nothing else.
async fn phone_gets_all(phone: &SimCall, codes: &[u8]) {
    let enough = |phone: &SimCall| phone.received_audio().len() >= codes.len();
    within(PATIENCE, "the phone to get it", phone.wait_until(enough)).await.expect("it is up");
    assert!(phone.received_audio() == codes, "other codes reached the phone");
}

/// The same after the agent's samples, padded to whole frames.
async fn phone_gets_samples(phone: &SimCall, samples: &[i16]) {
    let mut codes = g711::encode_all(samples);
    codes.resize(codes.len().next_multiple_of(FRAME), 0xFF);
    phone_gets_all(phone, &codes).await;
}

#[actix_web::test]
async fn a_minute_passes_both_ways_at_once_bit_for_bit() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let (from_phone, from_agent) = (noise(3_000, 1), noise(3_000, 2));
    call.agent.say_paced(pcm_of(&from_agent), Pacing::REAL_TIME);
    let expected = recoded(&from_agent);
    tokio::join!(agent_hears_all(&call, from_phone), phone_gets_all(&call.phone, &expected));

    let played = |phone: &SimCall| ends_in(&expected, &g711::decode_all(&phone.recording().heard));
    soon("the last frame to play", call.phone.wait_until(played)).await.expect("it is up");
    // An agent that this machine lets wait leaves a pause, and nothing else.
    let heard = g711::decode_all(&call.phone.recording().heard);
    silence_within(&g711::decode_all(&expected), &heard);
    app.hang_up(&call).await;
    assert_eq!(call.agent.timing_events(), []);
    for direction in ["phone_to_agent", "agent_to_phone"] {
        for reason in ["slow_agent", "late", "interrupted"] {
            let name = format!(
                r#"callspan_media_dropped_frames_total{{direction="{direction}",reason="{reason}"}}"#
            );
            assert_eq!(app.metric(&name).await, 0.0, "{name}");
        }
    }
    app.finish().await;
}

#[actix_web::test]
async fn an_echoing_agent_gives_the_phone_its_own_codes_back() {
    let app = Setup::new().agents(AgentScript::Echo).start().await;
    let call = app.live_call().await;
    let codes = noise(250, 3);
    agent_hears_all(&call, codes.clone()).await;
    let back = |phone: &SimCall| ends_in(&codes, &g711::decode_all(&phone.received_audio()));
    soon("the echo", call.phone.wait_until(back)).await.expect("the call is up");
    let received = g711::decode_all(&call.phone.received_audio());
    let silence = silence_within(&g711::decode_all(&codes), &received);
    let excusable = excusable_silence(&call.phone, 0);
    assert!(silence <= excusable, "{silence} frames of silence were put in, {excusable} excused");
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_may_send_frames_of_any_size() {
    for frame_bytes in [vec![80, 400, 33, 640, 160, 1, 513, 320], vec![1_600]] {
        let faults = StreamFaults { frame_bytes, ..Default::default() };
        let app = Setup::new().streams(faults).start().await;
        let call = app.live_call().await;
        agent_hears_all(&call, noise(250, 4)).await;
        app.hang_up(&call).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_phone_may_send_in_bursts_and_with_jitter() {
    for faults in [
        StreamFaults { jitter: Duration::from_millis(60), ..Default::default() },
        StreamFaults { burst_frames: 3, ..Default::default() },
    ] {
        let app = Setup::new().streams(faults).start().await;
        let call = app.live_call().await;
        agent_hears_all(&call, noise(250, 5)).await;
        app.hang_up(&call).await;
        app.finish().await;
    }
}

#[actix_web::test]
async fn an_agent_may_send_pieces_of_any_size() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let codes = noise(250, 6);
    let mut pcm = pcm_of(&codes);
    pcm.truncate(pcm.len() - 100);
    let samples = g711::decode_all(&codes[..codes.len() - 50]);
    call.agent.say_frames_of(pcm, &[320, 1, 2, 3, 319, 641, 40_000, 7, 1_280, 321]);
    phone_gets_samples(&call.phone, &samples).await;
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn half_a_sample_at_the_end_is_no_sample() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let codes = noise(10, 7);
    let mut pcm = pcm_of(&codes);
    pcm.pop();
    call.agent.say_frames_of(pcm, &[481]);
    let samples = g711::decode_all(&codes[..codes.len() - 1]);
    phone_gets_samples(&call.phone, &samples).await;
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn what_the_agent_says_before_the_phone_is_there_is_kept() {
    let codes = noise(500, 8);
    let script = AgentScript::Stream { pcm: pcm_of(&codes).into(), pacing: Pacing::AllAtOnce };
    let start_delay = Duration::from_millis(800);
    let app = Setup::new()
        .agents(script)
        .streams(StreamFaults { start_delay, ..Default::default() })
        .start()
        .await;
    let call = app.live_call().await;
    phone_gets_all(&call.phone, &recoded(&codes)).await;
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn twenty_calls_at_once_do_not_mix() {
    let app = TestApp::start().await;
    let mut calls = Vec::new();
    for n in 0..20 {
        calls.push(app.live_call_to(&format!("+121255501{n:02}")).await);
    }
    join_all(calls.iter().zip(100..).map(async |(call, seed)| {
        let from_agent = noise(200, 2 * seed);
        call.agent.say_paced(pcm_of(&from_agent), Pacing::default());
        let expected = recoded(&from_agent);
        tokio::join!(
            agent_hears_all(call, noise(200, 2 * seed + 1)),
            phone_gets_all(&call.phone, &expected),
        );
    }))
    .await;
    for call in &calls {
        call.phone.hang_up();
    }
    for call in &calls {
        app.hang_up(call).await;
    }
    app.finish().await;
}
