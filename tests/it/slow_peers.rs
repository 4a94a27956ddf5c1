//! One side that does not read: memory stays bounded, and the call goes on where it should.

use std::time::Duration;

use loadtest::audio::g711;
use loadtest::twilio::SimCall;

use crate::harness::sound::{FRAME, find, noise, pcm_of, recoded};
use crate::harness::{Setup, TestApp, soon, within};

const SLOW_AGENT: &str =
    r#"callspan_media_dropped_frames_total{direction="phone_to_agent",reason="slow_agent"}"#;
const PATIENCE: Duration = Duration::from_secs(60);

#[actix_web::test]
async fn an_agent_that_does_not_read_gets_the_newest_second_afterwards() {
    let app =
        Setup::new().ultravox(|agents| agents.receive_buffer_bytes = Some(4 * 1024)).start().await;
    let call = app.live_call().await;
    let codes = noise(400, 1);
    call.agent.stop_reading(Duration::from_secs(7));
    within(PATIENCE, "the words", call.phone.say(codes.clone())).await.expect("the call is up");
    let last = g711::decode_all(&codes[350 * FRAME..]);
    let heard = async {
        while !call.agent.received_samples().windows(last.len()).any(|heard| heard == last) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the last words", heard).await;
    app.hang_up(&call).await;
    let dropped = app.metric(SLOW_AGENT).await;
    assert!(dropped >= 100.0, "only {dropped} frames gave way in 7 s");
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_that_does_not_read_loses_nothing_afterwards() {
    let app =
        Setup::new().twilio(|twilio| twilio.receive_buffer_bytes = Some(4 * 1024)).start().await;
    let call = app.live_call().await;
    call.phone.stop_reading(Duration::from_secs(2));
    let codes = noise(1_400, 2);
    let expected = recoded(&codes);
    call.agent.say(pcm_of(&codes));
    let got_it = |phone: &SimCall| phone.received_audio().len() >= codes.len();
    soon("the words", call.phone.wait_until(got_it)).await.expect("the call is up");
    assert!(call.phone.received_audio() == expected);
    let begun = |phone: &SimCall| find(&phone.recording().heard, &expected[..8_000]).is_some();
    soon("to hear them", call.phone.wait_until(begun)).await.expect("the call is up");
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn an_interruption_reaches_a_phone_that_was_slow() {
    let app =
        Setup::new().twilio(|twilio| twilio.receive_buffer_bytes = Some(4 * 1024)).start().await;
    let call = app.live_call().await;
    call.phone.stop_reading(Duration::from_secs(2));
    let (old, new) = (recoded(&noise(1_400, 3)), recoded(&noise(50, 4)));
    call.agent.say(pcm_of(&old));
    call.agent.clear_and_say(pcm_of(&new));
    let heard = |phone: &SimCall| find(&phone.recording().heard, &new).is_some();
    soon("the new turn", call.phone.wait_until(heard)).await.expect("the call is up");
    assert_eq!(call.phone.clears().len(), 1);
    let received = call.phone.received_audio();
    let before = received.strip_suffix(&*new).expect("the new turn comes last");
    assert!(old.starts_with(before), "the old turn is out of order");
    app.hang_up(&call).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_phone_and_an_agent_that_both_stop_reading_find_each_other_again() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    call.phone.stop_reading(Duration::from_secs(2));
    call.agent.stop_reading(Duration::from_secs(2));
    let (from_phone, from_agent) = (noise(150, 5), noise(150, 6));
    call.agent.say(pcm_of(&from_agent));
    within(PATIENCE, "to speak", call.phone.say(from_phone)).await.expect("the call is up");
    let got_it = |phone: &SimCall| phone.received_audio() == recoded(&from_agent);
    soon("the agent's words", call.phone.wait_until(got_it)).await.expect("the call is up");
    app.hang_up(&call).await;
    app.finish().await;
}
