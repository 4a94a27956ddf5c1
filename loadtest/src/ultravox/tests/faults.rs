//! How a simulated Ultravox fails when it is told to.

use super::*;

async fn close_code(url: &str) -> u16 {
    Joined::at(url).await.until_closed().await.1
}

async fn refused_with(url: &str) -> u16 {
    match connect_async(url).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_socket_is_closed_with_any_code() {
    let service = Service::with_script(AgentScript::Manual);
    for code in [1000, 1008, 1011, 4403, 4404, 4598] {
        let call = service.call().await;
        let mut joined = Joined::to(&call).await;
        call.close(code, "because");
        assert_eq!(joined.until_closed().await.1, code);
        let expected = if code == 1000 { EndReason::AgentHangup } else { EndReason::SystemError };
        assert_eq!(call.wait_until_over().await, expected);
    }
}

#[tokio::test]
async fn a_connection_is_reset() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    call.reset();
    let error = loop {
        match joined.next().await {
            Ok(Message::Close(_)) => panic!("a close in the place of a reset"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let reset = |error: &Error| match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        Error::Protocol(problem) => problem.to_string().contains("without closing handshake"),
        _ => false,
    };
    assert!(reset(&error), "{error}");
    assert_eq!(call.wait_until_over().await, EndReason::ConnectionError);
}

#[tokio::test]
async fn a_call_is_joined_only_once() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call().await;
    let _first = Joined::to(&call).await;
    assert_eq!(close_code(call.join_url()).await, 4409);
    assert_eq!(service.sim.violations().len(), 1);
}

#[tokio::test]
async fn unknown_calls_cannot_be_joined() {
    let service = Service::with_script(AgentScript::Silent);
    let url = format!("ws://{}/calls/nobody/server_web_socket", service.sim.join_address());
    assert_eq!(close_code(&url).await, 4404);

    let options = UltravoxOptions { unknown_call: UnknownCall::Http404, ..Default::default() };
    let service = Service::start(options);
    let url = format!("ws://{}/calls/nobody/server_web_socket", service.sim.join_address());
    assert_eq!(refused_with(&url).await, 404);
}

#[tokio::test]
async fn a_call_nobody_joins_ends_unjoined() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call_with(json!({"joinTimeout": "0.05s"})).await;
    assert_eq!(call.wait_until_over().await, EndReason::Unjoined);
    let (_, json) = service.get(&format!("/api/calls/{}", call.id())).await;
    assert_eq!(json["endReason"], "unjoined");
    assert_eq!(close_code(call.join_url()).await, 4404);
}

#[tokio::test]
async fn joining_fails_as_it_is_told_to() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call().await;
    service.sim.fail_next_join(JoinFault::Refuse(503));
    service.sim.fail_next_join(JoinFault::Close(1008));
    service.sim.fail_next_join(JoinFault::Reset);
    service.sim.fail_next_join(JoinFault::Slow(Duration::from_millis(10)));
    assert_eq!(refused_with(call.join_url()).await, 503);
    assert_eq!(close_code(call.join_url()).await, 1008);
    assert!(connect_async(call.join_url()).await.is_err());
    Joined::to(&call).await;
    service.assert_no_violations();
}

#[tokio::test]
async fn a_deaf_agent_still_talks_and_later_hears_everything() {
    let service = Service::with_script(AgentScript::Manual);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    call.stop_reading(Duration::from_millis(200));
    call.say(vec![0; 3_200]);
    joined.next_audio(3_200).await;
    joined.speak(&[0; 1_600]).await;
    call.wait_for_audio_ms(200).await;
}

#[tokio::test]
async fn nothing_is_left_running_after_a_shutdown() {
    let service = Service::with_script(AgentScript::Silent);
    let call = service.call().await;
    let mut joined = Joined::to(&call).await;
    service.sim.shutdown();
    assert_eq!(service.sim.live_sockets(), 0);
    assert_eq!(call.end_reason(), Some(EndReason::ConnectionError));
    while joined.next().await.is_ok() {}
    // The port may be somebody else's by now, whose key is another.
    let url = format!("{}/api/calls", service.sim.api_url());
    let answer = service.http.get(url).header("X-API-Key", service.sim.api_key()).send().await;
    assert!(answer.map_or(true, |answer| answer.status() == 403));
    assert_eq!(service.sim.requests().len(), 1);
}
