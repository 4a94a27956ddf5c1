//! The metrics routes: totals, events, requests.

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use reqwest::Method;
use serde_json::{Value, json};

use super::{agent_config, assert_is_time, text};
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, CALLEE, LIMIT, Setup, TestApp};

async fn metrics(app: &TestApp, key: &str) -> Value {
    let answer = Answer::to(app.api(Method::GET, "/metrics", key)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the requests made so far are counted.
async fn counted(app: &TestApp) {
    app.quiet().await;
    assert!(app.app.flush(LIMIT).await, "not all is written");
}

#[actix_web::test]
async fn totals_are_those_of_what_happened() {
    let app = Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await;
    let agent = app.new_agent(&agent_config()).await;
    let call = json!({"phone_number": CALLEE});
    assert_eq!(app.tell(Method::POST, &format!("/calls/{agent}"), &call).await.status, 201);
    app.ask(Method::GET, "/agents/nobody").await.refused(404, "agent_not_found");
    counted(&app).await;
    let metrics = metrics(&app, ADMIN_KEY).await;
    let fields: Vec<&String> = metrics.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["agents", "calls", "requests", "response_times"]);
    assert_eq!(metrics["requests"], json!({"total": 3, "success": 2, "errors": 1}));
    assert_eq!(metrics["calls"], json!({"total": 1, "successful": 0, "failed": 1}));
    assert_eq!(metrics["agents"], json!({"total": 1, "active": 1}));
    let times = &metrics["response_times"];
    let [average, p95, p99] =
        ["avg_ms", "p95_ms", "p99_ms"].map(|name| times[name].as_f64().expect("a number"));
    assert!(0.0 < average && average <= p95 && p95 <= p99, "{times}");
    app.finish().await;
}

#[actix_web::test]
async fn events_come_newest_first_in_the_documented_shape() {
    let app = Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await;
    let agent = app.new_agent(&agent_config()).await;
    let call = json!({"phone_number": CALLEE});
    let dialled = app.tell(Method::POST, &format!("/calls/{agent}"), &call).await.json();
    counted(&app).await;
    let answer = app.ask(Method::GET, "/metrics/events?limit=100").await;
    let json = answer.json();
    let events = json["events"].as_array().expect("a list");
    let types: Vec<&str> = events.iter().map(|event| text(&event["type"])).collect();
    assert_eq!(types, ["call_failed", "call_initiated", "agent_created"]);
    let (sid, at) = (text(&dialled["call_sid"]), text(&events[1]["timestamp"]));
    assert_is_time(at);
    let initiated = format!(
        r#"{{"timestamp":"{at}","type":"call_initiated","agent_id":"{agent}","call_sid":"{sid}"}}"#
    );
    assert!(answer.body.contains(&initiated), "{initiated} is not in {}", answer.body);
    assert!(answer.body.ends_with(r#"],"count":3,"limit":100}"#), "{}", answer.body);
    let one = app.ask(Method::GET, "/metrics/events?limit=1").await.json();
    assert_eq!((&one["count"], &one["limit"]), (&json!(1), &json!(1)));
    for path in ["/metrics/events", "/metrics/api-calls"] {
        assert_eq!(app.ask(Method::GET, path).await.json()["limit"], 100);
        assert_eq!(app.ask(Method::GET, &format!("{path}?limit=1000")).await.status, 200);
        for bad in ["0", "1001", "-1", "many"] {
            let refused = app.ask(Method::GET, &format!("{path}?limit={bad}")).await;
            let message = refused.refused(400, "validation_error");
            assert_eq!(message, "limit must be a whole number from 1 to 1000");
        }
    }
    app.finish().await;
}

#[actix_web::test]
async fn api_calls_come_newest_first_in_the_documented_shape() {
    let app = TestApp::start().await;
    app.ask(Method::GET, "/agents").await;
    app.ask(Method::DELETE, "/agents/nobody").await;
    counted(&app).await;
    let answer = app.ask(Method::GET, "/metrics/api-calls?limit=1").await;
    let json = answer.json();
    let call = &json["api_calls"][0];
    let (at, took) = (text(&call["timestamp"]), &call["response_time_ms"]);
    assert_is_time(at);
    assert!(took.as_f64().expect("a number") > 0.0, "{took}");
    let expected = format!(
        r#"{{"api_calls":[{{"timestamp":"{at}","method":"DELETE","endpoint":"/api/v1/agents/nobody","status_code":404,"response_time_ms":{took}}}],"count":1,"limit":1}}"#
    );
    assert_eq!(answer.body, expected);
    app.finish().await;
}

#[actix_web::test]
async fn a_company_sees_its_own_figures() {
    let app = Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await;
    app.add_company(2, &Default::default()).await;
    app.add_key(2, "key-of-company-two").await;
    app.new_agent(&agent_config()).await;
    Answer::to(app.api(Method::GET, "/agents", "key-of-company-two")).await;
    counted(&app).await;
    let theirs = metrics(&app, "key-of-company-two").await;
    assert_eq!(theirs["requests"]["total"], 1);
    assert_eq!(theirs["agents"]["total"], 0);
    let all = metrics(&app, ADMIN_KEY).await;
    assert_eq!(all["requests"]["total"], 2, "the admin sees everybody's");
    let events = Answer::to(app.api(Method::GET, "/metrics/events", "key-of-company-two")).await;
    assert_eq!(events.json()["events"], json!([]));
    let calls = Answer::to(app.api(Method::GET, "/metrics/api-calls", "key-of-company-two")).await;
    let calls = calls.json();
    assert!(calls["api_calls"].as_array().expect("a list").iter().all(|call| {
        text(&call["endpoint"]) != "/api/v1/agents" || text(&call["method"]) == "GET"
    }));
    app.finish().await;
}
