//! The agent hears one second a second, whatever the phone leaves out, and no word is lost.

use std::time::Duration;

use loadtest::audio::g711;
use loadtest::twilio::{SimCall, Stall, StallKind, StreamFaults};

use crate::harness::sound::{FRAME, excusable_silence, find, noise, silence_within};
use crate::harness::{LiveCall, Setup, TestApp, soon, within};

const SILENCE: &str = "callspan_media_silence_frames_total";
const LATE: &str =
    r#"callspan_media_dropped_frames_total{direction="phone_to_agent",reason="late"}"#;
const PATIENCE: Duration = Duration::from_secs(60);

/// A service whose phones say `codes` from the first frame on, with these faults.
async fn speaking(codes: &[u8], faults: StreamFaults) -> (TestApp, LiveCall) {
    let app = Setup::new().streams(faults).start().await;
    let call = app.live_call().await;
    within(PATIENCE, "the words", call.phone.say(codes)).await.expect("the call is up");
    (app, call)
}

/// Waits until the agent has heard as much as the phone's microphone picked up and a bit more.
async fn caught_up(call: &LiveCall) {
    soon("a breath", call.phone.say(vec![0xFF; 30 * FRAME])).await.expect("the call is up");
    let ms = call.phone.frames_sent() * 20;
    soon("the agent to catch up", call.agent.wait_for_audio_ms(ms.saturating_sub(200))).await;
}

/// What the phone's microphone picked up, in the time in which it did.
fn microphone(phone: &SimCall) -> Vec<i16> {
    g711::decode_all(&phone.recording().said)
}

/// The frames that are loud enough to be speech.
fn loud(samples: &[i16]) -> Vec<i16> {
    let frames = samples.chunks_exact(FRAME);
    let loud = frames.filter(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 400));
    loud.flatten().copied().collect()
}

/// Waits until the agent has heard every loud frame of `said`, and no other.
async fn no_word_is_lost(call: &LiveCall, said: &[i16]) {
    let said = loud(said);
    let all = async {
        while loud(&call.agent.received_samples()).len() < said.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("every word", all).await;
    let heard = loud(&call.agent.received_samples());
    let same = said.iter().zip(&heard).take_while(|(said, heard)| said == heard).count();
    let (said, heard) = (said.len(), heard.len());
    assert!(same == said && said == heard, "{said} samples were said, {heard} heard, {same} alike");
}

#[actix_web::test]
async fn missing_frames_are_heard_as_silence_of_the_same_length() {
    let missing = vec![(60, 1), (90, 2), (120, 3), (150, 10), (200, 100)];
    let faults = StreamFaults { missing: missing.clone(), ..StreamFaults::default() };
    let codes = noise(400, 1);
    let (app, call) = speaking(&codes, faults).await;
    caught_up(&call).await;
    app.hang_up(&call).await;

    let mut expected = microphone(&call.phone);
    for (first, frames) in missing {
        let first = usize::try_from(first).expect("small") * FRAME;
        let length = usize::try_from(frames).expect("small") * FRAME;
        expected[first..first + length].fill(0);
    }
    let said = call.phone.recording().said;
    let start = find(&said, &codes).expect("it was spoken");
    let expected = &expected[start..start + codes.len()];
    let silence = silence_within(expected, &call.agent.received_samples());
    let excusable = excusable_silence(&call.phone, 2);
    assert!(silence <= excusable, "{silence} frames too much, {excusable} excused");
    assert!(app.metric(SILENCE).await >= 116.0);
    assert_eq!(call.agent.timing_events(), []);
    app.finish().await;
}

#[actix_web::test]
async fn frames_held_back_are_all_heard_and_the_silence_before_them_is_taken_back() {
    let (at, lasting) = (Duration::from_millis(1_000), Duration::from_millis(700));
    let stalls = vec![Stall { at, lasting, kind: StallKind::HeldBack }];
    let faults = StreamFaults { stalls, ..StreamFaults::default() };
    let codes = noise(150, 2);
    let (app, call) = speaking(&codes, faults).await;
    no_word_is_lost(&call, &g711::decode_all(&codes)).await;
    // In this silence the agent's clock and the phone's come together again.
    let quiet = call.phone.say(vec![0xFF; 100 * FRAME]);
    soon("the quiet after it", quiet).await.expect("the call is up");
    app.hang_up(&call).await;
    let (made_up, taken_back) = (app.metric(SILENCE).await, app.metric(LATE).await);
    assert!(made_up >= 34.0, "{made_up} frames of silence stood in for 700 ms");
    assert!((made_up - taken_back).abs() <= 3.0, "{taken_back} of {made_up} were taken back");
    assert_eq!(call.agent.timing_events(), []);
    app.finish().await;
}

/// Somebody speaks, the line stalls, and they speak on in real time.
async fn one_second_a_second(kind: StallKind, lasting: Duration) {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    soon("the words", call.phone.say(noise(50, 3))).await.expect("the call is up");
    let before = call.agent.audio_ms_received();
    call.phone.stall(lasting, kind);
    let ms = u64::try_from(lasting.as_millis()).expect("short");
    within(PATIENCE, "the silence", call.agent.wait_for_audio_ms(before + ms)).await;
    soon("a breath", call.phone.say(vec![0xFF; 10 * FRAME])).await.expect("the call is up");
    let after = noise(150, 4);
    within(PATIENCE, "the words", call.phone.say(after.clone())).await.expect("the call is up");

    let mut said = noise(50, 3);
    said.extend(after);
    no_word_is_lost(&call, &g711::decode_all(&said)).await;
    soon("a breath", call.phone.say(vec![0xFF; 100 * FRAME])).await.expect("the call is up");
    app.hang_up(&call).await;
    assert_eq!(call.agent.timing_events(), [], "{kind:?}");
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_whose_clock_stops_is_heard_as_silence_second_for_second() {
    one_second_a_second(StallKind::ClockStops, Duration::from_secs(4)).await;
}

#[actix_web::test]
async fn frames_lost_for_seconds_are_heard_as_silence_second_for_second() {
    one_second_a_second(StallKind::Lost, Duration::from_secs(4)).await;
}

#[actix_web::test]
async fn a_phone_that_sends_nothing_for_long_is_heard_at_once_when_it_speaks_again() {
    one_second_a_second(StallKind::Lost, Duration::from_secs(14)).await;
}

#[actix_web::test]
async fn many_short_stalls_do_not_add_up() {
    let stalls = (0..8).map(|n| Stall {
        at: Duration::from_millis(1_000 + 600 * n),
        lasting: Duration::from_millis(300),
        kind: StallKind::ClockStops,
    });
    let faults = StreamFaults { stalls: stalls.collect(), ..StreamFaults::default() };
    let codes = noise(200, 5);
    let (app, call) = speaking(&codes, faults).await;
    no_word_is_lost(&call, &g711::decode_all(&codes)).await;
    soon("a breath", call.phone.say(vec![0xFF; 100 * FRAME])).await.expect("the call is up");
    app.hang_up(&call).await;
    assert_eq!(call.agent.timing_events(), []);
    app.finish().await;
}
