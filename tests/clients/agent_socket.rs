//! Joining agents: over TCP and TLS, and with servers that refuse, hang, break and babble.

use std::sync::Arc;
use std::time::Duration;

use actors::ports::{AgentCall, VoiceAgents};
use callspan::clients::{
    AgentConnector, AgentSocketError, UltravoxClient, agent_socket, client_config,
};
use futures_util::{SinkExt, StreamExt};
use loadtest::tls::Authority;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{accept_async, accept_hdr_async};

use crate::server::{PATIENT, Raw, RawServer, Witness, closed_port, settings};

const SECRET: &str = "j0in-s3cret";

fn url(scheme: &str, address: &str) -> SecretString {
    SecretString::from(format!("{scheme}://{address}/calls/{SECRET}?k={SECRET}"))
}

fn patient() -> AgentConnector {
    AgentConnector::new().expect("TLS").with_timeouts(PATIENT, PATIENT)
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[actix_web::test]
async fn the_join_url_is_used_as_it_is_with_our_version_added() {
    let (listener, address) = listener().await;
    let (tell, told) = oneshot::channel();
    actix_web::rt::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut tell = Some(tell);
        #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let look = |request: &Request, response: Response| {
            let seen = (request.uri().to_string(), request.headers().clone());
            tell.take().expect("asked once").send(seen).expect("the test waits");
            Ok(response)
        };
        accept_hdr_async(stream, look).await.expect("an upgrade")
    });

    agent_socket::connect(&url("ws", &address), "callspan/1").await.expect("joined");

    let (target, headers) = told.await.expect("a request");
    assert_eq!(target, format!("/calls/{SECRET}?k={SECRET}&clientVersion=callspan%2F1"));
    assert!(!headers.contains_key("sec-websocket-extensions"), "{headers:?}");
    assert!(!headers.contains_key("sec-websocket-protocol"), "{headers:?}");
}

#[actix_web::test]
async fn a_server_that_will_not_join_us_says_so() {
    let raw = |text: &str| Raw::Bytes(text.as_bytes().to_vec());
    for status in [401, 403, 404, 500] {
        let server =
            RawServer::start(raw(&format!("HTTP/1.1 {status} no\r\nContent-Length: 0\r\n\r\n")))
                .await;
        let error = patient().connect(&url("ws", &server.address), "v").await;
        assert_eq!(error.map(drop), Err(AgentSocketError::Refused { status }));
    }
    let accept_wrong = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
    for behaviour in [raw("garbage\r\n\r\n"), raw(""), raw(accept_wrong), Raw::Reset] {
        let server = RawServer::start(behaviour.clone()).await;
        let error = patient().connect(&url("ws", &server.address), "v").await;
        let error = error.map(drop).expect_err("no upgrade");
        assert!(matches!(error, AgentSocketError::Protocol(_)), "{behaviour:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
        assert_eq!(server.connections(), 1);
    }
    let server = RawServer::start(Raw::Silence).await;
    let hasty = patient().with_timeouts(PATIENT, Duration::from_millis(300));
    let error = hasty.connect(&url("ws", &server.address), "v").await;
    assert_eq!(error.map(drop), Err(AgentSocketError::Timeout));
}

#[actix_web::test]
async fn a_server_whose_answer_has_no_end_is_given_up() {
    let endless = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "x".repeat(20_000));
    let server = RawServer::start(Raw::Bytes(endless.into_bytes())).await;
    let error = patient().connect(&url("ws", &server.address), "v").await;
    let error = error.map(drop).expect_err("no upgrade");
    assert!(matches!(error, AgentSocketError::Protocol(_)), "{error:?}");
}

#[actix_web::test]
async fn a_server_that_is_not_there_may_be_tried_again() {
    let nobody = format!("127.0.0.1:{}", closed_port());
    for (scheme, address) in
        [("ws", nobody.as_str()), ("wss", &nobody), ("wss", "callspan.invalid")]
    {
        let error = patient().connect(&url(scheme, address), "v").await;
        let error = error.map(drop).expect_err("nobody there");
        assert!(matches!(error, AgentSocketError::Unreachable(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
}

#[actix_web::test]
async fn tls_is_checked_before_anything_is_sent() {
    let authority = Authority::new().expect("an authority");
    let acceptor = TlsAcceptor::from(authority.peers().expect("a certificate").server());
    let (listener, address) = listener().await;
    let address = address.replace("127.0.0.1", "localhost");
    actix_web::rt::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            actix_web::rt::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut agent = accept_async(stream).await.expect("an upgrade");
                agent.send(Message::binary(vec![1, 2, 3])).await.expect("sent");
                while let Some(Ok(_)) = agent.next().await {}
            });
        }
    });

    let trusting =
        AgentConnector::with_tls(client_config(&[authority.certificate().clone()]).expect("TLS"))
            .with_timeouts(PATIENT, PATIENT);
    let socket = trusting.connect(&url("wss", &address), "v").await.expect("joined");
    socket.close(1000).await.expect("both say goodbye");

    let error = patient().connect(&url("wss", &address), "v").await;
    let error = error.map(drop).expect_err("not trusted");
    assert!(matches!(error, AgentSocketError::Unreachable(_)), "{error:?}");
}

#[actix_web::test]
async fn an_agent_is_given_back_with_a_normal_close() {
    let (listener, address) = listener().await;
    let (tell, told) = oneshot::channel();
    actix_web::rt::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut agent = accept_async(stream).await.expect("an upgrade");
        // It starts to talk at once, as agents do.
        for _ in 0..50 {
            let _ = agent.send(Message::binary(vec![0; 320])).await;
        }
        while let Some(Ok(message)) = agent.next().await {
            if let Message::Close(frame) = message {
                tell.send(frame.map(|frame| frame.code)).expect("the test waits");
                break;
            }
        }
        while let Some(Ok(_)) = agent.next().await {}
    });
    let witness = Witness::new();
    let observer = Arc::clone(&witness);
    let client =
        UltravoxClient::with_settings("http://127.0.0.1:1", observer, settings(), patient());
    let join_url = url("ws", &address);

    let agent = AgentCall { ultravox_call_id: "call-1".into(), join_url };
    client.expect("a client").release(&agent).await;

    assert_eq!(told.await.expect("a close"), Some(CloseCode::Normal));
    assert_eq!(witness.reports(), ["ultravox release 101"]);
}
