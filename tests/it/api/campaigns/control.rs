//! Pausing, resuming, canceling, changing, repeating.

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use callspan::store::{CampaignState, Settlement};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{never_now, numbers, order};
use crate::api::text;
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, TestApp};

async fn posted(app: &TestApp, id: &str, action: &str) -> Answer {
    app.ask(Method::POST, &format!("/campaigns/{id}/{action}")).await
}

/// What an answer must say when the state is in the way.
fn in_state(answer: &Answer, state: &str) -> String {
    let message = answer.refused(409, "campaign_state_conflict");
    assert_eq!(answer.json()["details"]["state"], state);
    assert!(message.starts_with(&format!("The campaign is {state}; only")), "{message}");
    message
}

/// Ends a campaign as whoever runs it would.
async fn end(app: &TestApp, id: &str, state: CampaignState) {
    let id: CampaignId = id.parse().expect("an id");
    let from = [CampaignState::Running, CampaignState::Paused, CampaignState::Canceling];
    let moved = app.app.store().move_campaign(id, &from, state, None, Timestamp::now()).await;
    moved.expect("a database");
}

#[actix_web::test]
async fn a_campaign_is_paused_resumed_and_canceled() {
    let app = TestApp::start().await;
    let created = app.new_campaign(&order(&numbers(2))).await;
    let id = text(&created["id"]);
    in_state(&posted(&app, id, "resume").await, "running");
    let paused = posted(&app, id, "pause").await;
    assert_eq!((paused.status, &paused.json()["state"]), (200, &json!("paused")));
    in_state(&posted(&app, id, "pause").await, "paused");
    let resumed = posted(&app, id, "resume").await;
    assert_eq!((resumed.status, &resumed.json()["state"]), (200, &json!("running")));

    let canceled = posted(&app, id, "cancel").await;
    assert!(matches!(canceled.status, 200 | 202), "{canceled:?}");
    assert_eq!(canceled.json()["end_live_calls"], false);
    let path = format!("/campaigns/{id}/cancel");
    let again = app.tell(Method::POST, &path, &json!({"end_live_calls": true})).await;
    assert!(matches!(again.status, 200 | 202), "canceling twice is no mistake: {again:?}");
    end(&app, id, CampaignState::Canceled).await;
    let over = posted(&app, id, "cancel").await;
    assert_eq!((over.status, &over.json()["state"]), (200, &json!("canceled")));
    for action in ["pause", "resume"] {
        in_state(&posted(&app, id, action).await, "canceled");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_campaign_that_is_completed_stays_so() {
    let app = TestApp::start().await;
    let created = app.new_campaign(&order(&numbers(1))).await;
    let id = text(&created["id"]);
    assert_eq!(posted(&app, id, "pause").await.status, 200);
    end(&app, id, CampaignState::Completed).await;
    for action in ["pause", "resume", "cancel"] {
        in_state(&posted(&app, id, action).await, "completed");
    }
    let path = format!("/campaigns/{id}");
    let changed = app.tell(Method::PATCH, &path, &json!({"max_concurrent_calls": 3})).await;
    in_state(&changed, "completed");
    app.finish().await;
}

#[actix_web::test]
async fn a_cancel_with_a_body_is_read_and_one_without_is_enough() {
    let app = TestApp::start().await;
    let created = app.new_campaign(&order(&numbers(1))).await;
    let path = format!("/campaigns/{}/cancel", text(&created["id"]));
    for (body, problem) in [
        (json!({"end_live_calls": "yes"}), "end_live_calls must be true or false"),
        (json!({"end_calls": true}), "end_calls is not known here"),
    ] {
        let message = app.tell(Method::POST, &path, &body).await;
        let message = message.refused(400, "validation_error");
        assert!(message.contains(problem), "{message}");
    }
    let text_body = app.api(Method::POST, &path, ADMIN_KEY).body("yes");
    let answer = Answer::to(text_body.header("Content-Type", "text/plain")).await;
    answer.refused(415, "unsupported_media_type");
    let canceled = app.tell(Method::POST, &path, &json!({"end_live_calls": true})).await;
    assert_eq!(canceled.json()["end_live_calls"], true);
    app.finish().await;
}

#[actix_web::test]
async fn limits_change_while_a_campaign_runs() {
    let app = TestApp::start().await;
    let mut order = order(&numbers(1));
    order["max_cps"] = json!(2);
    let created = app.new_campaign(&order).await;
    let path = format!("/campaigns/{}", text(&created["id"]));
    let change = json!({"name": "Later", "max_concurrent_calls": 50});
    let changed = app.tell(Method::PATCH, &path, &change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!((&changed["name"], &changed["state"]), (&json!("Later"), &json!("running")));
    let settings = &changed["settings"];
    assert_eq!(
        (&settings["max_concurrent_calls"], &settings["max_cps"]),
        (&json!(50), &json!(2.0))
    );
    let mut hours = never_now();
    hours["zone"] = json!("recipient");
    let change = json!({"max_cps": null, "hours": hours, "retries": {"max_attempts": 2}});
    let changed = app.tell(Method::PATCH, &path, &change).await.json();
    assert_eq!(changed["settings"]["max_cps"], Value::Null);
    assert_eq!(changed["settings"]["hours"]["zone"], "recipient");
    assert_eq!(changed["settings"]["retries"]["max_attempts"], 2);

    let bad = json!({"max_concurrent_calls": 1_001, "max_cps": 0, "agent_id": "x",
        "hours": {"timezone": "UTC", "windows": []}});
    let message = app.tell(Method::PATCH, &path, &bad).await.refused(400, "validation_error");
    for problem in ["max_concurrent_calls must", "max_cps must", "agent_id is not", "hours.windows"]
    {
        assert!(message.contains(problem), "no {problem:?} in {message}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn those_who_were_not_reached_are_called_again_in_a_new_campaign() {
    let app = TestApp::start().await;
    let mut first = order(&json!([
        "+12125550101",
        {"phone_number": "+12125550102", "template_context": {"name": "Ann"}, "priority": 4},
        "+12125550103",
        "x",
    ]));
    first["max_concurrent_calls"] = json!(9);
    let created = app.new_campaign(&first).await;
    let id = text(&created["id"]);
    let path = format!("/campaigns/{id}/retry");
    let nobody = app.ask(Method::POST, &path).await;
    let message = nobody.refused(409, "nobody_to_retry");
    assert_eq!(message, "No recipient of it is busy or no-answer or failed or canceled or machine");

    let ended = [RecipientState::Completed, RecipientState::Busy, RecipientState::Expired];
    let settlements: Vec<Settlement> = (1..)
        .zip(ended)
        .map(|(seq, state)| Settlement { seq, state, attempts: 1, due: None, end: None })
        .collect();
    let campaign: CampaignId = id.parse().expect("an id");
    let store = app.app.store();
    store.settle_recipients(campaign, &settlements, Timestamp::now()).await.expect("settled");

    let again = app.ask(Method::POST, &path).await;
    assert_eq!(again.status, 201, "{again:?}");
    let again = again.json();
    assert_eq!((&again["name"], &again["accepted"]), (&json!("Reminders (retry)"), &json!(1)));
    assert_eq!(again["settings"]["max_concurrent_calls"], 9);
    let rows = app.ask(Method::GET, &format!("/campaigns/{}/calls", text(&again["id"]))).await;
    let row = rows.json()["recipients"][0].clone();
    assert_eq!((&row["phone_number"], &row["priority"]), (&json!("+12125550102"), &json!(4)));
    assert_eq!(
        (&row["template_context"]["name"], &row["state"]),
        (&json!("Ann"), &json!("waiting"))
    );

    let wider = json!({"states": ["busy", "expired"], "name": "Once more"});
    let wider = app.tell(Method::POST, &path, &wider).await.json();
    assert_eq!((&wider["name"], &wider["accepted"]), (&json!("Once more"), &json!(2)));
    let bad = app.tell(Method::POST, &path, &json!({"states": ["invalid"]})).await;
    let message = bad.refused(400, "validation_error");
    assert!(message.starts_with("states must be a list of completed, busy"), "{message}");
    app.finish().await;
}
