//! Server-sent events.

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use callspan::store::{CampaignState, Settlement};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{numbers, order};
use crate::api::text;
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, Setup, TestApp, soon};

/// One listener.
struct Events {
    response: reqwest::Response,
    unread: String,
}

impl Events {
    async fn of(app: &TestApp, id: &str) -> Events {
        let request = app.api(Method::GET, &format!("/campaigns/{id}/events"), ADMIN_KEY);
        let response = soon("an answer", request.send()).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let header = |name| response.headers().get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(header("content-type"), Some("text/event-stream"));
        assert_eq!(header("cache-control"), Some("no-store"));
        Events { response, unread: String::new() }
    }

    /// The next event and what it says; `None` when the stream is over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.unread = rest;
                if event.starts_with(':') {
                    continue;
                }
                let (kind, data) = event.split_once('\n').expect("two lines");
                let kind = kind.strip_prefix("event: ").expect("a name").to_owned();
                let data = data.strip_prefix("data: ").expect("data");
                return Some((kind, serde_json::from_str(data).expect("JSON")));
            }
            let part = soon("an event", self.response.chunk()).await;
            let part = part.expect("no broken stream")?;
            self.unread += std::str::from_utf8(&part).expect("text");
        }
    }
}

#[actix_web::test]
async fn listeners_are_told_at_once_then_of_every_change_and_of_the_end() {
    let app = TestApp::start().await;
    let created = app.new_campaign(&order(&numbers(2))).await;
    let id = text(&created["id"]);
    let (mut one, mut other) = (Events::of(&app, id).await, Events::of(&app, id).await);
    for events in [&mut one, &mut other] {
        let (kind, said) = events.next().await.expect("an event");
        assert_eq!((kind.as_str(), &said["state"]), ("progress", &json!("running")));
        assert_eq!((&said["counts"]["waiting"], &said["total"]), (&json!(2), &json!(2)));
        assert_eq!((&said["id"], &said["eta_seconds"]), (&created["id"], &Value::Null));
    }

    assert_eq!(app.ask(Method::POST, &format!("/campaigns/{id}/pause")).await.status, 200);
    let (_, said) = one.next().await.expect("an event");
    assert_eq!(said["state"], "paused");

    let (store, now) = (app.app.store(), Timestamp::now());
    let campaign: CampaignId = id.parse().expect("an id");
    let (seq, state) = (1, RecipientState::Busy);
    let busy = Settlement { seq, state, attempts: 1, due: None, end: None };
    store.settle_recipients(campaign, &[busy], now).await.expect("settled");
    let (_, said) = one.next().await.expect("an event");
    assert_eq!((&said["counts"]["busy"], &said["finished"]), (&json!(1), &json!(1)));

    let (paused, canceled) = (CampaignState::Paused, CampaignState::Canceled);
    assert!(store.move_campaign(campaign, &[paused], canceled, None, now).await.expect("moved"));
    let (kind, said) = one.next().await.expect("an event");
    assert_eq!((kind.as_str(), &said["state"]), ("end", &json!("canceled")));
    assert_eq!(one.next().await, None, "it is over");
    while let Some((kind, _)) = other.next().await {
        if kind == "end" {
            break;
        }
    }
    let mut late = Events::of(&app, id).await;
    assert_eq!(late.next().await.expect("an event").0, "end");
    assert_eq!(late.next().await, None);
    app.finish().await;
}

#[actix_web::test]
async fn a_node_has_room_for_so_many_listeners() {
    let app = Setup::new()
        .set("CALLSPAN_RATE_LIMIT_PER_MINUTE", "0")
        .set("CALLSPAN_RATE_LIMIT_PER_HOUR", "0")
        .set("CALLSPAN_RATE_LIMIT_BURST", "0")
        .start()
        .await;
    let created = app.new_campaign(&order(&numbers(1))).await;
    let id = text(&created["id"]);
    let path = format!("/campaigns/{id}/events");
    let mut listeners = Vec::new();
    for _ in 0..200 {
        let mut events = Events::of(&app, id).await;
        assert!(events.next().await.is_some());
        listeners.push(events);
    }
    let refused = app.ask(Method::GET, &path).await;
    refused.refused(503, "too_many_listeners");
    assert_eq!(refused.retry_after(), 15);
    listeners.clear();
    let again = async {
        while Answer::to(app.api(Method::HEAD, &path, ADMIN_KEY)).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("their places to be free", again).await;
    app.finish().await;
}
