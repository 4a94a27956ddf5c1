//! The REST API: what it answers, what it refuses, and what it remembers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn a_created_call_has_every_documented_field() {
    let service = Service::with_script(AgentScript::Silent);
    let body = json!({"metadata": {"callId": "7"}, "maxDuration": "60s", "medium":
        {"serverWebSocket": {"inputSampleRate": 8000}}});
    let (status, call) = service.post("/api/calls?enableGreetingPrompt=false", body.clone()).await;
    assert_eq!(status, 201);
    for field in [
        "agent",
        "agentId",
        "billedDuration",
        "billedSideInputTokens",
        "billedSideOutputTokens",
        "clientVersion",
        "endReason",
        "ended",
        "experimentalSettings",
        "joined",
        "requestContext",
        "shortSummary",
        "sipDetails",
        "summary",
        "voice",
        "vadSettings",
    ] {
        assert_eq!(call.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(call["metadata"], body["metadata"]);
    assert_eq!((&call["joinTimeout"], &call["maxDuration"]), (&json!("30s"), &json!("60s")));
    assert_eq!(service.sim.requests()[0].body, body);
    assert_eq!(service.sim.wait_for_call().await.id(), call["callId"]);
    service.assert_no_violations();
}

#[tokio::test]
async fn keys_are_checked() {
    let service = Service::with_script(AgentScript::Silent);
    let (first, second) = service.sim.api_key().split_once('.').expect("a dot");
    assert_eq!((first.len(), second.len()), (8, 32));
    let url = format!("{}/api/calls", service.sim.api_url());
    let response = service.http.post(url).header("X-API-Key", "wrong").send().await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 403);
    assert_eq!(response.text().await.expect("a body"), r#"{"detail":"Invalid API key"}"#);
}

#[tokio::test]
async fn wrong_requests_are_refused_and_recorded() {
    let service = Service::with_script(AgentScript::Silent);
    for (n, body) in [
        json!({"systemPromt": "typo"}),
        json!({"metadata": {"attempt": 1}}),
        json!({"firstSpeaker": "FIRST_SPEAKER_AGENT", "firstSpeakerSettings": {"agent": {}}}),
        json!({"medium": {"serverWebSocket": {"clientBufferSizeMs": 60}}}),
        json!([]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(service.post("/api/calls", body).await.0, 400);
        assert_eq!(service.sim.violations().len(), n + 1);
    }
    assert_eq!(service.get("/api/callz").await.0, 404);
    assert_eq!(service.get("/api/calls/unknown").await.0, 404);
    assert_eq!(service.sim.violations().len(), 6);
    assert!(service.sim.calls().is_empty());
}

#[tokio::test]
async fn requests_fail_as_they_are_told_to() {
    let service = Service::with_script(AgentScript::Silent);
    for (fault, status) in [
        (Fault::bad_request(), 400),
        (Fault::payment_required(), 402),
        (Fault::forbidden(), 403),
        (Fault::too_many(Some(3)), 429),
        (Fault::unavailable(None), 503),
    ] {
        service.sim.fail_next(On::CreateCall, fault);
        assert_eq!(service.get("/api/calls").await.0, 200);
        assert_eq!(service.post("/api/calls", json!({})).await.0, status);
    }
    service.sim.fail_next(On::Any, Fault::NoJoinUrl);
    let (status, call) = service.post("/api/calls", json!({})).await;
    assert_eq!((status, &call["joinUrl"]), (201, &Value::Null));

    service.sim.fail_always(On::Any, Fault::Garbage);
    assert_eq!(service.get("/api/models").await, (200, Value::Null));
    service.sim.heal();
    assert_eq!(service.get("/api/models").await.1["results"][0]["name"], "ultravox-v0.7");

    service.sim.fail_next(On::CreateCall, Fault::too_many(Some(3)));
    let request = service.http.post(format!("{}/api/calls", service.sim.api_url()));
    let response = request.header("X-API-Key", service.sim.api_key()).send().await;
    assert_eq!(response.expect("an answer").headers()["Retry-After"], "3");
    service.assert_no_violations();
}

#[tokio::test]
async fn a_lost_answer_leaves_a_call_behind() {
    let service = Service::with_script(AgentScript::Silent);
    service.sim.fail_next(On::CreateCall, Fault::AnswerLost);
    let answer = service.post("/api/calls", json!({}));
    let call = tokio::select! {
        answer = answer => panic!("an answer: {answer:?}"),
        call = service.sim.wait_for_call() => call,
    };
    assert_eq!(service.get("/api/calls").await.1["results"][0]["callId"], call.id());
}

#[tokio::test]
async fn a_limit_on_concurrent_calls_is_kept() {
    let options = UltravoxOptions { concurrent_calls: Some(1), ..Default::default() };
    let service = Service::start(options);
    let call = service.call_with(json!({"joinTimeout": "0.05s"})).await;
    assert_eq!(service.post("/api/calls", json!({})).await.0, 429);
    assert_eq!(service.get("/api/accounts/me").await.1["activeCalls"], 1);
    call.wait_until_over().await;
    assert_eq!(service.post("/api/calls", json!({})).await.0, 201);
}

#[tokio::test]
async fn old_calls_are_forgotten_when_there_are_many() {
    let options = UltravoxOptions { keep_calls: 1, ..Default::default() };
    let service = Service::start(options);
    let first = service.call_with(json!({"joinTimeout": "0.01s"})).await;
    first.wait_until_over().await;
    assert_eq!(service.sim.wait_for_call().await.id(), first.id());
    let second = service.call().await;
    assert_eq!(service.sim.wait_for_call().await.id(), second.id());
    assert_eq!(service.sim.calls().len(), 1);
    assert_eq!(service.get(&format!("/api/calls/{}", first.id())).await.0, 404);
    // A call that goes on is not forgotten.
    service.call().await;
    assert_eq!(service.sim.calls().len(), 2);
}

#[tokio::test]
async fn lists_have_pages() {
    let service = Service::with_script(AgentScript::Silent);
    for n in 0..5 {
        service.call_with(json!({"metadata": {"n": n.to_string()}})).await;
    }
    let (_, first) = service.get("/api/calls?pageSize=3&sort=created").await;
    assert_eq!((first["results"].as_array().map(Vec::len), &first["total"]), (Some(3), &json!(5)));
    let next = first["next"].as_str().expect("a next page");
    let path = next.strip_prefix(&service.sim.api_url()).expect("a full URL");
    let (_, second) = service.get(path).await;
    assert_eq!(second["results"][1]["metadata"]["n"], "4");
    assert_eq!((&second["next"], second["previous"].is_string()), (&Value::Null, true));
    let (_, found) = service.get("/api/calls?metadata.n=3").await;
    assert_eq!(found["total"], 1);
}

#[tokio::test]
async fn data_messages_reach_a_joined_call_only() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call().await;
    let path = format!("/api/calls/{}/send_data_message", call.id());
    let hang_up = json!({"type": "hang_up"});
    assert_eq!(service.post(&path, hang_up.clone()).await.0, 422);
    let mut joined = Joined::to(&call).await;
    call.wait_joined().await;
    assert_eq!(service.post(&path, json!({"type": "ping", "timestamp": 1})).await.0, 400);
    assert_eq!(service.post(&path, hang_up.clone()).await.0, 204);
    assert_eq!(joined.until_closed().await.1, 1000);
    assert_eq!(call.wait_until_over().await, EndReason::AgentHangup);
    assert_eq!(service.post(&path, hang_up).await.0, 422);

    let path = format!("/api/calls/{}", call.id());
    assert_eq!(service.send("DELETE", &path, None).await.0, 204);
    assert_eq!(service.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_continuation_inherits_what_it_is_not_given() {
    let lines = [Line::tone(Tone::LOW, 100), Line::tone(Tone::HIGH, 100)];
    let service = Service::with_script(AgentScript::conversation(lines));
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    call.wait_for_transcript(1).await;
    joined.0.close(None).await.expect("a close");
    call.wait_until_over().await;

    let path = format!("/api/calls?priorCallId={}", call.id());
    assert_eq!(service.post(&path, json!({"initialMessages": []})).await.0, 400);
    let (status, json) = service.post(&path, json!({"temperature": 0.5})).await;
    assert_eq!((status, &json["systemPrompt"]), (201, &json!("Be brief.")));
    let next = service.sim.call(json["callId"].as_str().expect("an id")).expect("the call");
    assert_eq!(next.prior_call_id(), Some(call.id()));
    let mut joined = Joined::to(&next).await;
    let (messages, _) = joined.until_closed().await;
    assert_eq!(audio_of(&messages), Line::tone(Tone::HIGH, 100).pcm);
    let (_, history) = service.get(&format!("/api/calls/{}/messages", next.id())).await;
    assert_eq!(history["results"][0]["text"], "a tone of 400 Hz");
    assert_eq!(history["total"], 2);
}

#[tokio::test]
async fn agents_are_kept_and_called() {
    let service = Service::with_script(AgentScript::Silent);
    let template = json!({"systemPrompt": "Greet {{name}}.", "medium":
        {"serverWebSocket": {"inputSampleRate": 8000}}});
    let body = json!({"name": "greeter", "callTemplate": template});
    let (status, agent) = service.post("/api/agents", body).await;
    assert_eq!(status, 201, "{agent}");
    let path = format!("/api/agents/{}", agent["agentId"].as_str().expect("an id"));

    let calls = format!("{path}/calls");
    assert_eq!(service.post(&calls, json!({})).await.0, 400);
    service.assert_no_violations();
    let context = json!({"templateContext": {"name": "Jo"}});
    let (status, call) = service.post(&calls, context).await;
    assert_eq!((status, &call["systemPrompt"]), (201, &json!("Greet Jo.")));
    assert_eq!(call["agent"]["name"], "greeter");
    assert_eq!(service.get(&calls).await.1["total"], 1);

    let wrong = json!({"templateContext": {"name": "Jo"}, "systemPrompt": "mine"});
    assert_eq!(service.post(&calls, wrong).await.0, 400);
    assert_eq!(service.sim.violations().len(), 1);

    let (_, changed) = service.send("PATCH", &path, Some(json!({"name": "host"}))).await;
    assert_eq!((&changed["name"], &changed["statistics"]["calls"]), (&json!("host"), &json!(1)));
    assert_eq!(service.get("/api/agents?search=HOST").await.1["total"], 1);
    assert_eq!(service.send("DELETE", &path, None).await.0, 204);
    assert_eq!(service.get(&path).await.0, 404);
}

#[tokio::test]
async fn webhooks_are_delivered_until_they_are_accepted() {
    let webhook_retry = Duration::from_millis(1);
    let script = AgentScript::Silent;
    let options = UltravoxOptions { webhook_retry, ..UltravoxOptions::with_script(script) };
    let service = Service::start(options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let receiver = tokio::spawn(async move {
        let mut requests = Vec::new();
        for status in ["500 Oops", "204 No Content", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.expect("a delivery");
            requests.push(read_request(&mut stream).await);
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("an open connection");
        }
        requests
    });
    let secrets = vec!["first secret".to_owned(), "second secret".to_owned()];
    service.sim.set_webhook(Some(Webhook { url: url.clone(), secrets }));
    let call = service.call_with(json!({"joinTimeout": "0.2s"})).await;
    service.sim.wait_for_delivery("call.ended", call.id()).await;

    let requests = receiver.await.expect("three deliveries");
    assert!(requests[0].contains(r#""event":"call.started""#), "{}", requests[0]);
    assert!(requests[2].contains(r#""endReason":"unjoined""#), "{}", requests[2]);
    let signed = requests[0].lines().find(|line| line.starts_with("x-ultravox-webhook-signature"));
    assert_eq!(signed.map(str::len), Some("x-ultravox-webhook-signature: ".len() + 64 + 1 + 64));
    let statuses: Vec<_> = service.sim.deliveries().iter().map(|d| d.status).collect();
    assert_eq!(statuses, [Some(500), Some(204), Some(204)]);
}

/// One HTTP request, its body as long as it says.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.expect("an open connection");
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| length.parse() == Ok(body.len())) {
                return text.into_owned();
            }
        }
    }
}
