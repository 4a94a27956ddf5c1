//! The simulated Ultravox as a service sees it: over HTTP and WebSockets.

mod faults;
mod media;
mod rest;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use super::*;
use crate::audio::{Clip, FRAME_PCM_BYTES, Tone, pcm_bytes};

/// A service that talks to one simulated Ultravox.
struct Service {
    sim: SimUltravox,
    http: reqwest::Client,
}

impl Service {
    fn start(options: UltravoxOptions) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sim = SimUltravox::start(options).expect("two free ports");
        Service { sim, http: reqwest::Client::new() }
    }

    fn with_script(script: AgentScript) -> Self {
        Service::start(UltravoxOptions::with_script(script))
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.sim.api_url());
        let mut request = self.http.request(method, url).header("X-API-Key", self.sim.api_key());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, Some(body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None).await
    }

    /// Creates a call as a bridge would.
    async fn call(&self) -> SimAgentCall {
        self.call_with(json!({})).await
    }

    /// The same, with these fields too.
    async fn call_with(&self, more: Value) -> SimAgentCall {
        let medium = json!({"inputSampleRate": 8000, "clientBufferSizeMs": 30000});
        let mut body = json!({
            "systemPrompt": "Be brief.",
            "firstSpeakerSettings": {"agent": {}},
            "medium": {"serverWebSocket": medium},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name.as_str()] = value.clone();
        }
        let (status, call) = self.post("/api/calls", body).await;
        assert_eq!(status, 201, "{call}");
        let id = call["callId"].as_str().expect("an id");
        self.sim.call(id).expect("the call that was created")
    }

    fn assert_no_violations(&self) {
        assert_eq!(self.sim.violations(), []);
    }
}

/// The service's end of a join socket.
struct Joined(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Joined {
    async fn to(call: &SimAgentCall) -> Self {
        Joined::at(call.join_url()).await
    }

    async fn at(url: &str) -> Self {
        Joined(connect_async(url).await.expect("an open door").0)
    }

    async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("an open socket");
    }

    async fn send_json(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends audio as it would come from a phone, but without waiting for the clock.
    async fn speak(&mut self, samples: &[i16]) {
        for frame in pcm_bytes(samples).chunks(FRAME_PCM_BYTES) {
            self.send(Message::Binary(Bytes::copy_from_slice(frame))).await;
        }
    }

    async fn next(&mut self) -> Result<Message, Error> {
        self.0.next().await.unwrap_or(Err(Error::ConnectionClosed))
    }

    /// The next text message of a type; whatever comes before it is dropped.
    async fn next_of_type(&mut self, kind: &str) -> Value {
        self.next_with("type", kind).await
    }

    /// The same for a Twilio stream.
    async fn next_event(&mut self, event: &str) -> Value {
        self.next_with("event", event).await
    }

    async fn next_with(&mut self, field: &str, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.next().await.expect("an open socket") {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message[field] == kind {
                    return message;
                }
            }
        }
    }

    /// The next so many bytes of audio; text messages are dropped.
    async fn next_audio(&mut self, bytes: usize) -> Vec<u8> {
        let mut audio = Vec::new();
        while audio.len() < bytes {
            if let Message::Binary(pcm) = self.next().await.expect("an open socket") {
                audio.extend_from_slice(&pcm);
            }
        }
        audio
    }

    /// Everything until the socket is closed, and the code it is closed with.
    async fn until_closed(&mut self) -> (Vec<Message>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.next().await.expect("a close before the end") {
                Message::Close(frame) => {
                    // The answering close is written by the next read.
                    let _ = self.next().await;
                    return (messages, frame.map_or(1005, |frame| frame.code.into()));
                }
                message => messages.push(message),
            }
        }
    }
}

/// The audio among messages.
fn audio_of(messages: &[Message]) -> Vec<u8> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Binary(pcm) => Some(pcm.to_vec()),
            _ => None,
        })
        .flatten()
        .collect()
}
