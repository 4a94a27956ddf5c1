//! API keys, and who may do what with one.

use reqwest::Method;
use serde_json::{Value, json};

use super::text;
use crate::harness::requests::{Answer, INITIATE};
use crate::harness::{ADMIN_KEY, TestApp, soon};

async fn new_key(app: &TestApp, body: Value) -> Value {
    let answer = app.tell(Method::POST, "/api-keys", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

#[actix_web::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let app = TestApp::start().await;
    let made = new_key(&app, json!({"name": "web shop", "company_id": 1})).await;
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    assert!((10..=200).contains(&key.len()) && key.starts_with(text(&made["prefix"])), "{made}");
    assert_eq!(Answer::to(app.api(Method::GET, "/agents", key)).await.status, 200);
    let list = app.ask(Method::GET, "/api-keys?company_id=1").await;
    assert!(!list.body.contains(key), "it is not shown again");
    let list = list.json();
    assert_eq!(list["api_keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&list["api_keys"][0]["id"], &list["api_keys"][0]["name"]),
        (&made["id"], &made["name"])
    );
    assert_eq!(list["api_keys"][0]["revoked_at"], Value::Null);

    let revoked = app.ask(Method::DELETE, &format!("/api-keys/{id}")).await;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    let refused = Answer::to(app.api(Method::GET, "/agents", key)).await;
    assert_eq!(refused.refused(401, "unauthorized"), "The API key is not valid");
    app.ask(Method::DELETE, &format!("/api-keys/{id}")).await.refused(404, "api_key_not_found");
    let list = app.ask(Method::GET, "/api-keys").await.json();
    assert!(list["api_keys"][0]["revoked_at"].is_string(), "{list}");
    app.finish().await;
}

#[actix_web::test]
async fn a_key_that_is_revoked_in_mid_request_finishes_it() {
    let app = TestApp::start().await;
    let made = new_key(&app, json!({"name": "short-lived", "company_id": 1})).await;
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    app.ultravox.script_next(loadtest::ultravox::AgentScript::Manual);
    app.ultravox.fail_next(
        loadtest::ultravox::On::CreateCall,
        loadtest::ultravox::Fault::Slow(std::time::Duration::from_millis(500)),
    );
    let body = json!({"companyId": 1, "destinationNumber": "+12125550123"});
    let request = app.http.post(app.url(INITIATE)).header("X-API-Key", key).json(&body);
    let (dialled, revoked) = tokio::join!(Answer::to(request), async {
        let asked = |requests: Vec<loadtest::ultravox::RecordedRequest>| !requests.is_empty();
        while !asked(app.ultravox.requests()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        app.ask(Method::DELETE, &format!("/api-keys/{id}")).await
    });
    assert_eq!((dialled.status, revoked.status), (200, 204), "{dialled:?}");
    let phone = soon("the call", app.twilio.wait_for_call("+12125550123")).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn keys_have_ten_to_two_hundred_characters() {
    let app = TestApp::start().await;
    for length in [10, 200] {
        let key = "k".repeat(usize::try_from(length).expect("short"));
        app.add_company(length, &Default::default()).await;
        app.add_key(length, &key).await;
    }
    for (length, status) in [(9, 401), (10, 200), (200, 200), (201, 401)] {
        let answer = Answer::to(app.api(Method::GET, "/agents", &"k".repeat(length))).await;
        assert_eq!(answer.status, status, "{length} characters: {answer:?}");
    }
    let spaces = Answer::to(app.api(Method::GET, "/agents", &" ".repeat(20))).await;
    spaces.refused(401, "unauthorized");
    let without = app.get("/api/v1/agents").await;
    let message = without.refused(401, "unauthorized");
    assert_eq!(message, "An API key is required in the X-API-Key header");
    app.finish().await;
}

#[actix_web::test]
async fn only_administrators_make_companies_and_keys() {
    let app = TestApp::start().await;
    let made = new_key(&app, json!({"name": "company one", "company_id": 1})).await;
    let key = text(&made["key"]);
    for (method, path) in [
        (Method::GET, "/api-keys"),
        (Method::POST, "/api-keys"),
        (Method::DELETE, "/api-keys/admin"),
        (Method::GET, "/companies"),
        (Method::POST, "/companies"),
        (Method::GET, "/companies/1"),
        (Method::PATCH, "/companies/1"),
        (Method::DELETE, "/companies/1"),
    ] {
        let request = app.api(method.clone(), path, key).json(&json!({"name": "x"}));
        let message = Answer::to(request).await.refused(403, "forbidden");
        assert_eq!(message, "This needs an admin key", "{method} {path}");
    }
    let admin = new_key(&app, json!({"name": "second administrator"})).await;
    let list = Answer::to(app.api(Method::GET, "/companies", text(&admin["key"]))).await;
    assert_eq!(list.status, 200, "{list:?}");
    app.finish().await;
}

#[actix_web::test]
async fn a_key_names_its_own_company_only() {
    let app = TestApp::start().await;
    app.add_company(2, &Default::default()).await;
    app.add_key(2, "key-of-company-two").await;
    let body = json!({"companyId": 1, "destinationNumber": "+12125550123"});
    let other = app.post_initiate(Some("key-of-company-two"), &body.to_string()).await;
    assert_eq!((other.status, other.error().as_str()), (404, "Twilio configuration not found"));
    for (body, why) in [
        (json!({}), "name is required"),
        (json!({"name": "x", "company_id": 77}), "company_id must be the number of a company"),
        (json!({"name": "x", "company_id": "1x"}), "company_id must be a whole number"),
        (json!({"name": "x", "company": 1}), "company is not known here"),
    ] {
        let refused = app.tell(Method::POST, "/api-keys", &body).await;
        let message = refused.refused(400, "validation_error");
        assert!(message.starts_with(why), "{message}");
    }
    assert_eq!(app.ask(Method::GET, "/agents").await.status, 200, "{ADMIN_KEY} is still good");
    app.finish().await;
}
