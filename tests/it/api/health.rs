//! Health, as documented.

use loadtest::ultravox::{Fault, On};
use serde_json::{Value, json};

use super::{assert_is_time, text};
use crate::harness::{Setup, TestApp};

/// The documented body, with the time and the number of calls put in.
fn documented(timestamp: &str, calls: usize, vendors: &str) -> String {
    format!(
        r#"{{"status":"healthy","service":"ultravox-twilio-integration","version":"1.0.0","timestamp":"{timestamp}","uptime":{{"startup_complete":true,"config_validated":true,"ongoing_calls":{calls}}},"checks":{{"configuration":"ok","ultravox_config":"ok","twilio_config":"ok"{vendors}}}}}"#
    )
}

const BOTH_WELL: &str = r#","ultravox_api":"ok","twilio_api":"ok""#;

#[actix_web::test]
async fn the_documented_examples_work_to_the_byte() {
    let app = TestApp::start().await;
    for (path, vendors) in [("/api/v1/health", ""), ("/api/v1/health/detailed", BOTH_WELL)] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let timestamp = text(&json["timestamp"]);
        assert_is_time(timestamp);
        assert_eq!(answer.body, documented(timestamp, 0, vendors));
    }
    let call = app.live_call().await;
    let health = app.get("/api/v1/health").await.json();
    assert_eq!(health["uptime"]["ongoing_calls"], 1);
    app.hang_up(&call).await;
    let health = app.get("/api/v1/health").await.json();
    assert_eq!(health["uptime"]["ongoing_calls"], 0);
    app.finish().await;
}

#[actix_web::test]
async fn basic_health_never_touches_a_vendor() {
    let app = TestApp::start().await;
    for _ in 0..50 {
        assert_eq!(app.get("/api/v1/health").await.status, 200);
    }
    assert!(app.ultravox.requests().is_empty() && app.twilio.requests().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn detailed_health_asks_once_in_a_while() {
    let app = TestApp::start().await;
    let many = (0..20).map(|_| app.get("/api/v1/health/detailed"));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(app.ultravox.requests().len(), 1);
    assert_eq!(app.twilio.requests().len(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn a_vendor_that_refuses_us_is_named() {
    let app = TestApp::start().await;
    app.ultravox.fail_always(On::Any, Fault::unauthorized());
    let answer = app.get("/api/v1/health/detailed").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["status"], "unhealthy");
    assert_eq!(json["checks"]["twilio_api"], "ok");
    let said = text(&json["checks"]["ultravox_api"]);
    assert!(said.starts_with("failed: Ultravox refused to read the account"), "{said}");
    app.finish().await;
}

#[actix_web::test]
async fn what_is_not_configured_is_named() {
    let app = Setup::new()
        .set("TWILIO_ACCOUNT_SID", "")
        .set("TWILIO_AUTH_TOKEN", "")
        .set("TWILIO_PHONE_NUMBER", "")
        .start()
        .await;
    let answer = app.get("/api/v1/health").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let checks: Value = answer.json()["checks"].clone();
    let missing = "missing: no company is configured for Twilio";
    let expected =
        json!({"configuration": "ok", "ultravox_config": "ok", "twilio_config": missing});
    assert_eq!(checks, expected);
    app.finish().await;
}
