//! Requests as hostile and careless clients send them: every answer is the documented error.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{agent_config, text};
use crate::harness::requests::{Answer, INITIATE};
use crate::harness::{ADMIN_KEY, TestApp};

async fn post(app: &TestApp, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = app.api(Method::POST, "/agents", ADMIN_KEY);
    Answer::to(request.header("Content-Type", content_type).body(body)).await
}

#[actix_web::test]
async fn what_is_no_json_is_refused_in_words() {
    let app = TestApp::start().await;
    let json = "application/json";
    for bad in ["", "{", "{\"name\": }", "nonsense", "{}{}"] {
        post(&app, json, bad).await.refused(400, "malformed_json");
    }
    for no_object in ["[]", "null", "7", "\"x\""] {
        let message = post(&app, json, no_object).await.refused(400, "malformed_json");
        assert_eq!(message, "The request body must be a JSON object");
    }
    post(&app, json, b"{\"name\":\"\xff\xfe\"}".to_vec()).await.refused(400, "malformed_json");
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    post(&app, json, deep).await.refused(400, "malformed_json");
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        post(&app, wrong, "{}").await.refused(415, "unsupported_media_type");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_body_over_a_mebibyte_is_refused() {
    let app = TestApp::start().await;
    let largest = 1024 * 1024;
    let wrapped = |bytes: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(bytes - 8));
    let fits = post(&app, "application/json", wrapped(largest)).await;
    fits.refused(400, "validation_error");
    let message = post(&app, "application/json", wrapped(largest + 1)).await;
    let message = message.refused(413, "body_too_large");
    assert_eq!(message, "The request body must have at most 1048576 bytes");
    let compat = app.post_initiate(Some(ADMIN_KEY), &wrapped(largest + 1)).await;
    assert_eq!((compat.status, compat.error()), (413, message));
    app.finish().await;
}

#[actix_web::test]
async fn unknown_routes_and_wrong_methods_are_told_so() {
    let app = TestApp::start().await;
    app.ask(Method::GET, "/nowhere").await.refused(404, "not_found");
    app.ask(Method::GET, "/agents/a/b/c").await.refused(404, "not_found");
    app.get("/nowhere").await.refused(404, "not_found");
    let wrong = app.ask(Method::DELETE, "/agents").await;
    let message = wrong.refused(405, "method_not_allowed");
    assert_eq!(message, "This route takes GET and POST only");
    assert_eq!(wrong.header("allow"), Some("GET, POST"));
    let wrong = app.ask(Method::POST, "/health").await;
    wrong.refused(405, "method_not_allowed");
    let wrong = Answer::to(app.http.get(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY)).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(wrong.error(), "This route takes POST only");
    let head = app.ask(Method::HEAD, "/agents").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    app.finish().await;
}

#[actix_web::test]
async fn a_request_id_is_taken_or_made_and_given_back() {
    let app = TestApp::start().await;
    let with = async |id: &str| {
        let request = app.api(Method::GET, "/nowhere", ADMIN_KEY).header("X-Request-Id", id);
        Answer::to(request).await
    };
    let taken = with("order-4711").await;
    assert_eq!(taken.json()["request_id"], "order-4711");
    assert_eq!(taken.header("x-request-id"), Some("order-4711"));
    for odd in ["two words", &"x".repeat(129), "ünïcode"] {
        let made = with(odd).await.json()["request_id"].clone();
        assert_eq!(text(&made).len(), 36, "{made} is a UUID of ours");
    }
    let made = app.get("/healthz").await;
    assert_eq!(made.header("x-request-id").map(str::len), Some(36), "on every answer");
    app.finish().await;
}

#[actix_web::test]
async fn markup_and_sql_are_only_words() {
    let app = TestApp::start().await;
    let mut config = agent_config();
    let hostile = "'; DROP TABLE agents; -- </Say><Hangup/> {{ \u{202e} 😀";
    config["prompt"] = json!(hostile.replace("{{", "(("));
    config["template_variables"] = json!({"note": hostile});
    let id = app.new_agent(&config).await;
    let read = app.ask(Method::GET, &format!("/agents/{id}")).await.json();
    assert_eq!(read["config"], config);
    let paths = ["/agents/'%20OR%201=1--", "/agents/%3Cx%3E", "/agents/%00", "/agents/%FF"];
    for path in paths {
        app.ask(Method::GET, path).await.refused(400, "validation_error");
    }
    for path in ["/calls/'%20OR%201=1--", "/calls/CA'", "/calls/%FF"] {
        app.ask(Method::GET, path).await.refused(404, "call_not_found");
    }
    let odd = app.ask(Method::GET, "/calls?status=%FF&cursor=%27&agent_id=%00&limit=%31x").await;
    odd.refused(400, "validation_error");
    app.finish().await;
}

#[actix_web::test]
async fn ten_megabytes_of_headers_hurt_nobody() {
    let app = TestApp::start().await;
    let address = app.app.address();
    let flooded = actix_web::web::block(move || {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a limit");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        let line = format!("X-Filler: {}\r\n", "x".repeat(8_000));
        let mut sent = stream.write(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n").expect("sent");
        while sent < 10_000_000 {
            match stream.write(line.as_bytes()) {
                Ok(bytes) => sent += bytes,
                // It has hung up on us, which is the point.
                Err(_) => break,
            }
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (sent, String::from_utf8_lossy(&answer).into_owned())
    });
    let (sent, answer) = flooded.await.expect("a thread");
    assert!(sent < 10_000_000, "it took all {sent} bytes");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:.100}");
    assert_eq!(app.get("/api/v1/health").await.status, 200);
    app.finish().await;
}
