//! Who may stream: the upgrade must be signed, the call must wait for its stream, and `start` must
//! show the call's token, once.

use std::time::Duration;

use actors::call::{CallStatus, EndReason};
use actors::ids::CallId;
use loadtest::twilio::{
    Message, ParameterFault, PhoneBehaviour, RawStream, SignatureFault, SimCall, StreamFaults,
};
use serde_json::{Value, json};

use crate::harness::requests::Answer;
use crate::harness::{CALLEE, LiveCall, TestApp, soon};

/// A call whose stream is refused for what the phone's side does wrong.
async fn refused(faults: StreamFaults, reason: EndReason) -> TestApp {
    let shown = format!("{faults:?}");
    let app = TestApp::start().await;
    app.twilio.set_phone(CALLEE, PhoneBehaviour::answers().with_stream_faults(faults));
    let phone = app.place_call(CALLEE).await;
    soon("the end", phone.wait_until_settled()).await;
    app.quiet().await;
    let row = app.row(&phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Completed, Some(reason)), "{shown}");
    assert_eq!(phone.media_received(), 0, "{shown}");
    for agent in app.ultravox.calls() {
        assert!(agent.end_reason().is_some(), "{shown}");
        assert_eq!(agent.audio_ms_received(), 0, "{shown}: nothing reached the agent");
    }
    app
}

#[actix_web::test]
async fn a_stream_whose_upgrade_is_not_signed_by_twilio_is_turned_away() {
    for (upgrade_signature, label) in
        [(SignatureFault::Missing, "missing"), (SignatureFault::Wrong, "wrong")]
    {
        let faults = StreamFaults { upgrade_signature, ..StreamFaults::default() };
        let app = refused(faults, EndReason::StreamMissing).await;
        assert_eq!(app.rejected(label).await, 1.0);
        let told = app.twilio.calls()[0].say_texts();
        assert_eq!(told, ["We are sorry, this call cannot be continued. Goodbye."]);
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_stream_without_its_call_s_token_is_turned_away() {
    let another = "A".repeat(43);
    for fault in [
        ParameterFault::Remove("token".to_owned()),
        ParameterFault::Alter("token".to_owned()),
        ParameterFault::Set("token".to_owned(), String::new()),
        ParameterFault::Set("token".to_owned(), another),
    ] {
        let faults = StreamFaults { parameters: vec![fault], ..StreamFaults::default() };
        refused(faults, EndReason::StreamRejected).await.finish().await;
    }
}

#[actix_web::test]
async fn a_stream_that_names_another_call_is_turned_away() {
    let call_sid = Some("CA00000000000000000000000000000009".to_owned());
    let faults = StreamFaults { call_sid, ..StreamFaults::default() };
    refused(faults, EndReason::StreamRejected).await.finish().await;
}

#[actix_web::test]
async fn audio_without_a_start_is_a_flood_of_nonsense() {
    let faults = StreamFaults { omit_start: true, ..StreamFaults::default() };
    refused(faults, EndReason::ProtocolError).await.finish().await;
}

#[actix_web::test]
async fn a_stream_that_never_says_whose_it_is_is_closed() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let mut stream = call.connect(&app).await;
    soon("the close", stream.wait_until_closed()).await;
    call.assert_over(&app, EndReason::StreamMissing).await;
    app.finish().await;
}

/// A call that is in progress and waits for its stream, which is ours to open.
struct Waiting {
    phone: SimCall,
    token: String,
    media: String,
}

/// Twilio has the TwiML, and its own stream is late: whoever is first with the token gets in.
async fn waiting(app: &TestApp) -> Waiting {
    let behaviour = PhoneBehaviour::answers().ringing_for(Duration::from_secs(50));
    app.twilio.set_phone(CALLEE, behaviour);
    let phone = app.place_call(CALLEE).await;
    let hooks = app.hooks();
    let fields = [("CallSid", phone.sid()), ("CallStatus", "in-progress")];
    let twiml = app.webhook(&hooks.answer, &fields).await;
    let (_, rest) = twiml.body.split_once(r#"name="token" value=""#).expect("a token");
    let (token, _) = rest.split_once('"').expect("a token");
    Waiting { phone, token: token.to_owned(), media: hooks.media }
}

impl Waiting {
    async fn connect(&self, app: &TestApp) -> RawStream {
        let stream = RawStream::connect(&self.media, Some(app.twilio.auth_token()));
        soon("the upgrade", stream).await.expect("an upgrade")
    }

    fn start(&self, token: &str) -> String {
        self.message(
            "start",
            json!({ "start": {
                "accountSid": self.phone.account_sid(),
                "streamSid": "MZ00000000000000000000000000000001",
                "callSid": self.phone.sid(),
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": { "token": token },
            }}),
        )
    }

    fn message(&self, event: &str, mut rest: Value) -> String {
        rest["event"] = event.into();
        rest["sequenceNumber"] = "1".into();
        rest["streamSid"] = "MZ00000000000000000000000000000001".into();
        rest.to_string()
    }

    fn media(&self) -> String {
        let payload = "/".repeat(213) + "w==";
        let media =
            json!({ "track": "inbound", "chunk": "1", "timestamp": "20", "payload": payload });
        self.message("media", json!({ "media": media }))
    }

    /// A stream that is let in, with its agent joined.
    async fn admitted(&self, app: &TestApp) -> RawStream {
        let mut stream = self.connect(app).await;
        stream.send_text(self.start(&self.token)).await.expect("an open socket");
        let agent = soon("the agent", app.ultravox.wait_for_call()).await;
        soon("the agent to be joined", agent.wait_joined()).await;
        soon("audio", agent.wait_for_audio_ms(40)).await;
        stream
    }

    /// The call has ended on both sides for this reason.
    async fn assert_over(&self, app: &TestApp, reason: EndReason) {
        app.quiet().await;
        assert_eq!(app.row(&self.phone).await.end_reason, Some(reason));
        for agent in app.ultravox.calls() {
            assert!(agent.end_reason().is_some());
        }
    }
}

#[actix_web::test]
async fn the_right_token_lets_a_stream_in_whatever_comes_before_start() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let mut stream = call.connect(&app).await;
    for early in
        [call.media(), call.message("connected", json!({})), call.message("mark", json!({}))]
    {
        stream.send_text(early).await.expect("an open socket");
    }
    stream.send_text(call.start(&call.token)).await.expect("an open socket");
    let agent = soon("the agent", app.ultravox.wait_for_call()).await;
    soon("audio", agent.wait_for_audio_ms(40)).await;
    stream.send_text(call.message("stop", json!({ "stop": {} }))).await.expect("an open socket");
    for _ in 0..5 {
        // It may be closed already.
        let _ = stream.send_text(call.media()).await;
    }
    soon("the close", stream.wait_until_closed()).await;
    call.assert_over(&app, EndReason::PhoneHungUp).await;
    app.finish().await;
}

#[actix_web::test]
async fn the_token_of_another_call_does_not_let_a_stream_in() {
    let app = TestApp::start().await;
    let live = app.live_call().await;
    let (_, rest) = live.phone.twiml()[0]
        .body
        .split_once(r#"name="token" value=""#)
        .map(|(before, rest)| (before.to_owned(), rest.to_owned()))
        .expect("a token");
    let (foreign, _) = rest.split_once('"').expect("a token");
    let number = "+12125550124";
    let behaviour = PhoneBehaviour::answers().with_stream_faults(StreamFaults {
        parameters: vec![ParameterFault::Set("token".to_owned(), foreign.to_owned())],
        ..StreamFaults::default()
    });
    app.twilio.set_phone(number, behaviour);
    let phone = app.place_call(number).await;
    soon("the end", phone.wait_until_settled()).await;
    assert!(live.phone.is_streaming() && live.agent.end_reason().is_none());
    live.phone.hang_up();
    app.quiet().await;
    assert_eq!(app.row(&phone).await.end_reason, Some(EndReason::StreamRejected));
    app.finish().await;
}

/// Fails unless the call goes on as if nothing had happened.
async fn assert_unharmed(call: &LiveCall) {
    assert!(call.phone.is_streaming() && call.agent.end_reason().is_none());
    let heard = call.agent.audio_ms_received();
    soon("audio to go on", call.agent.wait_for_audio_ms(heard + 200)).await;
}

#[actix_web::test]
async fn a_second_stream_of_a_call_is_refused_and_the_first_goes_on() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let second = soon("the refusal", call.phone.open_second_stream()).await;
    assert_eq!(second.err().expect("a refusal").status, Some(409));
    assert_eq!(app.rejected("stream_not_expected").await, 1.0);
    assert_unharmed(&call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_token_is_of_no_use_once_its_call_is_over() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let media = app.hooks().media;
    call.phone.hang_up();
    app.quiet().await;
    let late = RawStream::connect(&media, Some(app.twilio.auth_token())).await;
    assert_eq!(late.err().expect("a refusal").status, Some(404));
    assert_eq!(app.rejected("unknown_call").await, 1.0);
    app.finish().await;
}

#[actix_web::test]
async fn a_stream_of_no_call_is_not_found() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();
    let token = Some(app.twilio.auth_token());
    let unknown = CallId::generate().to_string();
    for id in [unknown.as_str(), "42", "%2e%2e"] {
        let refusal = RawStream::connect(&hooks.of_call(id).media, token).await;
        assert_eq!(refusal.err().expect("a refusal").status, Some(404), "{id}");
    }
    assert_unharmed(&call).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn what_is_no_websocket_gets_no_stream() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let path = call.media.replace("ws:", "http:");
    let signature = loadtest::twilio::signature::sign(app.twilio.auth_token(), &call.media, &[]);
    let plain = app.http.get(&path).header("X-Twilio-Signature", &signature);
    assert_eq!(Answer::to(plain).await.status, 426);
    let half = app.http.get(&path).header("X-Twilio-Signature", &signature);
    let half = half.header("Upgrade", "websocket").header("Connection", "Upgrade");
    let refusal = Answer::to(half).await;
    assert_eq!(refusal.status, 400);
    assert_eq!(refusal.header("connection"), Some("close"), "nothing more comes here");
    let other = app.http.get(&path).header("X-Twilio-Signature", &signature);
    assert_eq!(Answer::to(other.header("Upgrade", "h2c")).await.status, 400);

    // None of them used up the call's one stream.
    let stream = call.admitted(&app).await;
    stream.close(1000).await.expect("an open socket");
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn nonsense_on_a_stream_is_ignored_and_counted() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    for nonsense in
        ["", "hello", "[]", "{}", r#"{"event":7}"#, r#"{"event":"weather"}"#, "{\"event\":"]
    {
        call.phone.send_raw(Message::text(nonsense));
    }
    call.phone.send_raw(Message::binary(vec![0xFF; 160]));
    call.phone.send_raw(Message::Ping(b"anybody there?".to_vec().into()));
    assert_unharmed(&call).await;
    let ignored = async {
        let name = r#"callspan_media_ignored_messages_total{from="phone",reason="binary"} "#;
        while app.metric(name).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the count", ignored).await;
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn an_oversized_message_ends_its_call_alone() {
    let app = TestApp::start().await;
    let live = app.live_call().await;
    let number = "+12125550124";
    let phone = app.place_call(number).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.send_raw(Message::text("x".repeat(65 * 1024)));
    soon("the end", phone.wait_until_settled()).await;
    assert_eq!(app.row(&phone).await.end_reason, Some(EndReason::ProtocolError));
    assert_unharmed(&live).await;
    live.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_flood_of_nonsense_ends_its_call_alone() {
    let app = TestApp::start().await;
    let live = app.live_call().await;
    let number = "+12125550124";
    let phone = app.place_call(number).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    for _ in 0..300 {
        phone.send_raw(Message::text("nonsense"));
    }
    soon("the end", phone.wait_until_settled()).await;
    app.quiet_but(1).await;
    assert_eq!(app.row(&phone).await.end_reason, Some(EndReason::ProtocolError));
    assert_unharmed(&live).await;
    live.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_frame_that_breaks_the_websocket_protocol_ends_the_call() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let mut stream = call.admitted(&app).await;
    stream.send_bytes(b"\x81\x05hello").await.expect("an open socket");
    soon("the close", stream.wait_until_closed()).await;
    call.assert_over(&app, EndReason::ProtocolError).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_stream_that_is_upgraded_and_abandoned_ends_its_call() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let stream = call.connect(&app).await;
    stream.reset();
    call.assert_over(&app, EndReason::PhoneLost).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_flood_before_start_does_not_get_in() {
    let app = TestApp::start().await;
    let call = waiting(&app).await;
    let mut stream = call.connect(&app).await;
    for _ in 0..300 {
        // It is cut off in the middle.
        let _ = stream.send_text(call.media()).await;
    }
    soon("the close", stream.wait_until_closed()).await;
    app.quiet().await;
    let reason = app.row(&call.phone).await.end_reason.expect("a reason");
    assert!(matches!(reason, EndReason::ProtocolError | EndReason::StreamRejected), "{reason}");
    app.finish().await;
}
