//! A person who interrupts is heard at once: the agent falls silent, and what it says next is
//! heard in full.

use actors::call::CallEvent;
use loadtest::audio::g711;
use loadtest::twilio::SimCall;

use crate::harness::sound::{find, noise, pcm_of, recoded};
use crate::harness::{LiveCall, TestApp, soon};

const SILENCED: &str = "callspan_interruption_to_silence_seconds_count";

/// Waits until the phone has played `codes`, without a gap.
async fn phone_hears(phone: &SimCall, codes: &[u8]) -> usize {
    let played = |phone: &SimCall| find(&phone.recording().heard, codes).is_some();
    soon("the phone to hear it", phone.wait_until(played)).await.expect("the call is up");
    find(&phone.recording().heard, codes).expect("it was played")
}

/// Checks that the phone got some of `old`, one `clear`, all of `new`, and nothing else.
async fn only_the_new_turn_follows(call: &LiveCall, old: &[u8], new: &[u8]) {
    let at = phone_hears(&call.phone, new).await;
    let received = call.phone.received_audio();
    let before = received.strip_suffix(new).expect("the new turn comes last");
    assert!(old.starts_with(before), "more than the old turn came before the new one");
    let heard = call.phone.recording().heard;
    let first = find(&heard, &old[..160]).expect("the old turn began to play");
    let cut = heard[first..].iter().zip(old).take_while(|(heard, said)| heard == said).count();
    assert!(first + cut <= at, "the turns overlap");
    assert!(cut < old.len(), "the old turn was played to its end");
    assert!(
        heard[first + cut..at].iter().all(|&code| code == 0xFF),
        "something of the old turn was heard after the silence"
    );
    assert_eq!(call.phone.clears().len(), 1);
}

#[actix_web::test]
async fn an_interrupted_agent_falls_silent_and_its_next_words_are_heard_in_full() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let (old, new) = (recoded(&noise(1_000, 1)), recoded(&noise(100, 2)));
    call.agent.say(pcm_of(&old));
    soon("the old turn", call.phone.wait_for_agent_speech(700)).await.expect("the call is up");
    call.agent.clear_and_say(pcm_of(&new));

    only_the_new_turn_follows(&call, &old, &new).await;
    app.hang_up(&call).await;
    let interrupted = app.timeline(&call.phone).await.into_iter().filter_map(|event| match event {
        CallEvent::Interrupted { heard_ms, .. } => Some(heard_ms),
        _ => None,
    });
    let heard_ms: Vec<u64> = interrupted.collect();
    assert_eq!(heard_ms.len(), 1);
    assert!((500..20_000).contains(&heard_ms[0]), "{heard_ms:?}");
    assert_eq!(app.metric(SILENCED).await, 1.0);
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_may_be_interrupted_again_and_again() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let turns: Vec<Vec<u8>> = (10..15).map(|seed| recoded(&noise(400, seed))).collect();
    call.agent.say(pcm_of(&turns[0]));
    for turn in &turns[1..] {
        let ms = call.phone.heard_speech_ms() + 300;
        soon("some words", call.phone.wait_for_agent_speech(ms)).await.expect("the call is up");
        call.agent.clear_and_say(pcm_of(turn));
    }
    phone_hears(&call.phone, &turns[4]).await;
    assert_eq!(call.phone.clears().len(), 4);
    app.hang_up(&call).await;
    assert_eq!(app.metric(SILENCED).await, 4.0);
    app.finish().await;
}

#[actix_web::test]
async fn an_interruption_of_nothing_does_no_harm() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let codes = recoded(&noise(50, 3));
    call.agent.clear_and_say(pcm_of(&codes));
    phone_hears(&call.phone, &codes).await;
    assert_eq!(call.phone.received_audio(), codes);
    assert_eq!(call.phone.clears().len(), 1);
    app.hang_up(&call).await;
    let nothing = CallEvent::Interrupted { dropped_ms: 0, heard_ms: 0 };
    assert!(app.timeline(&call.phone).await.contains(&nothing));
    assert_eq!(app.metric(SILENCED).await, 0.0);
    app.finish().await;
}

#[actix_web::test]
async fn a_turn_that_was_heard_in_full_is_not_cut_by_a_late_interruption() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let (first, second) = (recoded(&noise(60, 4)), recoded(&noise(60, 5)));
    call.agent.say(pcm_of(&first));
    phone_hears(&call.phone, &first).await;
    let all_echoed = |phone: &SimCall| {
        let marks = phone.marks();
        !marks.is_empty() && marks.iter().all(|mark| mark.echoed_at.is_some() && !mark.cleared)
    };
    soon("the marks", call.phone.wait_until(all_echoed)).await.expect("the call is up");
    // A key travels behind the marks: once it has arrived, so have they.
    call.phone.press('5');
    let is_key = |message: &serde_json::Value| message["type"] == "user_text_message";
    soon("the key", call.agent.wait_for_message(is_key)).await;
    call.agent.clear_and_say(pcm_of(&second));
    phone_hears(&call.phone, &second).await;
    assert_eq!(g711::decode_all(&call.phone.received_audio()).len(), first.len() + second.len());
    app.hang_up(&call).await;
    let all = CallEvent::Interrupted { dropped_ms: 0, heard_ms: 1_200 };
    let timeline = app.timeline(&call.phone).await;
    assert!(timeline.contains(&all), "{timeline:?}");
    app.finish().await;
}
