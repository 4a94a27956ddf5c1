//! Calls: outcomes, callbacks, TwiML.

use std::time::Duration;

use callspan_loadtest::twilio::{
    CallStatus, CallbackFaults, InboundCall, PhoneBehaviour, PhoneOutcome, SignatureFault,
    TwilioOptions, WebhookFaults,
};

use crate::service::Service;

const PHONE: &str = "+12125550123";

fn fast() -> TwilioOptions {
    TwilioOptions { verb_time: 0.0, ..TwilioOptions::default() }
}

#[actix_web::test]
async fn a_spoken_call_is_reported_step_by_step() {
    let service = Service::start(fast()).await;
    service.serve_twiml("/voice", "<Say>Hello</Say><Pause/><Redirect>/next</Redirect>");
    service.serve_twiml("/next", "<Say>Bye</Say><Dial>+12125550199</Dial><Hangup/>");
    let call = service.place(PHONE, &[]).await;

    assert_eq!(call.wait_until_settled().await, CallStatus::Completed);
    assert_eq!(call.say_texts(), ["Hello", "Bye"]);
    assert_eq!(call.dials(), [["+12125550199"]]);
    assert_eq!(service.reported(), ["initiated", "ringing", "in-progress", "completed"]);
    for (sequence, hook) in service.hooks("/status").iter().enumerate() {
        assert_eq!(hook.field("SequenceNumber"), sequence.to_string());
        assert_eq!(hook.field("CallbackSource"), "call-progress-events");
        assert_eq!(hook.headers["user-agent"], "TwilioProxy/1.1");
        assert_eq!(
            hook.headers["content-type"],
            "application/x-www-form-urlencoded; charset=UTF-8"
        );
        assert!(hook.headers.contains_key("i-twilio-idempotency-token"));
        service.assert_signed(hook);
    }
    let last = service.hooks("/status").pop().expect("a callback");
    assert_eq!((last.field("CallDuration"), last.field("SipResponseCode")), ("0", "200"));
    let voice = &service.hooks("/voice")[0];
    assert_eq!(voice.field("CallStatus"), "in-progress");
    assert_eq!(voice.field("CallbackSource"), "");
    service.assert_signed(voice);
    assert_eq!(service.twilio.violations().len(), 0, "{:?}", service.twilio.violations());
    assert_eq!((service.twilio.live_calls(), service.twilio.live_streams()), (0, 0));
}

#[actix_web::test]
async fn phones_that_do_not_answer_end_as_they_should() {
    let service = Service::start(fast()).await;
    for (outcome, status, sip) in [
        (PhoneOutcome::Busy, CallStatus::Busy, "486"),
        (PhoneOutcome::Failed, CallStatus::Failed, "404"),
        (PhoneOutcome::NoAnswer, CallStatus::NoAnswer, "487"),
        (PhoneOutcome::Canceled, CallStatus::Canceled, "487"),
    ] {
        let behaviour = PhoneBehaviour::ends_in(outcome).ringing_for(Duration::from_millis(10));
        service.twilio.set_next_phone(PHONE, behaviour);
        let call = service.place(PHONE, &[]).await;
        assert_eq!(call.wait_until_settled().await, status);
        let last = service.hooks("/status").pop().expect("a callback");
        assert_eq!(
            (last.field("CallStatus"), last.field("SipResponseCode")),
            (status.as_str(), sip)
        );
        assert_eq!(last.field("SequenceNumber"), "2");
        assert_eq!(last.field("Duration"), "0");
    }
    assert_eq!(service.hooks("/voice").len(), 0);
    assert_eq!(service.twilio.dials_to(PHONE), 4);
}

#[actix_web::test]
async fn a_call_can_be_canceled_while_it_rings_and_not_be_ended_twice() {
    let service = Service::start(fast()).await;
    let forever = PhoneBehaviour::answers().ringing_for(Duration::from_secs(3_600));
    service.twilio.set_phone(PHONE, forever);
    let call = service.place(PHONE, &[]).await;
    call.wait_for_status(CallStatus::Ringing).await.expect("it rings");

    let path = format!("Calls/{}.json", call.sid());
    let redirect = service.post(&path, &[("Twiml", "<Response/>")]).await.expect("an answer");
    assert_eq!(redirect.status(), 400);
    let first = service.post(&path, &[("Status", "completed")]).await.expect("an answer");
    assert_eq!(first.status(), 200);
    assert_eq!(call.wait_until_settled().await, CallStatus::Canceled);
    assert_eq!(service.reported().last().map(String::as_str), Some("canceled"));

    let second = service.post(&path, &[("Status", "completed")]).await.expect("an answer");
    assert_eq!(second.status(), 400);
    let error: serde_json::Value = second.json().await.expect("JSON");
    assert_eq!(error["code"], 21220);
}

#[actix_web::test]
async fn a_person_can_decline_or_hang_up() {
    let service = Service::start(TwilioOptions::default()).await;
    let forever = PhoneBehaviour::answers().ringing_for(Duration::from_secs(3_600));
    service.twilio.set_next_phone(PHONE, forever);
    let declined = service.place(PHONE, &[]).await;
    declined.wait_for_status(CallStatus::Ringing).await.expect("it rings");
    declined.hang_up();
    assert_eq!(declined.wait_until_over().await, CallStatus::Busy);

    service.serve_twiml("/voice", "<Pause length=\"3600\"/>");
    let answered = service.place(PHONE, &[]).await;
    answered.wait_until(|call| !call.twiml().is_empty()).await.expect("TwiML");
    answered.hang_up();
    assert_eq!(answered.wait_until_over().await, CallStatus::Completed);
}

#[actix_web::test]
async fn twiml_that_cannot_be_had_leads_to_the_fallback_or_an_apology() {
    let service = Service::start(fast()).await;
    service.serve("/voice", 500, "text/plain", "oops");
    service.serve_twiml("/fallback", "<Say>Sorry</Say>");
    let fallback = format!("{}/fallback", service.http);
    let call = service.place(PHONE, &[("FallbackUrl", &fallback)]).await;
    call.wait_until_settled().await;
    assert_eq!(call.say_texts(), ["Sorry"]);
    let hook = &service.hooks("/fallback")[0];
    assert_eq!(hook.field("ErrorCode"), "11217");
    assert_eq!(hook.field("ErrorUrl"), format!("{}/voice", service.http));
    assert!(call.violations().is_empty());

    for (kind, body, code) in [
        ("application/json", "<Response/>", 12_300),
        ("text/plain", "<Response/>", 12_300),
        ("text/xml", "", 11_770),
        ("text/xml", "hello", 12_100),
        ("text/xml", "<Response><Jump/></Response>", 12_200),
    ] {
        service.serve("/voice", 200, kind, body);
        let call = service.place(PHONE, &[]).await;
        call.wait_until_settled().await;
        assert_eq!(call.violations()[0].code, Some(code), "{kind} {body}");
    }
}

#[actix_web::test]
async fn callbacks_can_be_reordered_doubled_dropped_and_forged() {
    let service = Service::start(fast()).await;
    service.serve_twiml("/voice", "<Hangup/>");
    service.twilio.set_callback_faults(CallbackFaults {
        reorder: true,
        extra_field: Some(("Surprise".into(), "1".into())),
        ..CallbackFaults::default()
    });
    service.place(PHONE, &[]).await.wait_until_settled().await;
    assert_eq!(service.reported(), ["ringing", "initiated", "completed", "in-progress"]);
    service.assert_signed(&service.hooks("/status")[0]);
    assert_eq!(service.hooks("/status")[0].field("Surprise"), "1");

    let before = service.reported().len();
    service.twilio.set_callback_faults(CallbackFaults {
        duplicate: true,
        drop: vec!["completed".into()],
        signature: SignatureFault::Missing,
        ..CallbackFaults::default()
    });
    service.place(PHONE, &[]).await.wait_until_settled().await;
    let expected = ["initiated", "initiated", "ringing", "ringing", "in-progress", "in-progress"];
    assert_eq!(service.reported()[before..], expected);
    assert!(!service.hooks("/status")[before].headers.contains_key("x-twilio-signature"));
}

#[actix_web::test]
async fn overrides_make_failed_callbacks_come_again() {
    let service = Service::start(fast()).await;
    service.serve_twiml("/voice", "<Hangup/>");
    service.serve("/flaky", 503, "text/plain", "");
    let url = format!("{}/flaky#rc=2&rp=5xx", service.http);
    let voice = format!("{}/voice", service.http);
    let form = [
        ("To", PHONE),
        ("From", service.twilio.phone_number()),
        ("Url", &*voice),
        ("StatusCallback", &*url),
    ];
    service.post("Calls.json", &form).await.expect("an answer");
    service.twilio.wait_for_call(PHONE).await.wait_until_settled().await;
    let hooks = service.hooks("/flaky");
    assert_eq!(hooks.len(), 3);
    let token = "i-twilio-idempotency-token";
    assert!(hooks.iter().all(|hook| hook.headers[token] == hooks[0].headers[token]));
    service.assert_signed(&hooks[0]);
}

#[actix_web::test]
async fn answering_machines_are_detected_before_or_beside_the_call() {
    let service = Service::start(fast()).await;
    service.serve_twiml("/voice", "<Hangup/>");
    service.twilio.set_default_phone(PhoneBehaviour::answers().detected_as("machine_start"));
    let call = service.place(PHONE, &[("MachineDetection", "Enable")]).await;
    call.wait_until_settled().await;
    assert_eq!(service.hooks("/voice")[0].field("AnsweredBy"), "machine_start");
    let last = service.hooks("/status").pop().expect("a callback");
    assert_eq!(last.field("AnsweredBy"), "machine_start");

    let service = Service::start(TwilioOptions::default()).await;
    service.serve_twiml("/voice", "<Pause length=\"3600\"/>");
    let verdict = format!("{}/amd", service.http);
    let call = service
        .place(
            PHONE,
            &[
                ("MachineDetection", "DetectMessageEnd"),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", &verdict),
            ],
        )
        .await;
    call.wait_until(|call| call.callbacks().iter().any(|c| c.field("AnsweredBy").is_some()))
        .await
        .expect("a verdict");
    let hook = &service.hooks("/amd")[0];
    assert_eq!((hook.field("AnsweredBy"), hook.field("MachineDetectionDuration")), ("human", "50"));
    service.assert_signed(hook);
    assert_eq!(service.hooks("/voice")[0].field("AnsweredBy"), "");
}

#[actix_web::test]
async fn somebody_calls_the_service() {
    let service = Service::start(fast()).await;
    service.serve_twiml("/voice", "<Say>Hello</Say>");
    let inbound = |webhook| InboundCall {
        from: PHONE.into(),
        to: service.twilio.phone_number().into(),
        voice_url: format!("{}/voice", service.http),
        fallback_url: None,
        status_callback: Some(format!("{}/status", service.http)),
        phone: PhoneBehaviour { webhook, ..PhoneBehaviour::default() },
    };
    let twice = WebhookFaults { twice: true, ..WebhookFaults::default() };
    let call = service.twilio.call_in(inbound(twice));
    assert_eq!(call.wait_until_settled().await, CallStatus::Completed);
    let voice = service.hooks("/voice");
    assert_eq!(voice.len(), 2);
    assert_eq!((voice[0].field("CallStatus"), voice[0].field("Direction")), ("ringing", "inbound"));
    assert_eq!(service.reported(), ["completed"]);

    service.serve_twiml("/voice", "<Reject reason=\"busy\"/>");
    let call = service.twilio.call_in(inbound(WebhookFaults::default()));
    assert_eq!(call.wait_until_settled().await, CallStatus::Busy);
    assert!(service.twilio.violations().is_empty());
}

#[actix_web::test]
async fn shutting_down_leaves_nothing_behind() {
    let service = Service::start(TwilioOptions::default()).await;
    service.serve_twiml("/voice", "<Pause length=\"3600\"/>");
    let call = service.place(PHONE, &[]).await;
    call.wait_for_status(CallStatus::InProgress).await.expect("an answer");
    service.twilio.shutdown();
    assert_eq!((service.twilio.live_calls(), service.twilio.live_streams()), (0, 0));
    assert!(call.is_over());
}
