//! Calls by agent: dialled, listed, looked at, ended, spoken into.

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use loadtest::ultravox::AgentScript;
use reqwest::Method;
use serde_json::{Value, json};

use super::{agent_config, text};
use crate::harness::requests::Answer;
use crate::harness::{CALLEE, Setup, TestApp, soon};
use actors::call::{CallEvent, EndReason};

/// The prompt of an agent that needs what the document's example of a call gives.
const PROMPT: &str = "Help {{customer_name}} with order {{order_id}} of {{company_name}}.";

fn documented_request(agent: &str) -> Value {
    json!({
        "phone_number": "+1234567890",
        "template_context": {
            "customer_name": "John Doe",
            "order_id": "ORD-12345",
            "issue_type": "billing"
        },
        "agent_id": agent
    })
}

async fn busy_app() -> (TestApp, String) {
    let app = Setup::new().agents(AgentScript::Manual).start().await;
    let mut config = agent_config();
    config["prompt"] = json!(PROMPT);
    let agent = app.new_agent(&config).await;
    (app, agent)
}

#[actix_web::test]
async fn the_documented_example_works_to_the_byte() {
    let (app, agent) = busy_app().await;
    let answer =
        app.tell(Method::POST, &format!("/calls/{agent}"), &documented_request(&agent)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    let phone = soon("the call", app.twilio.wait_for_call("+1234567890")).await;
    let ultravox = soon("the agent", app.ultravox.wait_for_call()).await;
    let created = text(&json["created_at"]);
    super::assert_is_time(created);
    let expected = format!(
        r#"{{"call_sid":"{}","join_url":"{}","status":"initiated","created_at":"{created}","agent_id":"{agent}","phone_number":"+1234567890"}}"#,
        phone.sid(),
        ultravox.join_url(),
    );
    assert_eq!(answer.body, expected);

    assert!(ultravox.agent_id().is_some(), "it is a call of the agent that Ultravox keeps");
    let said = "Help John Doe with order ORD-12345 of Acme Corp.";
    assert_eq!(ultravox.request()["systemPrompt"], said, "with defaults and context filled in");
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    app.ended(&phone, EndReason::PhoneHungUp).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_call_can_be_looked_at_from_first_to_last() {
    let (app, agent) = busy_app().await;
    let answer =
        app.tell(Method::POST, &format!("/calls/{agent}"), &documented_request(&agent)).await;
    let json = answer.json();
    let sid = text(&json["call_sid"]);
    let first = app.ask(Method::GET, &format!("/calls/{sid}")).await;
    assert_eq!(first.status, 200, "at once: {first:?}");
    let phone = soon("the call", app.twilio.wait_for_call("+1234567890")).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    let ultravox = soon("the agent", app.ultravox.wait_for_call()).await;
    soon("the agent", ultravox.wait_joined()).await;
    // A call may be over before its stream was looked at, and then tells of none.
    soon("the stream on the timeline", async {
        let is_started = |event: &CallEvent| matches!(event, CallEvent::StreamStarted { .. });
        while !app.timeline(&phone).await.iter().any(is_started) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    phone.hang_up();
    app.ended(&phone, EndReason::PhoneHungUp).await;

    let call = app.ask(Method::GET, &format!("/calls/{sid}")).await.json();
    assert_eq!((text(&call["status"]), text(&call["end_reason"])), ("completed", "phone_hung_up"));
    assert_eq!((text(&call["direction"]), text(&call["agent_id"])), ("outbound", agent.as_str()));
    assert_eq!((text(&call["phone_number"]), text(&call["call_sid"])), ("+1234567890", sid));
    assert!(call["duration_seconds"].as_f64().expect("a number") >= 0.0, "{call}");
    let by_our_id = app.ask(Method::GET, &format!("/calls/{}", text(&call["id"]))).await;
    assert_eq!(by_our_id.json(), call);

    let timeline = app.ask(Method::GET, &format!("/calls/{sid}/timeline")).await.json();
    let events = timeline["events"].as_array().expect("a list");
    let kinds: Vec<&str> = events.iter().map(|event| text(&event["kind"])).collect();
    for kind in ["initiated", "agent_ready", "placed", "answered", "stream_started", "ended"] {
        assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
    }
    let seqs: Vec<i64> = events.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=i64::try_from(events.len()).expect("few")).collect::<Vec<_>>());
    let transcript = app.ask(Method::GET, &format!("/calls/{sid}/transcript")).await;
    assert_eq!(transcript.json()["transcript"], json!([]));
    app.finish().await;
}

#[actix_web::test]
async fn lists_are_filtered_and_paged() {
    let behaviour = PhoneBehaviour::ends_in(PhoneOutcome::Busy);
    let app = Setup::new().phones(behaviour).start().await;
    let agent = app.new_agent(&agent_config()).await;
    for n in 0..5 {
        let body = json!({"phone_number": format!("+1212555000{n}")});
        let dialled = app.tell(Method::POST, &format!("/calls/{agent}"), &body).await;
        assert_eq!(dialled.status, 201, "{dialled:?}");
    }
    assert_eq!(app.call(CALLEE).await.status, 200);
    app.quiet().await;
    assert!(app.app.flush(crate::harness::LIMIT).await, "the journal is not written");

    let numbers = async |query: &str| -> Vec<String> {
        let page = app.ask(Method::GET, &format!("/calls{query}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        let calls = page["calls"].as_array().expect("a list");
        calls.iter().map(|call| text(&call["phone_number"]).to_owned()).collect()
    };
    let of_agent: Vec<String> = (0..5).rev().map(|n| format!("+1212555000{n}")).collect();
    assert_eq!(numbers("").await[0], CALLEE, "newest first");
    assert_eq!(numbers(&format!("?agent_id={agent}")).await, of_agent);
    assert_eq!(numbers("?phone_number=%2B12125550003").await, ["+12125550003"]);
    assert_eq!(numbers("?status=busy&direction=outbound").await.len(), 6);
    assert_eq!(numbers("?status=completed").await.len(), 0);
    assert_eq!(numbers("?direction=inbound").await.len(), 0);
    assert_eq!(numbers("?created_after=2100-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(numbers("?created_before=2100-01-01T00:00:00Z").await.len(), 6);

    let mut walked = Vec::new();
    let mut query = format!("?agent_id={agent}&limit=2");
    loop {
        let page = app.ask(Method::GET, &format!("/calls{query}")).await.json();
        let calls = page["calls"].as_array().expect("a list");
        walked.extend(calls.iter().map(|call| text(&call["phone_number"]).to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?agent_id={agent}&limit=2&cursor={cursor}");
    }
    assert_eq!(walked, of_agent, "page by page, each once");
    for bad in ["status=x", "direction=up", "limit=1001", "cursor=!", "created_after=now"] {
        app.ask(Method::GET, &format!("/calls?{bad}")).await.refused(400, "validation_error");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_breaks_the_rules_is_not_dialled() {
    let (app, agent) = busy_app().await;
    let path = format!("/calls/{agent}");
    let cases = [
        (json!({}), "phone_number is required"),
        (json!({"phone_number": 7}), "phone_number must be a string"),
        (json!({"phone_number": "+1"}), "phone_number must be 8 to 18 characters"),
        (json!({"phone_number": "+123456789012345678"}), "this one has 19"),
        (json!({"phone_number": "+1212555CALL"}), "phone_number must have digits only"),
        (json!({"phone_number": CALLEE, "agent_id": "another"}), "agent_id must be the agent"),
        (json!({"phone_number": CALLEE, "template_context": []}), "template_context must be an"),
        (
            json!({"phone_number": CALLEE, "template_context": {"call_id": 1}}),
            "has the key 'call_id', which is reserved",
        ),
        (
            json!({"phone_number": CALLEE, "template_context": {"order_id": 7}}),
            "template_context must give what the agent's prompt needs: customer_name",
        ),
    ];
    for (body, expected) in cases {
        let answer = app.tell(Method::POST, &path, &body).await;
        let message = answer.refused(400, "validation_error");
        assert!(message.contains(expected), "{body}: {message}");
    }
    let body = documented_request("agent_none");
    let unknown = app.tell(Method::POST, "/calls/agent_none", &body).await;
    unknown.refused(404, "agent_not_found");
    let odd = app.tell(Method::POST, "/calls/a%20b", &documented_request("a")).await;
    odd.refused(400, "validation_error");
    assert!(app.twilio.requests().is_empty(), "nobody was called");
    app.finish().await;
}

#[actix_web::test]
async fn a_number_that_keeps_the_rule_is_for_twilio_to_judge() {
    let app = TestApp::start().await;
    let agent = app.new_agent(&agent_config()).await;
    let body = json!({"phone_number": "+0987654321"});
    let answer = app.tell(Method::POST, &format!("/calls/{agent}"), &body).await;
    let message = answer.refused(400, "refused_by_twilio");
    assert!(message.contains("+0987654321, is not valid"), "{message}");
    let body = json!({"companyId": 1, "destinationNumber": "+0987654321"});
    let (status, answer) = app.initiate(&body).await;
    assert_eq!(status, 400, "{answer}");
    app.quiet().await;
    assert!(app.app.flush(crate::harness::LIMIT).await, "the journal is not written");
    let calls = app.ask(Method::GET, "/calls?status=failed").await.json();
    assert_eq!(calls["calls"].as_array().map(Vec::len), Some(2), "both are remembered: {calls}");
    app.finish().await;
}

#[actix_web::test]
async fn a_call_is_hung_up_by_request() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let path = format!("/calls/{}/hangup", call.phone.sid());
    let answer = app.ask(Method::POST, &path).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    app.ended(&call.phone, EndReason::HungUp).await;
    let again = app.ask(Method::POST, &path).await;
    assert_eq!((again.status, &again.json()["status"]), (200, &json!("completed")));
    app.finish().await;
}

#[actix_web::test]
async fn an_agent_is_told_something_in_mid_call() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let path = format!("/calls/{}/message", call.phone.sid());
    let body = json!({"text": "The delivery is due tomorrow.", "urgency": "immediate"});
    let told = app.tell(Method::POST, &path, &body).await;
    assert_eq!((told.status, told.body.as_str()), (204, ""), "{told:?}");
    let requests = app.ultravox.requests();
    let sent = requests.iter().find(|request| request.path.ends_with("/send_data_message"));
    let mut expected = body.clone();
    expected["type"] = json!("user_text_message");
    assert_eq!(sent.expect("a message").body, expected);
    for (bad, why) in [
        (json!({}), "text is required"),
        (json!({"text": ""}), "text must have 1 to 10000 characters"),
        (json!({"text": "x", "urgency": "now"}), "urgency must be"),
    ] {
        let message = app.tell(Method::POST, &path, &bad).await.refused(400, "validation_error");
        assert!(message.starts_with(why), "{message}");
    }
    app.hang_up(&call).await;
    app.tell(Method::POST, &path, &body).await.refused(409, "call_not_in_progress");
    app.finish().await;
}

#[actix_web::test]
async fn calls_of_another_company_are_not_there() {
    let app = Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await;
    app.add_company(2, &Default::default()).await;
    app.add_key(2, "key-of-company-two").await;
    let phone = app.place_call(CALLEE).await;
    app.quiet().await;
    let sid = phone.sid();
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/timeline"),
        (Method::GET, "/transcript"),
        (Method::POST, "/hangup"),
    ] {
        let request = app.api(method, &format!("/calls/{sid}{tail}"), "key-of-company-two");
        Answer::to(request).await.refused(404, "call_not_found");
    }
    let list = Answer::to(app.api(Method::GET, "/calls", "key-of-company-two")).await;
    assert_eq!(list.json(), json!({"calls": [], "next_cursor": null}));
    let chosen = app.api(Method::GET, "/calls", "key-of-company-two").header("X-Company-Id", "1");
    Answer::to(chosen).await.refused(404, "company_not_found");
    app.finish().await;
}
