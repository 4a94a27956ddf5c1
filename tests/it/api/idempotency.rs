//! `Idempotency-Key`: one call, however often it is asked for.

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome, RestFault, RestOperation};
use reqwest::Method;
use serde_json::{Value, json};

use super::agent_config;
use crate::harness::requests::{Answer, INITIATE};
use crate::harness::{ADMIN_KEY, CALLEE, Setup, TestApp};

async fn app() -> TestApp {
    Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await
}

async fn initiate(app: &TestApp, key: &str, body: &Value) -> Answer {
    let request = app.http.post(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY);
    Answer::to(request.header("Idempotency-Key", key).json(body)).await
}

/// What Twilio answers to a wrong token.
fn refused() -> RestFault {
    RestFault::Error { status: 401, code: 20_003, message: "Authenticate".to_owned() }
}

fn body() -> Value {
    json!({"companyId": 1, "destinationNumber": CALLEE})
}

#[actix_web::test]
async fn a_repeated_request_gets_the_first_answer() {
    let app = app().await;
    let first = initiate(&app, "order-4711", &body()).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    let again = initiate(&app, "order-4711", &body()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("content-type"), Some("application/json"));
    let turned = json!({"destinationNumber": CALLEE, "companyId": 1});
    assert_eq!(initiate(&app, "order-4711", &turned).await.body, first.body, "in any order");
    let other = json!({"companyId": 1, "destinationNumber": "+12125550199"});
    let refused = initiate(&app, "order-4711", &other).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.error().contains("was used with another request"));
    assert_eq!(initiate(&app, "order-4712", &body()).await.status, 200, "another key");
    assert_eq!(app.twilio.calls().len(), 2);
    app.finish().await;
}

#[actix_web::test]
async fn of_many_at_once_one_dials() {
    let app = app().await;
    let agent = app.new_agent(&agent_config()).await;
    let path = format!("/calls/{agent}");
    let wish = json!({"phone_number": CALLEE});
    let at_once = (0..8).map(|_| {
        let request = app.api(Method::POST, &path, ADMIN_KEY).header("Idempotency-Key", "one");
        Answer::to(request.json(&wish))
    });
    let answers = futures_util::future::join_all(at_once).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &answers[0].body), "{answer:?}");
    }
    let fresh = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert_eq!(app.twilio.calls().len(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn what_was_refused_before_dialling_may_be_tried_again() {
    let app = app().await;
    let bad = json!({"companyId": 1, "destinationNumber": "+1"});
    assert_eq!(initiate(&app, "key", &bad).await.status, 400);
    app.twilio
        .fail_always(RestOperation::CreateCall, RestFault::TooManyRequests { retry_after: None });
    assert_eq!(initiate(&app, "key", &body()).await.status, 503);
    app.twilio.heal();
    let dialled = initiate(&app, "key", &body()).await;
    assert_eq!((dialled.status, dialled.header("idempotent-replayed")), (200, None));
    app.finish().await;
}

#[actix_web::test]
async fn what_a_vendor_refused_is_answered_again() {
    let app = app().await;
    app.twilio.fail_always(RestOperation::CreateCall, refused());
    let first = initiate(&app, "key", &body()).await;
    assert_eq!(first.status, 500, "{first:?}");
    app.twilio.heal();
    let again = initiate(&app, "key", &body()).await;
    assert_eq!((again.status, &again.body), (500, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    app.finish().await;
}

#[actix_web::test]
async fn a_key_has_its_form() {
    let app = app().await;
    assert_eq!(initiate(&app, &"k".repeat(255), &body()).await.status, 200);
    for bad in ["".to_owned(), "two words".to_owned(), "k".repeat(256)] {
        let refused = initiate(&app, &bad, &body()).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.error().contains("Idempotency-Key must have 1 to 255"));
    }
    app.finish().await;
}
