//! Campaigns as far as nobody is dialled: what is accepted, shown, changed and refused.

mod causes;
mod control;
mod csv;
mod progress;
mod results;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{agent_config, text};
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, Setup, TestApp, soon};

/// Hours that are not now, so that nobody is dialled while a test looks.
pub(super) fn never_now() -> Value {
    let now = jiff::Timestamp::now().in_tz("UTC").expect("UTC is known");
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let today = usize::try_from(now.weekday().to_monday_zero_offset()).expect("0 to 6");
    let day = days[(today + 3) % 7];
    json!({"timezone": "UTC", "windows": [{"days": [day], "from": "00:00", "to": "24:00"}]})
}

/// An order of a campaign that dials nobody yet.
pub(super) fn order(recipients: &Value) -> Value {
    json!({"name": "Reminders", "hours": never_now(), "recipients": recipients})
}

/// So many numbers.
pub(super) fn numbers(count: usize) -> Value {
    (0..count).map(|n| format!("+1212555{n:04}")).collect()
}

impl TestApp {
    /// Makes a campaign that must be accepted.
    pub(super) async fn new_campaign(&self, order: &Value) -> Value {
        let answer = self.tell(Method::POST, "/campaigns", order).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// The ids of all campaigns, newest first.
    pub(super) async fn campaign_ids(&self) -> Vec<String> {
        let page = self.ask(Method::GET, "/campaigns").await.json();
        let campaigns = page["campaigns"].as_array().expect("a list");
        campaigns.iter().map(|campaign| text(&campaign["id"]).to_owned()).collect()
    }

    /// Waits until nothing is left of an upload that was broken off.
    pub(super) async fn no_campaigns(&self) {
        let gone = async {
            while !self.campaign_ids().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("the draft to go", gone).await;
    }
}

#[actix_web::test]
async fn a_campaign_shows_its_rules_and_how_it_stands() {
    let app = TestApp::start().await;
    let agent = app.new_agent(&agent_config()).await;
    let machine =
        json!({"action": "leave_message", "message": "Call us back.", "spoken_by": "twilio"});
    let created = app
        .new_campaign(&json!({
            "name": "Reminders", "agent_id": agent, "max_concurrent_calls": 7, "max_cps": 0.5,
            "max_call_seconds": 300, "ring_timeout_seconds": 20, "time_to_live_seconds": 86_400,
            "retries": {"max_attempts": 3, "on": ["busy", "machine"]},
            "hours": never_now(), "answering_machine": machine,
            "template_context": {"shop": "Acme"},
            "recipients": [
                "+12125550101",
                {"phone_number": "+12125550102", "priority": 3, "timezone": "europe/berlin"},
                {"phone_number": "+1 212 555-0101"},
                {"phone_number": "nonsense"},
                7,
            ],
        }))
        .await;
    assert_eq!((&created["state"], &created["total"]), (&json!("running"), &json!(5)));
    assert_eq!((&created["accepted"], &created["invalid"]), (&json!(2), &json!(2)));
    assert_eq!(created["duplicates"], 1);
    let rejected = created["rejected"].as_array().expect("a list");
    let lines: Vec<_> = rejected.iter().map(|row| row["line"].clone()).collect();
    assert_eq!(lines, [3, 4, 5]);
    assert_eq!(rejected[0]["reason"], "is a number that line 1 has already");
    assert_eq!(rejected[1]["phone_number"], "nonsense");

    let id = text(&created["id"]);
    let shown = app.ask(Method::GET, &format!("/campaigns/{id}")).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!((&shown["name"], &shown["agent_id"]), (&json!("Reminders"), &json!(agent)));
    let counts = json!({
        "waiting": 2, "calling": 0, "completed": 0, "busy": 0, "no-answer": 0, "failed": 0,
        "canceled": 0, "machine": 0, "invalid": 2, "duplicate": 1, "do-not-call": 0,
        "expired": 0, "skipped": 0,
    });
    assert_eq!(shown["counts"], counts);
    assert_eq!((&shown["finished"], &shown["in_flight"]), (&json!(3), &json!(0)));
    assert_eq!((&shown["answered_by"]["human"], &shown["eta_seconds"]), (&json!(0), &Value::Null));
    let settings = &shown["settings"];
    assert_eq!((&settings["max_concurrent_calls"], &settings["max_cps"]), (&json!(7), &json!(0.5)));
    assert_eq!(settings["answering_machine"], machine);
    assert_eq!(settings["retries"]["on"], json!(["busy", "machine"]));
    assert_eq!(settings["hours"]["zone"], "campaign");
    assert_eq!(settings["template_context"], json!({"shop": "Acme"}));
    app.finish().await;
}

#[actix_web::test]
async fn a_campaign_without_an_agent_is_the_companys_own() {
    let app = TestApp::start().await;
    let created = app.new_campaign(&order(&numbers(1))).await;
    assert_eq!((&created["agent_id"], &created["origin"]), (&Value::Null, &json!("campaign")));
    let settings = &created["settings"];
    assert_eq!(
        (&settings["max_concurrent_calls"], &settings["hours"]["timezone"]),
        (&json!(5), &json!("UTC"))
    );
    app.finish().await;
}

#[actix_web::test]
async fn a_dry_run_says_everything_and_stores_nothing() {
    let app = TestApp::start().await;
    let mut order = order(&json!(["+12125550101", "+12125550101", "x"]));
    order["dry_run"] = json!(true);
    let checked = app.tell(Method::POST, "/campaigns", &order).await;
    assert_eq!(checked.status, 200, "{checked:?}");
    let checked = checked.json();
    assert_eq!(checked["id"], Value::Null);
    assert_eq!((&checked["accepted"], &checked["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(checked["rejected"][1]["line"], 3);
    assert!(app.campaign_ids().await.is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn whatever_is_wrong_with_a_campaign_is_said_and_nothing_is_left_of_it() {
    let app = TestApp::start().await;
    let refused = async |body: Value| {
        let answer = app.tell(Method::POST, "/campaigns", &body).await;
        answer.refused(400, "validation_error")
    };
    let said = refused(json!({"name": "", "max_cps": "fast", "windows": []})).await;
    for problem in ["name must", "max_cps must be a number", "recipients is required", "windows is"]
    {
        assert!(said.contains(problem), "no {problem:?} in {said}");
    }
    let said = refused(json!({"name": "x", "recipients": "+12125550123"})).await;
    assert!(said.contains("recipients must be a list"), "{said}");
    let said = refused(json!({"name": "x", "recipients": []})).await;
    assert_eq!(said, "recipients must have at least one recipient");
    let said = refused(order(&json!(["x", null, "+1"]))).await;
    let words = "recipients must have at least one phone number that can be called: none of 3 can";
    assert_eq!(said, words);
    let mut zone = order(&numbers(1));
    zone["hours"]["timezone"] = json!("Mars/Olympus");
    let said = refused(zone).await;
    assert!(said.starts_with("hours.timezone must be the name of a time zone"), "{said}");
    let in_query = app.tell(Method::POST, "/campaigns?max_cps=5", &order(&numbers(1))).await;
    in_query.refused(400, "validation_error");
    let unknown = json!({"name": "x", "agent_id": "agent_x", "recipients": numbers(1)});
    let unknown = app.tell(Method::POST, "/campaigns", &unknown).await;
    unknown.refused(404, "agent_not_found");
    app.no_campaigns().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_list_that_is_too_long_is_refused_with_its_limit() {
    let app = TestApp::start().await;
    let list: Vec<String> = (0..200_001).map(|n| format!("+1{n:09}")).collect();
    let answer = app.tell(Method::POST, "/campaigns", &order(&json!(list))).await;
    let said = answer.refused(400, "validation_error");
    assert!(said.contains("at most 200000 recipients"), "{said}");
    assert!(app.campaign_ids().await.is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_must_take_calls_and_be_told_what_it_needs() {
    let app = TestApp::start().await;
    let config = json!({"name": "Ann", "prompt": "Hello {{name}} of {{city}} and {{shop}}",
        "template_variables": {"city": "Rome"}});
    let agent = app.new_agent(&config).await;
    let mut order = order(&json!([
        {"phone_number": "+12125550101", "template_context": {"name": "Bob"}},
        {"phone_number": "+12125550102", "template_context": {"city": "Bern"}},
    ]));
    order["agent_id"] = json!(agent);
    order["template_context"] = json!({"shop": "Acme"});
    let created = app.new_campaign(&order).await;
    assert_eq!((&created["accepted"], &created["invalid"]), (&json!(1), &json!(1)));
    let reason = "template_context must give what the agent's prompt needs: name";
    assert_eq!(created["rejected"][0]["reason"], reason);

    let mut disabled = config;
    disabled["status"] = json!("inactive");
    app.tell(Method::PUT, &format!("/agents/{agent}"), &disabled).await;
    let refused = app.tell(Method::POST, "/campaigns", &order).await;
    let said = refused.refused(409, "agent_not_active");
    assert!(said.contains("is inactive"), "{said}");
    app.finish().await;
}

#[actix_web::test]
async fn a_company_calls_only_where_it_may() {
    let app = TestApp::start().await;
    let prefixes = json!({"twilio": {"allowed_prefixes": ["+1212"]}});
    assert_eq!(app.tell(Method::PATCH, "/companies/1", &prefixes).await.status, 200);
    let order = order(&json!(["+12125550101", "+4915112345678"]));
    let created = app.new_campaign(&order).await;
    let reason = "phone_number must begin with +1212 for this company";
    assert_eq!(created["rejected"][0]["reason"], reason);

    let bare = json!({"name": "Bare"});
    let company = app.tell(Method::POST, "/companies", &bare).await.json()["id"].to_string();
    let request = app.api(Method::POST, "/campaigns", ADMIN_KEY).json(&order);
    let refused = Answer::to(request.header("X-Company-Id", company)).await;
    refused.refused(409, "ultravox_not_configured");
    app.finish().await;
}

#[actix_web::test]
async fn a_repeated_request_makes_one_campaign() {
    let app = TestApp::start().await;
    let send = async |body: &Value| {
        let request = app.api(Method::POST, "/campaigns", ADMIN_KEY).json(body);
        Answer::to(request.header("Idempotency-Key", "monday")).await
    };
    let body = order(&numbers(3));
    let (first, second) = (send(&body).await, send(&body).await);
    assert_eq!((first.status, second.status), (201, 201), "{first:?} {second:?}");
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    send(&order(&numbers(4))).await.refused(409, "idempotency_key_reused");
    assert_eq!(app.campaign_ids().await.len(), 1);
    app.finish().await;
}

#[actix_web::test]
async fn campaigns_are_listed_by_state_a_page_at_a_time() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let created = app.new_campaign(&order(&numbers(1))).await;
        ids.insert(0, text(&created["id"]).to_owned());
    }
    assert_eq!(app.campaign_ids().await, ids);
    let paused = app.ask(Method::POST, &format!("/campaigns/{}/pause", ids[1])).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let page = async |query: &str| {
        let page = app.ask(Method::GET, &format!("/campaigns?{query}")).await.json();
        let campaigns = page["campaigns"].as_array().expect("a list");
        let ids = campaigns.iter().map(|campaign| text(&campaign["id"]).to_owned());
        (ids.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(page("state=paused").await, (vec![ids[1].clone()], None));
    assert_eq!(page("state=running").await.0, [ids[0].clone(), ids[2].clone()]);
    let (first, cursor) = page("limit=2").await;
    assert_eq!(first, ids[..2]);
    let rest = page(&format!("limit=2&cursor={}", cursor.expect("there is more"))).await;
    assert_eq!(rest, (vec![ids[2].clone()], None));
    for bad in ["state=asleep", "limit=0", "limit=1001", "cursor=x"] {
        let answer = app.ask(Method::GET, &format!("/campaigns?{bad}")).await;
        answer.refused(400, "validation_error");
    }
    app.finish().await;
}

#[actix_web::test]
async fn campaigns_of_another_company_are_not_there() {
    let app = Setup::new().start().await;
    app.add_company(2, &Default::default()).await;
    app.add_key(2, "key-of-company-two").await;
    let created = app.new_campaign(&order(&numbers(1))).await;
    let id = text(&created["id"]);
    let paths = [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::GET, "/calls"),
        (Method::GET, "/calls?format=csv"),
        (Method::GET, "/events"),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
    ];
    for (method, tail) in paths {
        let path = format!("/campaigns/{id}{tail}");
        let request = app.api(method.clone(), &path, "key-of-company-two").json(&json!({}));
        let answer = Answer::to(request).await;
        assert_eq!(
            answer.refused(404, "campaign_not_found"),
            "There is no such campaign",
            "{path}"
        );
        for nobody in ["0198c2a4-7d1e-7cc3-98c4-dc0c0c07398f", "x"] {
            let request = app.api(method.clone(), &format!("/campaigns/{nobody}{tail}"), ADMIN_KEY);
            Answer::to(request.json(&json!({}))).await.refused(404, "campaign_not_found");
        }
    }
    let list = Answer::to(app.api(Method::GET, "/campaigns", "key-of-company-two")).await;
    assert_eq!(list.json()["campaigns"], json!([]));
    app.finish().await;
}
