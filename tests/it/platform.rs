//! Metrics and probes.

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};

use crate::harness::requests::Answer;
use crate::harness::{CALLEE, Setup, TestApp, soon};

#[actix_web::test]
async fn metrics_tell_of_a_whole_call() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    assert_eq!(app.metric("callspan_calls_active ").await, 1.0);
    assert_eq!(app.metric("callspan_media_streams_active ").await, 1.0);
    soon("audio", call.agent.wait_for_audio_ms(500)).await;
    call.agent.play_tone(loadtest::audio::Tone::HIGH, 400);
    soon("speech", call.phone.wait_for_agent_speech(200)).await.expect("the call is up");
    let forged = app.post_form(&app.hooks().status, None, &[]).await;
    assert_eq!(forged.status, 403);
    call.phone.hang_up();
    app.quiet().await;

    let answer = app.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = &answer.body;
    for metric in [
        "callspan_calls_active 0",
        r#"callspan_calls_total{direction="outbound",outcome="completed"} 1"#,
        "callspan_call_duration_seconds_count 1",
        r#"callspan_media_frames_total{from="agent",to="phone"} "#,
        r#"callspan_media_frames_total{from="phone",to="agent"} "#,
        r#"callspan_media_relay_seconds_count{direction="#,
        "callspan_answer_to_first_audio_seconds_count 1",
        "callspan_agent_response_seconds_count ",
        "callspan_interruption_to_silence_seconds_count 0",
        r#"callspan_vendor_requests_total{operation="place",status="201",vendor="twilio"} 1"#,
        r#"callspan_vendor_requests_total{operation="create",status="201",vendor="ultravox"} 1"#,
        r#"callspan_vendor_request_seconds_count{operation="place",vendor="twilio"} 1"#,
        r#"callspan_http_requests_total{method="POST",route="/api/ultravox-calls/initiate-call",status="200"} 1"#,
        r#"callspan_http_requests_total{method="POST",route="/twilio/answer/{call_id}",status="200"} 1"#,
        r#"callspan_http_request_seconds_count{method="GET",route="/media/{call_id}"} 1"#,
        r#"callspan_webhooks_rejected_total{reason="missing"} 1"#,
        r#"callspan_build_info{version=""#,
        "process_cpu_seconds_total ",
        "# HELP callspan_media_dropped_frames_total ",
    ] {
        // A counter that has never counted has no series, and so no help either.
        let optional = metric.contains("dropped");
        assert!(
            optional || text.lines().any(|line| line.starts_with(metric)),
            "no {metric}:\n{text}"
        );
    }
    for secret in [call.phone.sid(), call.agent.id(), CALLEE, app.twilio.account_sid()] {
        assert!(!text.contains(secret), "{secret} is in a label");
    }
    app.finish().await;
}

#[actix_web::test]
async fn every_metric_says_what_it_is() {
    let app = TestApp::start().await;
    app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(PhoneOutcome::Busy));
    app.place_call(CALLEE).await;
    app.quiet().await;
    let text = app.get("/metrics").await.body;
    let mut described = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("#"), Some("HELP")) => described.push(words.next().expect("a name")),
            (Some("#"), Some("TYPE")) => assert_eq!(described.last(), words.next().as_ref()),
            (Some(series), Some(value)) => {
                let name = series.split_once('{').map_or(series, |(name, _)| name);
                let family = described.last().expect("help comes first");
                assert!(name.starts_with(family), "{name} has no help");
                value.parse::<f64>().expect("a number");
            }
            _ => panic!("a line that is no metric: {line}"),
        }
    }
    let mut unique = described.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), described.len());
    app.finish().await;
}

#[actix_web::test]
async fn metrics_may_ask_for_a_token() {
    let app = Setup::new().set("CALLSPAN_METRICS_TOKEN", "the-token-of-prometheus").start().await;
    let ask = |header: Option<&'static str>| {
        let request = app.http.get(app.url("/metrics"));
        Answer::to(match header {
            Some(value) => request.header("Authorization", value),
            None => request,
        })
    };
    let wrong = [
        None,
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer the-token-of-somebody"),
        Some("Basic the-token-of-prometheus"),
        Some("the-token-of-prometheus"),
    ];
    for header in wrong {
        let answer = ask(header).await;
        assert_eq!(answer.status, 401, "{header:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(!answer.body.contains("callspan_"), "{header:?}");
    }
    for header in ["Bearer the-token-of-prometheus", "bearer the-token-of-prometheus"] {
        let answer = ask(Some(header)).await;
        assert_eq!(answer.status, 200, "{header}");
        assert!(answer.body.contains("callspan_calls_active 0"));
    }
    soon("the service to stop", app.app.drain(std::time::Duration::ZERO)).await;
}

#[actix_web::test]
async fn probes_answer_without_a_key() {
    let app = TestApp::start().await;
    let health = app.get("/healthz").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json(),
        serde_json::json!({ "status": "ready", "draining": false, "database": "ok", "calls": 0 })
    );
    app.finish().await;
}

#[actix_web::test]
async fn without_its_database_the_service_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    let phone = app.live_call().await.phone;
    app.app.store().close().await;

    assert_eq!(app.get("/healthz").await.status, 200);
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["database"], "unavailable");
    let answer = app.call("+12125550124").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.error(), "The database is not available, try again");
    assert!(answer.retry_after() >= 1);
    assert_eq!(app.twilio.dials_to("+12125550124"), 0);

    // A live call goes on, and ends in good order.
    assert!(phone.is_streaming());
    phone.hang_up();
    soon("the end", phone.wait_until_settled()).await;
    app.quiet().await;
    assert!(app.twilio.violations().is_empty(), "{:?}", app.twilio.violations());
}
