//! Companies by REST.

use reqwest::Method;
use serde_json::{Value, json};

use super::{agent_config, text};
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, Setup, TestApp, soon};

/// A second company, with the simulated vendors' credentials.
fn company(app: &TestApp) -> Value {
    json!({
        "name": "Acme </Say><Hangup/>",
        "twilio": {
            "account_sid": app.twilio.account_sid(),
            "auth_token": app.twilio.auth_token(),
            "phone_number": app.twilio.phone_number(),
            "allowed_prefixes": ["+1212"]
        },
        "ultravox": {
            "apikey": app.ultravox.api_key(),
            "system_prompt": "You are the agent of Acme.",
            "firstspeaker": "FIRST_SPEAKER_AGENT"
        }
    })
}

#[actix_web::test]
async fn a_company_is_made_used_changed_and_removed() {
    let app = TestApp::start().await;
    let body = company(&app);
    let made = app.tell(Method::POST, "/companies", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    for secret in [app.twilio.auth_token(), app.ultravox.api_key()] {
        assert!(!made.body.contains(secret), "a secret is shown");
    }
    let json = made.json();
    let id = json["id"].as_i64().expect("a number");
    assert_eq!((id, &json["name"]), (2, &body["name"]));
    assert_eq!(json["ultravox"]["model"], "fixie-ai/ultravox");
    assert_eq!(json["ultravox"]["voice"], "terrence");
    let path = format!("/companies/{id}");
    assert_eq!(app.ask(Method::GET, &path).await.body, made.body);

    let key = app.tell(Method::POST, "/api-keys", &json!({"name": "k", "company_id": id})).await;
    let key = text(&key.json()["key"]).to_owned();
    let refused = json!({"companyId": id, "destinationNumber": "+4930123456"}).to_string();
    let refused = app.post_initiate(Some(&key), &refused).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.error().contains("numbers that begin with +1212"));
    let call = json!({"companyId": id, "destinationNumber": "+12125550123"}).to_string();
    let dialled = app.post_initiate(Some(&key), &call).await;
    assert_eq!(dialled.status, 200, "{dialled:?}");
    let phone = soon("the call", app.twilio.wait_for_call("+12125550123")).await;
    let busy = app.ask(Method::DELETE, &path).await;
    busy.refused(409, "company_has_live_calls");
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    app.quiet().await;
    assert!(app.app.flush(crate::harness::LIMIT).await, "the journal is not written");

    let patch = json!({"name": "Acme", "twilio": {"allowed_prefixes": null, "max_cps": 2.5}});
    let changed = app.tell(Method::PATCH, &path, &patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!(changed["name"], "Acme");
    assert_eq!(changed["twilio"]["max_cps"], 2.5);
    assert_eq!(changed["twilio"]["allowed_prefixes"], Value::Null);
    assert_eq!(changed["ultravox"], json["ultravox"], "what is not given stays");

    let removed = app.ask(Method::DELETE, &path).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    app.ask(Method::GET, &path).await.refused(404, "company_not_found");
    let late = Answer::to(app.api(Method::GET, "/agents", &key)).await;
    late.refused(401, "unauthorized");
    app.finish().await;
}

#[actix_web::test]
async fn the_first_company_of_a_fresh_service_is_number_one() {
    let app = Setup::new()
        .set("TWILIO_ACCOUNT_SID", "")
        .set("TWILIO_AUTH_TOKEN", "")
        .set("TWILIO_PHONE_NUMBER", "")
        .set("ULTRAVOX_API_KEY", "")
        .start()
        .await;
    let named = app.api(Method::GET, "/agents", ADMIN_KEY).header("X-Company-Id", i64::MAX);
    assert_eq!(Answer::to(named).await.status, 200);
    app.ask(Method::GET, "/agents").await;
    assert!(app.app.flush(crate::harness::LIMIT).await, "the requests are not written");
    let made = app.tell(Method::POST, "/companies", &json!({"name": "First"})).await;
    assert_eq!((made.status, &made.json()["id"]), (201, &json!(1)));
    app.finish().await;
}

#[actix_web::test]
async fn companies_are_listed_by_number() {
    let app = TestApp::start().await;
    for n in 2..=4 {
        let body = json!({"name": format!("Company {n}")});
        assert_eq!(app.tell(Method::POST, "/companies", &body).await.status, 201);
    }
    let mut walked = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = app.ask(Method::GET, &format!("/companies{query}")).await.json();
        let companies = page["companies"].as_array().expect("a list");
        walked.extend(companies.iter().filter_map(|company| company["id"].as_i64()));
        let Some(after) = page["next_after"].as_i64() else { break };
        query = format!("?limit=2&after={after}");
    }
    assert_eq!(walked, [1, 2, 3, 4]);
    app.finish().await;
}

#[actix_web::test]
async fn what_is_wrong_with_a_company_is_said() {
    let app = TestApp::start().await;
    let cases = [
        (json!({}), 400, "validation_error"),
        (json!({"name": "x", "twilio": {"account_sid": "AC1"}}), 400, "validation_error"),
        (json!({"name": "x", "inbound_agent_id": "agent_none"}), 400, "validation_error"),
        (json!({"name": "x", "numbers": [{"number": "+1"}]}), 400, "validation_error"),
        (json!({"name": "x", "unknown": 1}), 400, "validation_error"),
    ];
    for (body, status, word) in cases {
        app.tell(Method::POST, "/companies", &body).await.refused(status, word);
    }
    let first = json!({"name": "first", "numbers": [{"number": "+12125550177"}]});
    assert_eq!(app.tell(Method::POST, "/companies", &first).await.status, 201);
    let second = app.tell(Method::POST, "/companies", &first).await;
    second.refused(409, "number_taken");
    for path in ["/companies/0", "/companies/x", "/companies/99999999999999999999", "/companies/77"]
    {
        app.ask(Method::GET, path).await.refused(404, "company_not_found");
    }
    let chosen = app.api(Method::GET, "/agents", ADMIN_KEY).header("X-Company-Id", "zero");
    Answer::to(chosen).await.refused(400, "validation_error");
    app.finish().await;
}

#[actix_web::test]
async fn a_number_is_given_to_an_agent() {
    let app = TestApp::start().await;
    let agent = app.new_agent(&agent_config()).await;
    let patch = json!({
        "inbound_agent_id": agent,
        "numbers": [{"number": "+12125550188", "agent_id": agent}]
    });
    let changed = app.tell(Method::PATCH, "/companies/1", &patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!(
        (&changed["inbound_agent_id"], &changed["numbers"]),
        (&json!(agent), &patch["numbers"])
    );
    let cleared = json!({"inbound_agent_id": null, "numbers": []});
    let cleared = app.tell(Method::PATCH, "/companies/1", &cleared).await.json();
    assert_eq!((&cleared["inbound_agent_id"], &cleared["numbers"]), (&Value::Null, &json!([])));
    app.finish().await;
}
