//! The `twilio` medium: the join socket speaks Twilio's Media Streams, and the agent hears and says
//! the same as on any other.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::agent::CLEAR;
use crate::audio::{g711, pcm_bytes, pcm_samples};

/// What a message of the stream means to the session.
#[derive(Debug, PartialEq)]
pub(crate) enum StreamEvent {
    /// The stream has begun: the agent may speak.
    Started,
    /// The caller's audio, as samples.
    Audio(Bytes),
    /// The caller or Twilio has ended the stream.
    Stopped,
    /// Worth remembering, and nothing to do.
    Noted,
}

/// One Twilio stream as its receiver sees it.
#[derive(Debug, Default)]
pub(crate) struct Telephone {
    stream_sid: Option<String>,
    connected: bool,
    last_number: u64,
    /// Ask for audio to be sent back as it came: minus zero has a code in µ-law, and no sample.
    echo: bool,
}

impl Telephone {
    pub(crate) fn new(echo: bool) -> Self {
        Telephone { echo, ..Telephone::default() }
    }

    /// Understands one message; whatever is not as Twilio would send it goes to `problems`.
    pub(crate) fn hear(&mut self, message: &Value, problems: &mut Vec<String>) -> StreamEvent {
        let event = message["event"].as_str().unwrap_or_default();
        if event == "connected" {
            if self.connected {
                problems.push("connected came twice".into());
            }
            self.connected = true;
            return StreamEvent::Noted;
        }
        self.check_order(event, message, problems);
        match event {
            "start" => {
                let format = &message["start"]["mediaFormat"];
                let expected =
                    json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1});
                if *format != expected {
                    problems.push(format!("start has the media format {format}"));
                }
                self.stream_sid = message["start"]["streamSid"].as_str().map(Into::into);
                StreamEvent::Started
            }
            "media" => match STANDARD.decode(message["media"]["payload"].as_str().unwrap_or("?")) {
                Ok(codes) => StreamEvent::Audio(pcm_bytes(&g711::decode_all(&codes)).into()),
                Err(error) => {
                    problems.push(format!("a media payload that is not base64: {error}"));
                    StreamEvent::Noted
                }
            },
            "stop" => StreamEvent::Stopped,
            "mark" | "dtmf" => StreamEvent::Noted,
            other => {
                problems.push(format!("{other:?} is no event of a Twilio stream"));
                StreamEvent::Noted
            }
        }
    }

    fn check_order(&mut self, event: &str, message: &Value, problems: &mut Vec<String>) {
        if !self.connected {
            problems.push(format!("{event} came before connected"));
        }
        let begins = event == "start";
        if begins == self.stream_sid.is_some() {
            problems.push(format!("{event} came at the wrong time"));
        }
        if !begins && message["streamSid"].as_str() != self.stream_sid.as_deref() {
            problems.push(format!("{event} is of the stream {}", message["streamSid"]));
        }
        let number = message["sequenceNumber"].as_str().and_then(|number| number.parse().ok());
        if number != Some(self.last_number + 1) {
            let number = &message["sequenceNumber"];
            problems.push(format!("{event} {number} came after {}", self.last_number));
        }
        self.last_number = number.unwrap_or(self.last_number + 1);
    }

    /// The answer to a message that is to come back as it was.
    pub(crate) fn echo(&self, message: &Value) -> Option<String> {
        if !self.echo || message["event"] != "media" {
            return None;
        }
        Some(self.media(&message["media"]["payload"]))
    }

    /// Samples for the caller, as a message.
    pub(crate) fn say(&self, pcm: &[u8]) -> String {
        self.media(&STANDARD.encode(g711::encode_all(&pcm_samples(pcm))).into())
    }

    /// What the agent sends to an application, as a stream has it: only a clear survives, and
    /// whatever a test sends raw.
    pub(crate) fn translate(&self, text: String) -> String {
        if text == CLEAR {
            return json!({"event": "clear", "streamSid": self.stream_sid}).to_string();
        }
        text
    }

    pub(crate) fn stream_sid(&self) -> Option<&str> {
        self.stream_sid.as_deref()
    }

    fn media(&self, payload: &Value) -> String {
        let media = json!({ "payload": payload });
        json!({"event": "media", "streamSid": self.stream_sid, "media": media}).to_string()
    }
}
