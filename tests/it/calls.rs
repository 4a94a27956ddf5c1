//! Calls from the first request to the last frame.

use actors::call::{CallStatus, EndReason};
use loadtest::audio::{Tone, g711};
use loadtest::twilio::SimCall;

use crate::harness::{TestApp, soon};

#[actix_web::test]
async fn each_side_hears_the_other() {
    let app = TestApp::start().await;
    let call = app.live_call().await;

    call.agent.play_tone(Tone::HIGH, 1_000);
    let (said, ()) = tokio::join!(
        soon("the phone to say it", call.phone.say(g711::encode_all(&Tone::LOW.samples(1_000)))),
        soon("the agent to hear it", call.agent.wait_for_tone(Tone::LOW)),
    );
    said.expect("the call is up");
    let heard = |phone: &SimCall| {
        let heard = g711::decode_all(&phone.recording().heard);
        heard.windows(800).step_by(160).any(|window| Tone::HIGH.is_in(window))
    };
    soon("the phone to hear it", call.phone.wait_until(heard)).await.expect("the call is up");

    call.phone.hang_up();
    soon("the end", call.phone.wait_until_settled()).await;
    app.quiet().await;
    let row = app.row(&call.phone).await;
    assert_eq!(row.status, CallStatus::Completed);
    assert_eq!(row.end_reason, Some(EndReason::PhoneHungUp));
    app.finish().await;
}
