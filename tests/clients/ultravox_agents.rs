//! Agents that Ultravox keeps: what it is asked, how often, and how its answers are read. Once with
//! a scripted server, and once with the simulated Ultravox, which checks every field.

use std::sync::Arc;
use std::time::Duration;

use actors::ids::CallId;
use actors::ports::{AgentSource, FirstSpeaker, NewAgentCall, VendorError, VoiceAgents};
use callspan::clients::ultravox::agents::AgentTemplate;
use callspan::clients::{AgentConnector, HttpSettings, UltravoxClient};
use loadtest::ultravox::{AgentScript, SimUltravox, UltravoxOptions};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::server::{
    KEY, Reply, Stub, Witness, closed_port, impatient, reply, settings, ultravox_account,
};

const NAME: &str = "callspan-0197";

fn client_with(url: &str, witness: &Arc<Witness>, settings: HttpSettings) -> UltravoxClient {
    let connector = AgentConnector::new().expect("TLS");
    let client = UltravoxClient::with_settings(url, witness.clone(), settings, connector);
    client.expect("a client")
}

fn client(url: &str) -> UltravoxClient {
    client_with(url, &Witness::new(), settings())
}

fn template() -> AgentTemplate {
    AgentTemplate {
        name: NAME.into(),
        system_prompt: "Greet {{name}}.".into(),
        voice: Some("terrence".into()),
        language: Some("en-US".into()),
        model: "fixie-ai/ultravox".into(),
        first_speaker: FirstSpeaker::Agent,
        join_timeout: Duration::from_secs(90),
        max_duration: Duration::from_secs(3_600),
    }
}

fn created() -> Reply {
    reply(201, json!({ "agentId": "agent-1", "name": NAME, "new": {} }).to_string())
}

fn page(names: &[(&str, &str)], next: Value) -> Reply {
    let results: Vec<Value> =
        names.iter().map(|(id, name)| json!({ "agentId": id, "name": name })).collect();
    reply(200, json!({ "results": results, "next": next, "previous": null }).to_string())
}

#[actix_web::test]
async fn an_agent_is_created_with_all_that_is_known_of_it() {
    let ultravox = Stub::start([created()]);
    let id = client(&ultravox.url).create_agent(&ultravox_account(None), &template()).await;
    assert_eq!(id.as_deref(), Ok("agent-1"));
    let seen = ultravox.only();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/agents"));
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    let expected = json!({
        "name": NAME,
        "callTemplate": {
            "systemPrompt": "Greet {{name}}.",
            "voice": "terrence",
            "languageHint": "en-US",
            "model": "fixie-ai/ultravox",
            "firstSpeakerSettings": { "agent": {} },
            "joinTimeout": "90s",
            "maxDuration": "3600s",
            "medium": { "serverWebSocket": {
                "inputSampleRate": 8000,
                "outputSampleRate": 8000,
                "clientBufferSizeMs": 30000,
                "mediaIdleTimeout": "30s",
                "dataMessages": { "userStartedSpeaking": true, "userStoppedSpeaking": true },
            } },
            "selectedTools": [{ "toolName": "hangUp" }],
            "recordingEnabled": false,
            "contextSchema": { "type": "object" },
        },
    });
    assert_eq!(seen.json(), expected);
}

#[actix_web::test]
async fn what_an_agent_does_not_have_is_left_out() {
    let ultravox = Stub::start([reply(200, created_body())]);
    let bare = AgentTemplate { voice: None, language: None, ..template() };
    let account = ultravox_account(None);
    assert_eq!(client(&ultravox.url).update_agent(&account, "a/../b", &bare).await, Ok(()));
    let seen = ultravox.only();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("PATCH", "/api/agents/a%2F..%2Fb"));
    let body = seen.json();
    let fields = body["callTemplate"].as_object().expect("a template");
    assert!(!fields.contains_key("voice") && !fields.contains_key("languageHint"), "{body}");
}

fn created_body() -> String {
    json!({ "agentId": "agent-1", "name": NAME }).to_string()
}

#[actix_web::test]
async fn an_agent_is_never_created_twice() {
    let account = ultravox_account(None);
    let unknown = [
        reply(200, "nothing"),
        reply(201, "{}"),
        reply(201, json!({ "agentId": 7 }).to_string()),
        Reply::Silence,
    ];
    for answer in unknown {
        let ultravox = Stub::start([answer.clone(), created()]);
        let client = client_with(&ultravox.url, &Witness::new(), impatient());
        let error = client.create_agent(&account, &template()).await;
        assert!(matches!(error, Err(VendorError::OutcomeUnknown { .. })), "{answer:?}: {error:?}");
        ultravox.only();
    }
    for (status, may_exist) in [(500, true), (503, false), (429, false), (400, false)] {
        let ultravox = Stub::start([reply(status, ""), created()]);
        let error = client(&ultravox.url).create_agent(&account, &template()).await;
        let error = error.expect_err("a failure");
        let unknown = matches!(error, VendorError::OutcomeUnknown { .. });
        assert_eq!(unknown, may_exist, "{status}: {error:?}");
        ultravox.only();
    }
    // What never left may be sent again.
    let witness = Witness::new();
    let url = format!("http://127.0.0.1:{}", closed_port());
    let error = client_with(&url, &witness, settings()).create_agent(&account, &template()).await;
    assert!(matches!(error, Err(VendorError::Unreachable { .. })), "{error:?}");
    assert_eq!(witness.reports(), ["ultravox create_agent unreachable"; 3]);
}

#[actix_web::test]
async fn changing_and_deleting_are_tried_again() {
    let account = ultravox_account(None);
    let ultravox = Stub::start([reply(500, ""), reply(200, created_body())]);
    let changed = client(&ultravox.url).update_agent(&account, "agent-1", &template()).await;
    assert_eq!((changed, ultravox.seen().len()), (Ok(()), 2));

    let ultravox = Stub::start([reply(503, ""), reply(204, "")]);
    let deleted = client(&ultravox.url).delete_agent(&account, "agent-1").await;
    assert_eq!((deleted, ultravox.seen().len()), (Ok(()), 2));
    assert!(ultravox.seen().iter().all(|seen| seen.method == "DELETE"));
}

#[actix_web::test]
async fn an_agent_that_is_gone_is_deleted_but_cannot_be_changed() {
    let account = ultravox_account(None);
    let ultravox = Stub::start([reply(404, r#"{"detail":"Not found."}"#)]);
    let client = client(&ultravox.url);
    assert_eq!(client.delete_agent(&account, "agent-1").await, Ok(()));
    let error = client.update_agent(&account, "agent-1", &template()).await;
    assert!(matches!(error, Err(VendorError::Refused { status: 404, .. })), "{error:?}");
}

#[actix_web::test]
async fn an_agent_is_found_by_its_whole_name_on_whichever_page() {
    let account = ultravox_account(None);
    let first = [("agent-1", "callspan-01978"), ("agent-2", "CALLSPAN-0197")];
    let next = json!("https://evil.example/api/agents?cursor=c%2B1&pageSize=9");
    let ultravox = Stub::start([page(&first, next), page(&[("agent-3", NAME)], Value::Null)]);
    let found = client(&ultravox.url).find_agent(&account, NAME).await;
    assert_eq!(found, Ok(Some("agent-3".into())));
    let asked = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    let seen = ultravox.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.method == "GET" && seen.path == "/api/agents"));
    assert_eq!(seen[0].query, asked(&[("search", NAME), ("pageSize", "100")]));
    let with_cursor = [("search", NAME), ("pageSize", "100"), ("cursor", "c+1")];
    assert_eq!(seen[1].query, asked(&with_cursor));
}

#[actix_web::test]
async fn an_agent_that_is_not_there_is_not_found_however_many_pages_there_are() {
    let account = ultravox_account(None);
    for next in [Value::Null, json!("not a url"), json!("https://x/?page=2")] {
        let ultravox = Stub::start([page(&[("agent-1", "another")], next)]);
        assert_eq!(client(&ultravox.url).find_agent(&account, NAME).await, Ok(None));
        ultravox.only();
    }
    let endless = Stub::start([page(&[], json!("https://x/?cursor=1"))]);
    assert_eq!(client(&endless.url).find_agent(&account, NAME).await, Ok(None));
    assert_eq!(endless.seen().len(), 10);
}

#[actix_web::test]
async fn ultravox_takes_all_that_it_is_told_of_an_agent() {
    let sim = SimUltravox::start(UltravoxOptions::with_script(AgentScript::Manual));
    let sim = sim.expect("a simulated Ultravox");
    let client = client(&sim.api_url());
    let mut account = ultravox_account(None);
    account.api_key = SecretString::from(sim.api_key());

    let id = client.create_agent(&account, &template()).await.expect("an agent");
    assert_eq!(client.find_agent(&account, NAME).await, Ok(Some(id.clone())));
    let twice = client.create_agent(&account, &template()).await;
    assert!(matches!(twice, Err(VendorError::Refused { status: 400, .. })), "{twice:?}");
    let changed = AgentTemplate { voice: None, language: None, ..template() };
    assert_eq!(client.update_agent(&account, &id, &changed).await, Ok(()));

    let context = json!({ "name": { "first": "Zoë" }, "count": 3 });
    let call = NewAgentCall {
        call_id: CallId::generate(),
        agent: AgentSource::Stored {
            ultravox_agent_id: id.clone(),
            template_context: context.as_object().expect("an object").clone(),
            first_speaker: Some(FirstSpeaker::User),
        },
        join_timeout: Duration::from_secs(90),
        max_duration: Duration::from_secs(3_600),
        offers_do_not_call: true,
    };
    let agent = client.create(&account, &call).await.expect("an agent for the call");
    client.release(&agent).await;

    assert_eq!(client.delete_agent(&account, &id).await, Ok(()));
    assert_eq!(client.delete_agent(&account, &id).await, Ok(()));
    assert_eq!(client.find_agent(&account, NAME).await, Ok(None));
    assert!(sim.violations().is_empty(), "{:?}", sim.violations());
    sim.shutdown();
}
