//! Both legs over TLS, with an authority of the test's own.

use std::time::Duration;

use loadtest::load::Probe;
use loadtest::tls::{Authority, Tls};
use loadtest::twilio::{InboundCall, PhoneBehaviour, TwilioOptions};
use loadtest::ultravox::UltravoxOptions;

use crate::harness::process::World;
use crate::harness::{CALLEE, soon};

const CALLS: u64 = 4;
/// Frames that each call's phone is to hear.
const FRAMES: u64 = 50;

fn twilio(tls: Tls) -> TwilioOptions {
    // A stream without TLS would be refused, as Twilio refuses it.
    TwilioOptions { verb_time: 0.0, allow_ws: false, tls: Some(tls), ..TwilioOptions::default() }
}

fn ultravox(tls: Tls) -> UltravoxOptions {
    UltravoxOptions { tls: Some(tls), ..UltravoxOptions::for_load() }
}

/// A program, and peers whose authority is not its own.
fn strangers() -> World {
    let [ours, other] = [(); 2].map(|()| Authority::new().expect("an authority"));
    let tls = other.peers().expect("a certificate");
    World::between(twilio(tls.clone()), ultravox(tls)).with_tls_of(&ours)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let fulfilled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(what, fulfilled).await;
}

#[actix_web::test]
async fn every_frame_passes_both_legs_and_sessions_are_resumed() {
    let authority = Authority::new().expect("an authority");
    let tls = authority.peers().expect("a certificate");
    let probe = Probe::new();
    let twilio = TwilioOptions { probe: Some(probe.clone()), ..twilio(tls.clone()) };
    let ultravox = UltravoxOptions { probe: Some(probe.clone()), ..ultravox(tls) };
    let world = World::between(twilio, ultravox).with_tls_of(&authority);
    assert!(world.twilio.api_url().starts_with("https://"));
    assert!(world.ultravox.api_url().starts_with("https://"));
    let mut program = world.start().await;

    let mut phones = Vec::new();
    for _ in 0..CALLS {
        let phone = program.place_call(&world).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phones.push(phone);
    }
    until("the frames", || probe.to_phone().in_order >= CALLS * FRAMES).await;
    probe.speak(false);
    until("the last frames", || probe.to_agent().lost() + probe.to_phone().lost() == 0).await;
    for counts in [probe.to_agent(), probe.to_phone()] {
        assert!(counts.in_order >= CALLS * FRAMES, "{counts:?}");
        assert_eq!((counts.out_of_order, counts.damaged), (0, 0), "{counts:?}");
    }
    for calls in world.ultravox.calls() {
        assert!(calls.join_url().starts_with("wss://"), "{}", calls.join_url());
    }
    // The first connection of all may have been a request, whose session is resumed too.
    for leg in [world.ultravox.handshakes(), world.twilio.handshakes()] {
        assert_eq!(leg.all, CALLS, "{leg:?}");
        assert!(leg.resumed >= CALLS - 1, "{leg:?}");
    }
    for phone in &phones {
        phone.hang_up();
        soon("the end of the call", phone.wait_until_settled()).await;
    }
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    world.finish().await;
}

#[actix_web::test]
async fn vendors_of_another_authority_are_not_believed_and_the_reason_is_told() {
    let world = strangers();
    let program = world.start().await;
    let answer = soon("an answer", program.ask(CALLEE).send()).await.expect("an answer");
    assert_eq!(answer.status(), 500, "{}", program.log());
    let told = answer.text().await.expect("a body");
    assert!(told.contains("UnknownIssuer"), "{told}");
    assert_eq!(world.ultravox.calls().len() + world.twilio.calls().len(), 0);
}

#[actix_web::test]
async fn a_phone_that_trusts_another_authority_says_so() {
    let world = strangers();
    let _program = world.start().await;
    let phone = world.twilio.call_in(InboundCall {
        from: CALLEE.to_owned(),
        to: world.twilio.phone_number().to_owned(),
        voice_url: format!("{}/twilio/voice", world.public_url()),
        fallback_url: None,
        status_callback: None,
        phone: PhoneBehaviour::answers(),
    });
    soon("the end of the call", phone.wait_until_settled()).await;
    let notes = phone.notifications();
    assert!(notes.iter().any(|note| note.what.contains("UnknownIssuer")), "{notes:?}");
}
