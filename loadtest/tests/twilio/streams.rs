//! Media streams.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callspan_loadtest::twilio::{
    CallStatus, CallerScript, CloseStyle, Message, ParameterFault, PhoneBehaviour, RawStream,
    SignatureFault, StreamFaults, TwilioOptions, signature,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::service::{Service, Stream};

const PHONE: &str = "+12125550123";

fn faulty(stream: StreamFaults) -> TwilioOptions {
    let phone = PhoneBehaviour::answers().with_stream_faults(stream);
    TwilioOptions { phone, ..TwilioOptions::default() }
}

fn text<'a>(message: &'a Value, pointer: &str) -> &'a str {
    message.pointer(pointer).and_then(Value::as_str).expect(pointer)
}

/// Echoes media until the stream ends; returns the audio and whether `stop` came.
async fn echo(stream: &mut Stream) -> (Vec<u8>, bool) {
    let (mut audio, mut stopped) = (Vec::new(), false);
    while let Some(message) = stream.recv().await {
        match text(&message, "/event") {
            "media" => {
                let payload = text(&message, "/media/payload");
                audio.extend(STANDARD.decode(payload).expect("base64"));
                stream.send_media(payload).await;
            }
            "stop" => stopped = true,
            _ => {}
        }
    }
    (audio, stopped)
}

fn clip(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| [0x90, 0x10, 0x95, 0x12, 0x99][n % 5]).collect()
}

#[actix_web::test]
async fn each_byte_reaches_the_service_and_comes_back() {
    let script =
        CallerScript::new().say(clip(1_000)).wait_ms(200).press('7').wait_ms(100).hang_up();
    let mut service = Service::start(TwilioOptions {
        phone: PhoneBehaviour::answers().following(script),
        stamp_frames: true,
        ..TwilioOptions::default()
    })
    .await;
    service.serve_twiml("/voice", &service.stream_verb());
    let call = service.place(PHONE, &[]).await;
    let mut stream = service.stream().await;
    let start = stream.start().await;

    let url = format!("{}/media", service.ws);
    let expected = signature::sign(service.twilio.auth_token(), &url, &[]);
    let mut names: Vec<_> = stream.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let documented = [
        "accept-encoding",
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-twilio-signature",
    ];
    assert_eq!(names, documented);
    assert_eq!(stream.headers["user-agent"], "Twilio.TmeWs/1.0");
    assert_eq!(stream.headers["x-twilio-signature"], expected);
    assert_eq!(text(&start, "/start/callSid"), call.sid());
    assert_eq!(text(&start, "/start/customParameters/token"), "t&1");
    assert_eq!(start["start"]["mediaFormat"]["sampleRate"], 8_000);

    let (audio, stopped) = echo(&mut stream).await;
    assert!(stopped);
    assert_eq!(call.wait_until_settled().await, CallStatus::Completed);
    assert_eq!(audio, call.sent_audio());
    assert_eq!(audio[..1_000], clip(1_000));
    assert!(audio.starts_with(&call.received_audio()));
    let recording = call.recording();
    assert_eq!(recording.said.len(), recording.heard.len());
    // On a busy machine the echo comes in pieces, with silence between them.
    let loud = |byte: &u8| ![0xFF, 0x7F, 0xFE, 0x7E].contains(byte);
    let heard: Vec<u8> = recording.heard.into_iter().filter(loud).collect();
    assert_eq!(heard, clip(1_000));
    assert_eq!(call.keys(), ['7']);
    assert!(call.sent_at(0) <= call.sent_at(1) && call.sent_at(1).is_some());
    assert!(!call.heard_at().is_empty());

    let events: Vec<_> = service
        .hooks("/stream")
        .iter()
        .map(|hook| (hook.field("StreamEvent").to_owned(), hook.field("StreamName").to_owned()))
        .collect();
    let sid = stream.sid.clone();
    assert_eq!(events, [("stream-started".into(), sid.clone()), ("stream-stopped".into(), sid)]);
    assert!(service.twilio.violations().is_empty(), "{:?}", service.twilio.violations());
    assert_eq!((service.twilio.live_calls(), service.twilio.live_streams()), (0, 0));
}

#[actix_web::test]
async fn frames_are_counted_and_timed() {
    let mut service = Service::start(TwilioOptions::default()).await;
    let (call, mut stream) = service.streaming(PHONE, "").await;
    let mut timestamps: Vec<u64> = Vec::new();
    for n in 1..=5_u64 {
        let media = stream.recv().await.expect("media");
        assert_eq!(text(&media, "/sequenceNumber"), (n + 1).to_string());
        assert_eq!(text(&media, "/media/chunk"), n.to_string());
        assert_eq!(text(&media, "/media/payload").len(), 216);
        assert_eq!(text(&media, "/streamSid"), stream.sid);
        timestamps.push(text(&media, "/media/timestamp").parse().expect("a number"));
    }
    assert!((100..=200).contains(&timestamps[0]));
    assert!(timestamps.windows(2).all(|pair| pair[1] == pair[0] + 20));
    call.hang_up();
    assert!(stream.recv_event("stop").await.is_some());
}

#[actix_web::test]
async fn marks_come_back_and_clear_empties_the_queue() {
    let mut service = Service::start(TwilioOptions::default()).await;
    let (call, mut stream) = service.streaming(PHONE, "").await;

    stream.send_mark("idle").await;
    let mark = stream.recv_event("mark").await.expect("a mark");
    assert_eq!(text(&mark, "/mark/name"), "idle");
    stream.send_media(&STANDARD.encode(clip(400))).await;
    stream.send_mark("played").await;
    let mark = stream.recv_event("mark").await.expect("a mark");
    assert_eq!(text(&mark, "/mark/name"), "played");
    assert!(call.recording().heard.windows(400).any(|heard| heard == clip(400)));

    stream.send_media(&STANDARD.encode(clip(8_000 * 60))).await;
    stream.send_mark("far away").await;
    stream.send_clear().await;
    let mark = stream.recv_event("mark").await.expect("a mark");
    assert_eq!(text(&mark, "/mark/name"), "far away");
    let marks = call.marks();
    assert_eq!(marks.iter().map(|mark| mark.cleared).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(call.clears().len(), 1);
    call.wait_until(|call| call.has_heard_silence_for(100)).await.expect("silence");
    assert!(call.violations().is_empty());
}

#[actix_web::test]
async fn what_twilio_would_not_accept_is_recorded() {
    let mut service = Service::start(TwilioOptions::default()).await;
    let (call, mut stream) = service.streaming(PHONE, "").await;
    stream.send(Message::binary(vec![1, 2, 3])).await;
    stream.send_json(json!({"event":"clear","streamSid":"MZ1"})).await;
    let minutes = STANDARD.encode(vec![0xFF; 8_000 * 60 * 6]);
    stream.send_media(&minutes).await;
    stream.send_media(&minutes).await;
    stream.send_media(&minutes).await;
    // A control frame must not be fragmented.
    stream.socket().get_mut().write_all(&[0x09, 0x00]).await.expect("an open socket");
    call.wait_until_settled().await;
    let codes: Vec<_> = call.violations().iter().filter_map(|violation| violation.code).collect();
    assert_eq!(codes, [31_950, 31_951, 31_931, 31_924]);
    let events = service.hooks("/stream");
    assert_eq!(events[1].field("StreamError"), "Stream - Websocket - Protocol Error");
}

#[actix_web::test]
async fn closing_the_stream_runs_the_next_verb_or_the_action() {
    let options = TwilioOptions { verb_time: 0.0, ..TwilioOptions::default() };
    let mut service = Service::start(options).await;
    let (call, stream) = service.streaming(PHONE, "<Say>Over</Say><Hangup/>").await;
    stream.close().await;
    assert_eq!(call.wait_until_settled().await, CallStatus::Completed);
    assert_eq!(call.say_texts(), ["Over"]);
    assert_eq!(call.notifications()[0].code, 31_921);

    let verb = service.stream_verb().replace("<Connect>", "<Connect action=\"/ended\">");
    service.serve_twiml("/voice", &verb);
    service.serve_twiml("/ended", "<Say>Action</Say>");
    let call = service.place(PHONE, &[]).await;
    let mut stream = service.stream().await;
    stream.start().await;
    drop(stream);
    call.wait_until_settled().await;
    assert_eq!(call.say_texts(), ["Action"]);
    assert_eq!(service.hooks("/ended")[0].field("CallStatus"), "in-progress");
    assert!(service.twilio.violations().is_empty());
}

#[actix_web::test]
async fn rest_ends_or_redirects_a_streaming_call() {
    let options = TwilioOptions { verb_time: 0.0, ..TwilioOptions::default() };
    let mut service = Service::start(options).await;
    let (call, mut stream) = service.streaming(PHONE, "").await;
    let path = format!("Calls/{}.json", call.sid());
    let twiml = format!("<Response><Say>Moved</Say>{}</Response>", service.stream_verb());
    service.post(&path, &[("Twiml", &twiml)]).await.expect("an answer");
    assert!(stream.recv_event("stop").await.is_some());

    let mut second = service.stream().await;
    second.start().await;
    assert_eq!(call.say_texts(), ["Moved"]);
    let ended = service.post(&path, &[("Status", "completed")]).await.expect("an answer");
    assert_eq!(ended.json::<Value>().await.expect("JSON")["status"], "completed");
    assert!(second.recv_event("stop").await.is_some());
    drop((stream, second));
    assert_eq!(call.wait_until_settled().await, CallStatus::Completed);
    assert_eq!(call.stream_sids().len(), 2);
    assert_eq!(service.reported().last().map(String::as_str), Some("completed"));
}

/// An address that was free a moment ago.
fn nobody_listens() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

#[actix_web::test]
async fn refused_upgrades_fall_through_and_are_reported() {
    let options = TwilioOptions { verb_time: 0.0, ..TwilioOptions::default() };
    let service = Service::start(options).await;
    for (url, code) in [
        (format!("{}/refused", service.ws), 31_920),
        (format!("{}/media?token=1", service.ws), 31_920),
        ("http://127.0.0.1/media".to_owned(), 31_922),
        (format!("ws://{}/media", nobody_listens()), 31_902),
    ] {
        let verb = format!(
            r#"<Connect><Stream url="{url}" statusCallback="{}/stream"/></Connect><Say>Sorry</Say>"#,
            service.http
        );
        service.serve_twiml("/voice", &verb);
        let call = service.place(PHONE, &[]).await;
        call.wait_until_settled().await;
        assert_eq!(call.say_texts(), ["Sorry"]);
        assert_eq!(call.notifications()[0].code, code, "{url}");
        let event = service.hooks("/stream").pop().expect("a callback");
        assert_eq!(event.field("StreamEvent"), "stream-error");
    }
}

#[actix_web::test]
async fn a_stream_can_lie_about_itself() {
    let mut service = Service::start(faulty(StreamFaults {
        upgrade_signature: SignatureFault::Missing,
        parameters: vec![ParameterFault::Alter("token".into())],
        call_sid: Some("CA00000000000000000000000000000000".into()),
        media_before_start: true,
        ..StreamFaults::default()
    }))
    .await;
    service.serve_twiml("/voice", &service.stream_verb());
    let call = service.place(PHONE, &[]).await;
    let mut stream = service.stream().await;
    assert!(!stream.headers.contains_key("x-twilio-signature"));
    assert_eq!(text(&stream.recv().await.expect("media"), "/event"), "media");
    let start = stream.start().await;
    assert_eq!(text(&start, "/start/callSid"), "CA00000000000000000000000000000000");
    assert_eq!(text(&start, "/start/customParameters/token"), "t&0");
    call.hang_up();
    assert!(stream.recv_event("stop").await.is_some());
}

#[actix_web::test]
async fn a_stream_can_end_badly() {
    let mut service = Service::start(faulty(StreamFaults {
        omit_stop: true,
        close: CloseStyle::Reset,
        ..StreamFaults::default()
    }))
    .await;
    let (call, mut stream) = service.streaming(PHONE, "").await;
    call.hang_up();
    assert!(stream.recv_event("stop").await.is_none());
    call.wait_until_settled().await;

    service.twilio.set_default_phone(PhoneBehaviour::answers().with_stream_faults(StreamFaults {
        frames_after_stop: 2,
        close: CloseStyle::Code(1_000),
        stop_to_close: Duration::from_millis(20),
        ..StreamFaults::default()
    }));
    let (call, mut stream) = service.streaming(PHONE, "").await;
    call.hang_up();
    assert!(stream.recv_event("stop").await.is_some());
    assert!(stream.recv_event("media").await.is_some());
    assert!(stream.recv_event("stop").await.is_none());

    service.twilio.set_default_phone(PhoneBehaviour::answers());
    let (call, mut stream) = service.streaming(PHONE, "<Say>Lost</Say>").await;
    call.drop_connection();
    assert!(stream.recv_event("stop").await.is_none());
    call.wait_until(|call| !call.say_texts().is_empty()).await.expect("the next verb");
    assert_eq!(call.notifications()[0].code, 31_903);
}

#[actix_web::test]
async fn anything_can_be_sent_and_reading_can_pause() {
    let mut service = Service::start(TwilioOptions::default()).await;
    let (call, mut stream) = service.streaming(PHONE, "").await;
    call.send_raw(Message::text("x".repeat(100_000)));
    call.send_raw(Message::binary(vec![0; 3]));
    let mut strange = Vec::new();
    while strange.len() < 2 {
        let message = stream.socket().next().await.expect("a message").expect("no error");
        match &message {
            Message::Text(text) if text.starts_with('{') => {}
            _ => strange.push(message),
        }
    }
    assert_eq!((strange[0].len(), strange[1].is_binary()), (100_000, true));

    call.stop_reading(Duration::from_millis(100));
    stream.send_mark("late").await;
    assert!(stream.recv_event("mark").await.is_some());
    assert!(call.violations().is_empty());
}

#[actix_web::test]
async fn hostile_streams_can_be_made_by_hand() {
    let mut service = Service::start(TwilioOptions::default()).await;
    let (call, _stream) = service.streaming(PHONE, "").await;
    let raw = call.open_second_stream().await.expect("an open port");
    let mut second = service.stream().await;
    let start = second.start().await;
    assert_eq!(text(&start, "/start/callSid"), call.sid());
    assert_ne!(Some(&second.sid), call.stream_sids().first());
    raw.reset();
    assert!(second.recv().await.is_none());

    let url = format!("{}/media", service.ws);
    let mut raw = RawStream::connect_with(&url, None, &[("origin", "https://evil.example")])
        .await
        .expect("an open port");
    let mut stream = service.stream().await;
    assert_eq!(stream.headers["origin"], "https://evil.example");
    raw.send_text("{}").await.expect("an open stream");
    assert_eq!(stream.recv().await, Some(json!({})));
    let refused = RawStream::connect(&format!("{}/refused", service.ws), Some("x")).await;
    assert_eq!(refused.err().and_then(|error| error.status), Some(403));
}
