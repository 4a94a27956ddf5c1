//! What Ultravox is asked, and how its answers and failures are read.

use std::sync::Arc;
use std::time::Duration;

use actors::ids::CallId;
use actors::ports::{AgentCall, AgentSource, FirstSpeaker, NewAgentCall, VendorError, VoiceAgents};
use callspan::clients::{AgentConnector, UltravoxClient};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::server::{
    KEY, Reply, Stub, Witness, closed_port, impatient, reply, settings, ultravox_account,
};

const JOIN_URL: &str = "wss://voice.example/calls/1/server_web_socket?k=j0in-s3cret";

fn client(url: &str) -> UltravoxClient {
    witnessed(url, &Witness::new())
}

fn witnessed(url: &str, witness: &Arc<Witness>) -> UltravoxClient {
    let connector = AgentConnector::new().expect("TLS");
    let observer = Arc::clone(witness);
    UltravoxClient::with_settings(url, observer, settings(), connector).expect("a client")
}

fn new_call(first_speaker: FirstSpeaker) -> NewAgentCall {
    NewAgentCall {
        call_id: CallId::generate(),
        agent: AgentSource::Inline {
            system_prompt: "Be \"kind\".\nÜ".into(),
            model: "fixie-ai/ultravox".into(),
            voice: "terrence".into(),
            first_speaker,
        },
        join_timeout: Duration::from_secs(90),
        max_duration: Duration::from_secs(3600),
        offers_do_not_call: false,
    }
}

fn created() -> Reply {
    reply(201, json!({ "callId": "call-1", "joinUrl": JOIN_URL, "joined": null }).to_string())
}

#[actix_web::test]
async fn an_agent_is_created_with_everything_the_bridge_relies_on() {
    let speakers = [
        (FirstSpeaker::Agent, json!({ "agent": {} })),
        (FirstSpeaker::User, json!({ "user": {} })),
    ];
    for (speaker, settings) in speakers {
        let ultravox = Stub::start([created()]);
        let call = new_call(speaker);

        let agent = client(&ultravox.url).create(&ultravox_account(None), &call).await;

        let agent = agent.expect("an agent");
        assert_eq!(agent.ultravox_call_id, "call-1");
        assert_eq!(agent.join_url.expose_secret(), JOIN_URL);
        assert!(!format!("{agent:?}").contains("s3cret"));
        let seen = ultravox.only();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/calls"));
        assert_eq!(seen.header("x-api-key"), Some(KEY));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        let expected = json!({
            "systemPrompt": "Be \"kind\".\nÜ",
            "model": "fixie-ai/ultravox",
            "voice": "terrence",
            "firstSpeakerSettings": settings,
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
            "metadata": { "callspanCallId": call.call_id.to_string() },
        });
        assert_eq!(seen.json(), expected);
    }
}

#[actix_web::test]
async fn an_agent_may_be_given_the_tool_of_people_who_want_no_calls() {
    let stored = AgentSource::Stored {
        ultravox_agent_id: "agent-1".into(),
        template_context: serde_json::Map::new(),
        first_speaker: None,
    };
    for agent in [new_call(FirstSpeaker::User).agent, stored] {
        let ultravox = Stub::start([created()]);
        let is_stored = matches!(agent, AgentSource::Stored { .. });
        let call = NewAgentCall { agent, offers_do_not_call: true, ..new_call(FirstSpeaker::User) };
        client(&ultravox.url).create(&ultravox_account(None), &call).await.expect("an agent");
        let body = ultravox.only().json();
        let (tools, position) = match is_stored {
            // What a stored agent may do besides is its own business.
            true => (&body["toolOverrides"]["add"], 0),
            false => (&body["selectedTools"], 1),
        };
        let tools = tools.as_array().expect("tools");
        assert_eq!(tools.len(), position + 1, "{body}");
        let tool = &tools[position]["temporaryTool"];
        assert_eq!(tool["modelToolName"], "doNotCall");
        assert_eq!(tool["client"], json!({}));
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[actix_web::test]
async fn a_stored_agent_is_asked_for_by_its_id_with_what_the_call_says_of_itself() {
    let speakers = [
        (None, None),
        (Some(FirstSpeaker::Agent), Some(json!({ "agent": {} }))),
        (Some(FirstSpeaker::User), Some(json!({ "user": {} }))),
    ];
    for (first_speaker, settings) in speakers {
        let ultravox = Stub::start([created()]);
        let context = json!({ "name": "Zoë", "visits": 3, "vip": true, "nothing": null });
        let call = NewAgentCall {
            agent: AgentSource::Stored {
                ultravox_agent_id: "a/../b?c".into(),
                template_context: context.as_object().expect("an object").clone(),
                first_speaker,
            },
            ..new_call(FirstSpeaker::User)
        };
        let agent = client(&ultravox.url).create(&ultravox_account(None), &call).await;
        assert_eq!(agent.expect("an agent").ultravox_call_id, "call-1");
        let seen = ultravox.only();
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.path, "/api/agents/a%2F..%2Fb%3Fc/calls");
        let mut expected = json!({
            "templateContext": context,
            "joinTimeout": "90s",
            "maxDuration": "3600s",
            "medium": { "serverWebSocket": {
                "inputSampleRate": 8000,
                "outputSampleRate": 8000,
                "clientBufferSizeMs": 30000,
                "mediaIdleTimeout": "30s",
                "dataMessages": { "userStartedSpeaking": true, "userStoppedSpeaking": true },
            } },
            "metadata": { "callspanCallId": call.call_id.to_string() },
        });
        if let Some(settings) = settings {
            expected["firstSpeakerSettings"] = settings;
        }
        assert_eq!(seen.json(), expected);
    }
}

#[actix_web::test]
async fn a_companys_own_address_wins_however_it_is_written() {
    let default = Stub::start([created()]);
    let own = Stub::start([created()]);
    let client = client(&default.url);
    for tail in ["", "/", "/api", "/api/", "/api/calls", "/api/calls/"] {
        let account = ultravox_account(Some(&format!("{}{tail}", own.url)));
        let agent = client.create(&account, &new_call(FirstSpeaker::User)).await;
        assert!(agent.is_ok(), "{tail}: {agent:?}");
    }
    assert!(own.seen().iter().all(|seen| seen.path == "/api/calls"), "{:?}", own.seen());
    assert_eq!((own.seen().len(), default.seen().len()), (6, 0));

    let account = ultravox_account(Some("ftp://u:p4ss@x"));
    let error = client.create(&account, &new_call(FirstSpeaker::User)).await.expect_err("bad");
    assert!(matches!(error, VendorError::Unreachable { .. }), "{error:?}");
    assert!(!error.to_string().contains("p4ss"), "{error}");
    let empty = ultravox_account(Some(" "));
    assert!(client.create(&empty, &new_call(FirstSpeaker::User)).await.is_ok());
    assert_eq!(default.seen().len(), 1);
}

#[actix_web::test]
async fn an_agent_that_cannot_be_joined_is_an_error_without_its_url() {
    let cases = [
        json!({ "callId": "call-1" }).to_string(),
        json!({ "callId": "call-1", "joinUrl": null }).to_string(),
        json!({ "callId": "call-1", "joinUrl": "" }).to_string(),
        json!({ "callId": "call-1", "joinUrl": "https://x/s3cret" }).to_string(),
        json!({ "callId": "call-1", "joinUrl": ["s3cret"] }).to_string(),
        json!({ "joinUrl": JOIN_URL }).to_string(),
        "nothing".to_owned(),
    ];
    for body in cases {
        let ultravox = Stub::start([reply(201, body.clone())]);
        let call = new_call(FirstSpeaker::Agent);
        let error = client(&ultravox.url).create(&ultravox_account(None), &call).await;
        let error = error.expect_err(&body);
        assert!(matches!(error, VendorError::OutcomeUnknown { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        ultravox.only();
    }
}

#[actix_web::test]
async fn refusals_carry_ultravoxs_words() {
    let cases = [
        (403, r#"{"detail":"Invalid API key"}"#.to_owned(), "Invalid API key"),
        (
            400,
            r#"{"voice":["No such voice."],"model":["a","b"]}"#.to_owned(),
            "model: a, b; voice: No such voice.",
        ),
        (402, "Payment Required".to_owned(), "Payment Required"),
        (401, format!("key {KEY} is unknown"), "key *** is unknown"),
    ];
    for (code, body, words) in cases {
        let ultravox = Stub::start([reply(code, body)]);
        let call = new_call(FirstSpeaker::Agent);
        let error = client(&ultravox.url).create(&ultravox_account(None), &call).await;
        let Err(VendorError::Refused { status, message, code: None, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((status, message.as_str()), (code, words));
        ultravox.only();
    }
}

#[actix_web::test]
async fn creating_is_tried_again_where_that_helps() {
    let cases: [(&[Reply], bool, usize); 7] = [
        (&[reply(500, ""), created()], true, 2),
        (&[reply(503, ""), created()], true, 2),
        (&[reply(503, "").with("retry-after", "0"), created()], true, 2),
        (&[reply(429, "").with("retry-after", "0"), created()], true, 2),
        (&[reply(500, ""), reply(500, ""), created()], false, 2),
        (&[reply(429, ""), created()], false, 1),
        (&[reply(503, "").with("retry-after", "30"), created()], false, 1),
    ];
    for (replies, created, requests) in cases {
        let ultravox = Stub::start(replies.to_vec());
        let call = new_call(FirstSpeaker::Agent);
        let result = client(&ultravox.url).create(&ultravox_account(None), &call).await;
        assert_eq!(result.is_ok(), created, "{replies:?}: {result:?}");
        assert_eq!(ultravox.seen().len(), requests, "{replies:?}");
    }

    let witness = Witness::new();
    let client = witnessed(&format!("http://127.0.0.1:{}", closed_port()), &witness);
    let error = client.create(&ultravox_account(None), &new_call(FirstSpeaker::Agent)).await;
    assert!(matches!(error, Err(VendorError::Unreachable { .. })), "{error:?}");
    assert_eq!(witness.reports(), ["ultravox create unreachable"; 3]);
}

#[actix_web::test]
async fn a_wait_ultravox_asks_for_is_passed_on() {
    let ultravox = Stub::start([reply(503, "full").with("retry-after", "30")]);
    let call = new_call(FirstSpeaker::Agent);
    let error = client(&ultravox.url).create(&ultravox_account(None), &call).await;
    assert_eq!(error.expect_err("full").busy(), Some(Some(Duration::from_secs(30))));
}

#[actix_web::test]
async fn a_message_is_sent_once_and_unchanged() {
    let message = json!({ "type": "user_text_message", "text": "Hi", "urgency": "soon" });
    let account = ultravox_account(None);

    let ultravox = Stub::start([reply(204, "")]);
    let sent = client(&ultravox.url).send_data_message(&account, "a/../b c", &message).await;
    assert_eq!(sent, Ok(()));
    let seen = ultravox.only();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.json(), message);
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert!(seen.path.starts_with("/api/calls/a"), "{}", seen.path);
    assert!(seen.path.ends_with("/send_data_message"), "{}", seen.path);

    let ultravox = Stub::start([reply(204, "")]);
    let join_url = SecretString::from(JOIN_URL);
    let agent = AgentCall { ultravox_call_id: "call-1".into(), join_url };
    assert_eq!(client(&ultravox.url).tell(&account, &agent, "Hi").await, Ok(()));
    let seen = ultravox.only();
    assert_eq!(seen.path, "/api/calls/call-1/send_data_message");
    let now = json!({ "type": "user_text_message", "text": "Hi", "urgency": "immediate" });
    assert_eq!(seen.json(), now);

    let ultravox = Stub::start([reply(422, r#"{"detail":"Call is not active"}"#)]);
    let error = client(&ultravox.url).send_data_message(&account, "call-1", &message).await;
    assert!(matches!(error, Err(VendorError::Refused { status: 422, .. })), "{error:?}");

    let ultravox = Stub::start([Reply::Silence]);
    let connector = AgentConnector::new().expect("TLS");
    let client =
        UltravoxClient::with_settings(&ultravox.url, Witness::new(), impatient(), connector);
    let client = client.expect("a client");
    let error = client.send_data_message(&account, "call-1", &message).await;
    assert!(matches!(error, Err(VendorError::OutcomeUnknown { .. })), "{error:?}");
    ultravox.only();
}

#[actix_web::test]
async fn calls_and_the_account_are_read() {
    let call = json!({ "callId": "call-1", "joinUrl": JOIN_URL, "joined": "2026-01-01T00:00:00Z",
        "ended": null, "endReason": "abducted", "new": {} });
    let account = json!({ "name": "Me", "activeCalls": 3, "allowedConcurrentCalls": null,
        "hasActiveSubscription": true });
    let ultravox = Stub::start([
        reply(200, call.to_string()),
        reply(404, r#"{"detail":"Not found."}"#),
        reply(500, ""),
        reply(200, account.to_string()),
    ]);
    let client = client(&ultravox.url);
    let company = ultravox_account(None);

    let call = client.get_call(&company, "call-1").await.expect("an answer").expect("a call");
    assert_eq!(call.joined.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!((call.ended, call.end_reason.as_deref()), (None, Some("abducted")));
    assert_eq!(client.get_call(&company, "call-1").await, Ok(None));
    let account = client.account_me(&company).await.expect("an account");
    assert_eq!((account.active_calls, account.allowed_concurrent_calls), (Some(3), None));
    let paths: Vec<_> = ultravox.seen().iter().map(|seen| seen.path.clone()).collect();
    let me = "/api/accounts/me";
    assert_eq!(paths, ["/api/calls/call-1", "/api/calls/call-1", me, me]);
}

#[actix_web::test]
async fn giving_back_an_agent_that_cannot_be_reached_is_no_error() {
    let witness = Witness::new();
    let client = witnessed("http://127.0.0.1:1", &witness);
    for url in [format!("ws://127.0.0.1:{}/s3cret", closed_port()), "s3cret".to_owned()] {
        let join_url = SecretString::from(url);
        client.release(&AgentCall { ultravox_call_id: "call-1".into(), join_url }).await;
    }
    assert_eq!(witness.reports(), ["ultravox release unreachable", "ultravox release broken"]);
}
