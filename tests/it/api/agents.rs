//! Agents, here and at Ultravox.

use std::time::Duration;

use actors::ids::{AgentId, CompanyId};
use callspan::store::{AgentConfig, NewAgent};
use jiff::{SignedDuration, Timestamp};
use loadtest::ultravox::{Fault, On};
use reqwest::Method;
use serde_json::{Value, json};

use super::{agent_config, assert_is_time, text};
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, Setup, TestApp, soon};

/// Bodies as the document writes them, with what is not fixed put in.
fn documented(id: &str, config: &str, created: &str, updated: &str, status: &str) -> String {
    format!(
        r#"{{"id":"{id}","config":{config},"created_at":"{created}","updated_at":"{updated}","status":"{status}"}}"#
    )
}

const CREATED: &str = r#"{"name":"Customer Support Agent","prompt":"You are a helpful customer support agent. Be polite and professional.","voice":"default","language":"en","template_variables":{"company_name":"Acme Corp","support_hours":"9 AM - 5 PM EST"}}"#;
const UPDATED: &str = r#"{"name":"Updated Customer Support Agent","prompt":"You are an updated helpful customer support agent.","voice":"default","language":"en","template_variables":{"company_name":"Updated Acme Corp"}}"#;

#[actix_web::test]
async fn the_documented_examples_work_to_the_byte() {
    let app = TestApp::start().await;
    let created = app.tell(Method::POST, "/agents", &agent_config()).await;
    assert_eq!(created.status, 201, "{created:?}");
    let json = created.json();
    let (id, at) = (text(&json["id"]), text(&json["created_at"]));
    assert!(id.starts_with("agent_"), "{id}");
    assert_is_time(at);
    assert_eq!(created.body, documented(id, CREATED, at, at, "active"));

    let read = app.ask(Method::GET, &format!("/agents/{id}")).await;
    assert_eq!((read.status, read.body.as_str()), (200, created.body.as_str()));
    let list = app.ask(Method::GET, "/agents?limit=10&offset=0").await;
    assert_eq!((list.status, list.body), (200, format!("[{}]", created.body)));

    let body: Value = serde_json::from_str(UPDATED).expect("JSON");
    let updated = app.tell(Method::PUT, &format!("/agents/{id}"), &body).await;
    assert_eq!(updated.status, 200, "{updated:?}");
    let updated_at = updated.json()["updated_at"].clone();
    assert_eq!(updated.body, documented(id, UPDATED, at, text(&updated_at), "active"));

    let deleted = app.ask(Method::DELETE, &format!("/agents/{id}")).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    let gone = app.ask(Method::GET, &format!("/agents/{id}")).await;
    gone.refused(404, "agent_not_found");
    assert_eq!(app.ask(Method::GET, "/agents").await.body, "[]");
    app.finish().await;
}

#[actix_web::test]
async fn ultravox_is_told_what_the_document_says() {
    let app = TestApp::start().await;
    let mut config = agent_config();
    let id = app.new_agent(&config).await;
    let agents = app.ultravox.requests();
    let create = agents.iter().find(|r| r.path == "/api/agents").expect("a creation");
    let template = &create.body["callTemplate"];
    assert_eq!(template["systemPrompt"], config["prompt"]);
    assert_eq!(template["languageHint"], "en");
    assert_eq!(template.get("voice"), None, "the default is left to Ultravox");
    assert!(template["medium"]["serverWebSocket"].is_object(), "{template}");
    let name = text(&create.body["name"]);
    assert!(name.starts_with("Customer Support Agent ") && name.len() <= 64, "{name}");

    config["voice"] = json!("Mark");
    config["language"] = json!("pt-BR");
    let updated = app.tell(Method::PUT, &format!("/agents/{id}"), &config).await;
    assert_eq!(updated.status, 200, "{updated:?}");
    let requests = app.ultravox.requests();
    let patch = requests.iter().find(|r| r.method == "PATCH").expect("a change");
    assert_eq!(patch.body["callTemplate"]["voice"], "Mark");
    assert_eq!(patch.body["callTemplate"]["languageHint"], "pt-BR");
    app.ask(Method::DELETE, &format!("/agents/{id}")).await;
    let requests = app.ultravox.requests();
    assert!(requests.iter().any(|r| r.method == "DELETE"), "deleted there too");
    app.finish().await;
}

#[actix_web::test]
async fn a_page_of_agents_is_cut_where_asked() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let config = json!({"name": format!("Agent {n}"), "prompt": "Hello."});
        ids.push(app.new_agent(&config).await);
    }
    let list = async |query: &str| -> Vec<String> {
        let answer = app.ask(Method::GET, &format!("/agents{query}")).await;
        let agents = answer.json();
        let agents = agents.as_array().expect("a list");
        agents.iter().map(|agent| text(&agent["id"]).to_owned()).collect()
    };
    assert_eq!(list("").await, ids);
    assert_eq!(list("?limit=2").await, ids[..2]);
    assert_eq!(list("?limit=2&offset=2").await, ids[2..]);
    assert_eq!(list("?offset=1").await, ids[1..]);
    assert_eq!(list("?offset=3").await, [""; 0]);
    for bad in ["limit=0", "limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5"] {
        let answer = app.ask(Method::GET, &format!("/agents?{bad}")).await;
        let message = answer.refused(400, "validation_error");
        assert!(message.contains("must be a whole number from"), "{message}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn whatever_is_wrong_with_an_agent_is_said_at_once() {
    let app = TestApp::start().await;
    let body = json!({
        "name": "no/slash", "prompt": "", "voice": 7, "language": "english",
        "template_variables": {"system": "x"}
    });
    let answer = app.tell(Method::POST, "/agents", &body).await;
    answer.refused(400, "validation_error");
    let details = answer.json()["details"].clone();
    let fields: Vec<&String> = details.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["language", "name", "prompt", "template_variables", "voice"]);
    assert_eq!(details["prompt"], "must have 1 to 10000 characters");
    let missing = app.tell(Method::POST, "/agents", &json!({})).await;
    assert_eq!(missing.refused(400, "validation_error"), "name is required; prompt is required");
    assert!(app.ultravox.requests().is_empty(), "Ultravox is not asked");
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_that_ultravox_refuses_is_not_half_there() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(On::Any, Fault::bad_request());
    let refused = app.tell(Method::POST, "/agents", &agent_config()).await;
    let message = refused.refused(400, "refused_by_ultravox");
    assert!(message.starts_with("Ultravox refused to create the agent"), "{message}");
    assert_eq!(app.ask(Method::GET, "/agents").await.body, "[]");

    let id = app.new_agent(&agent_config()).await;
    app.ultravox.fail_next(On::Any, Fault::bad_request());
    let body: Value = serde_json::from_str(UPDATED).expect("JSON");
    let refused = app.tell(Method::PUT, &format!("/agents/{id}"), &body).await;
    refused.refused(400, "refused_by_ultravox");
    let agent = app.ask(Method::GET, &format!("/agents/{id}")).await.json();
    assert_eq!(agent["config"], agent_config(), "it is as it was");
    assert_eq!(agent["status"], "active");
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_whose_making_was_cut_short_is_settled() {
    let app = TestApp::start().await;
    let new = NewAgent {
        id: AgentId::generate(),
        company: CompanyId(1),
        config: AgentConfig {
            name: "Half made".to_owned(),
            prompt: "Hello.".to_owned(),
            voice: "default".to_owned(),
            language: "en".to_owned(),
            template_variables: Default::default(),
        },
        at: Timestamp::now() - SignedDuration::from_mins(5),
    };
    app.app.store().insert_agent(&new).await.expect("stored");
    let path = format!("/agents/{}", new.id);
    let settled = async {
        while app.ask(Method::GET, &path).await.json()["status"] == "creating" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the agent to be settled", settled).await;
    assert_eq!(app.ask(Method::GET, &path).await.json()["status"], "error");
    let mended = app.tell(Method::PUT, &path, &agent_config()).await;
    assert_eq!((mended.status, &mended.json()["status"]), (200, &json!("active")));
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_can_be_disabled_and_enabled() {
    let app = TestApp::start().await;
    let id = app.new_agent(&agent_config()).await;
    let mut body = agent_config();
    body["status"] = json!("inactive");
    let disabled = app.tell(Method::PUT, &format!("/agents/{id}"), &body).await;
    assert_eq!(disabled.json()["status"], "inactive");
    let call = json!({"phone_number": "+12125550123"});
    let refused = app.tell(Method::POST, &format!("/calls/{id}"), &call).await;
    let message = refused.refused(409, "agent_not_active");
    assert!(message.contains("is inactive"), "{message}");
    let unchanged = app.tell(Method::PUT, &format!("/agents/{id}"), &agent_config()).await;
    assert_eq!(unchanged.json()["status"], "inactive", "an update enables nothing by itself");
    body["status"] = json!("active");
    let enabled = app.tell(Method::PUT, &format!("/agents/{id}"), &body).await;
    assert_eq!(enabled.json()["status"], "active");
    body["status"] = json!("creating");
    let wrong = app.tell(Method::PUT, &format!("/agents/{id}"), &body).await;
    wrong.refused(400, "validation_error");
    app.finish().await;
}

#[actix_web::test]
async fn agents_of_another_company_are_not_there() {
    let app = Setup::new().start().await;
    app.add_company(2, &Default::default()).await;
    app.add_key(2, "key-of-company-two").await;
    let id = app.new_agent(&agent_config()).await;
    for method in [Method::GET, Method::DELETE] {
        let request = app.api(method, &format!("/agents/{id}"), "key-of-company-two");
        Answer::to(request).await.refused(404, "agent_not_found");
    }
    let own = app.api(Method::GET, "/agents", "key-of-company-two");
    assert_eq!(Answer::to(own).await.body, "[]");
    let mine = app.api(Method::GET, "/agents", ADMIN_KEY);
    let theirs = Answer::to(mine.header("X-Company-Id", "2")).await;
    assert_eq!(theirs.body, "[]", "an admin key chooses its company");
    app.finish().await;
}
