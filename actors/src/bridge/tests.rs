//! Small scripts of a call: what each side sends, and what reaches the other.

#![expect(clippy::disallowed_methods, reason = "a script begins now and then keeps its own time")]

mod both_ways;
mod control;
mod from_agent;
mod from_phone;
mod life;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;

use super::*;
use crate::audio::{FRAME_MS, FRAME_PCM_BYTES, FRAME_SAMPLES, MULAW_SILENCE, decode, encode};

const CALL: &str = "CA00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000001";
const TOKEN: &str = "one-time-token";

struct BridgeTest {
    bridge: Bridge,
    now: Instant,
    timestamp_ms: u64,
}

impl BridgeTest {
    fn upgraded() -> Self {
        let now = Instant::now();
        let admission =
            Admission { token: TOKEN.to_owned().into(), call_sid: CALL.parse().expect("valid") };
        BridgeTest { bridge: Bridge::new(now, admission), now, timestamp_ms: 155 }
    }

    fn live() -> Self {
        let mut call = BridgeTest::upgraded();
        call.phone_starts(CALL, TOKEN);
        call.give(Input::AgentJoined);
        call.actions();
        call
    }

    fn give(&mut self, input: Input<'_>) {
        self.bridge.handle(self.now, input);
    }

    fn phone_starts(&mut self, call: &str, token: &str) {
        let text = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC1","streamSid":"{STREAM}","callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"token":"{token}"}}}},"streamSid":"{STREAM}"}}"#
        );
        self.give(Input::PhoneText(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#));
        self.give(Input::PhoneText(&text));
    }

    /// One frame from the phone, without moving the clock.
    fn phone_frame(&mut self, mulaw: &[u8]) {
        let text = format!(
            r#"{{"event":"media","media":{{"track":"inbound","timestamp":"{}","payload":"{}"}}}}"#,
            self.timestamp_ms,
            STANDARD.encode(mulaw)
        );
        self.timestamp_ms += FRAME_MS;
        self.give(Input::PhoneText(&text));
    }

    fn phone_speaks_ms(&mut self, ms: u64) {
        for _ in 0..ms / FRAME_MS {
            self.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
            self.advance_ms(FRAME_MS);
        }
    }

    fn phone_marks(&mut self, name: &str) {
        let text = format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#);
        self.give(Input::PhoneText(&text));
    }

    fn agent_speaks_ms(&mut self, ms: u64) {
        for _ in 0..ms / FRAME_MS {
            self.give(Input::AgentAudio(&[0x10; FRAME_PCM_BYTES]));
        }
    }

    fn interrupt(&mut self) {
        self.give(Input::AgentText(r#"{"type":"playback_clear_buffer"}"#));
    }

    /// Lets time pass as a punctual owner would: ticking at every deadline.
    fn advance_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self.bridge.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(deadline);
            self.give(Input::Tick);
        }
        self.now = until;
        self.give(Input::Tick);
    }

    /// The next frame for the phone, and its text.
    fn next_to_phone(&mut self) -> Option<(ToPhone, Vec<u8>)> {
        let mut text = Vec::new();
        let frame = self.bridge.poll_to_phone(self.now, &mut text)?;
        Some((frame, text))
    }

    /// The next frame for the agent, and what it holds.
    fn next_to_agent(&mut self) -> Option<(ToAgent, Vec<u8>)> {
        let mut payload = Vec::new();
        let frame = self.bridge.poll_to_agent(&mut payload)?;
        Some((frame, payload))
    }

    /// Everything the bridge wants done, one line each; runs of audio are summed up.
    fn actions(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut audio_ms = 0;
        let flush = |lines: &mut Vec<String>, audio_ms: &mut u64, to: &str| {
            if *audio_ms > 0 {
                lines.push(format!("to {to}: {audio_ms} ms of audio"));
            }
            *audio_ms = 0;
        };
        while let Some((frame, text)) = self.next_to_phone() {
            if frame.frames > 0 {
                audio_ms += frame.frames * FRAME_MS;
                continue;
            }
            flush(&mut lines, &mut audio_ms, "phone");
            let json: serde_json::Value = serde_json::from_slice(&text).expect("json");
            let name = json["mark"]["name"].as_str().unwrap_or("");
            lines.push(format!("to phone: {} {name}", json["event"].as_str().expect("event")));
        }
        flush(&mut lines, &mut audio_ms, "phone");
        let mut silence = 0;
        while let Some((frame, payload)) = self.next_to_agent() {
            match frame {
                ToAgent::Audio { since } => {
                    audio_ms += payload.len() as u64 / 16;
                    silence += u32::from(since.is_none());
                }
                ToAgent::Text => {
                    let text = String::from_utf8(payload).expect("text");
                    lines.push(format!("to agent: {text}"));
                }
                ToAgent::Probe => lines.push("to agent: probe".into()),
            }
        }
        flush(&mut lines, &mut audio_ms, "agent");
        if silence > 0 {
            write!(lines.last_mut().expect("audio"), ", {silence} frames of it made up")
                .expect("writing to a string");
        }
        while let Some(notice) = self.bridge.poll_notice() {
            lines.push(format!("notice: {notice:?}"));
        }
        if let Some(reason) = self.bridge.over() {
            lines.push(format!("over: {reason}"));
        }
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn pcm_for_agent(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((frame, payload)) = self.next_to_agent() {
            if let ToAgent::Audio { .. } = frame {
                all.extend(payload);
            }
        }
        all
    }

    fn mulaw_for_phone(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((frame, text)) = self.next_to_phone() {
            if frame.frames > 0 {
                let json: serde_json::Value = serde_json::from_slice(&text).expect("json");
                let payload = json["media"]["payload"].as_str().expect("payload");
                all.extend(STANDARD.decode(payload).expect("base64"));
            }
        }
        all
    }
}
