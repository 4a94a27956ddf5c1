//! What a create request means for the call: its JSON, parsed once.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;

use super::{
    options::UltravoxOptions,
    script::{HangUpWhen, Pacing},
};
use crate::audio::DetectorSettings;

/// Messages sent on a server WebSocket unless switched off.
const ON: [&str; 6] =
    ["pong", "state", "transcript", "clientToolInvocation", "playbackClearBuffer", "callStarted"];
/// An idle timeout below this counts as this.
const SHORTEST_IDLE: Duration = Duration::from_secs(10);

/// Who speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstSpeaker {
    Agent { delay: Duration, uninterruptible: bool },
    User { fallback: Option<Duration> },
}

#[derive(Clone, Debug)]
pub(crate) struct CallSettings {
    pub(crate) call_id: String,
    pub(crate) first_speaker: FirstSpeaker,
    pub(crate) input_rate_hz: u32,
    pub(crate) output_rate_hz: u32,
    pub(crate) client_buffer: Duration,
    pub(crate) media_idle: Option<Duration>,
    pub(crate) max_duration: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) messages: HashSet<String>,
    pub(crate) text_only: bool,
    /// The medium is `twilio`: the join socket speaks Twilio's protocol.
    pub(crate) telephone: bool,
    pub(crate) detector: DetectorSettings,
    pub(crate) think: Duration,
    pub(crate) tool_timeout: Duration,
    pub(crate) frame: Duration,
    pub(crate) pacing: Pacing,
    pub(crate) hang_up: HangUpWhen,
}

impl CallSettings {
    /// Of a request that has passed every check.
    pub(crate) fn of(call_id: &str, request: &Value, options: &UltravoxOptions) -> Self {
        let medium = &request["medium"]["serverWebSocket"];
        let rate = |value: &Value| value.as_u64().and_then(|hz| u32::try_from(hz).ok());
        let input_rate_hz = rate(&medium["inputSampleRate"]).filter(|hz| *hz > 0).unwrap_or(8_000);
        let telephone = request["medium"]["twilio"].is_object();
        let on: &[&str] = if telephone { &["playbackClearBuffer"] } else { &ON };
        let mut messages: HashSet<String> = on.iter().map(|&flag| flag.to_owned()).collect();
        for (flag, on) in medium["dataMessages"].as_object().into_iter().flatten() {
            if on == true {
                messages.insert(flag.clone());
            } else {
                messages.remove(flag);
            }
        }
        CallSettings {
            call_id: call_id.into(),
            first_speaker: first_speaker(request),
            input_rate_hz,
            output_rate_hz: rate(&medium["outputSampleRate"])
                .filter(|hz| *hz > 0)
                .unwrap_or(input_rate_hz),
            client_buffer: match medium["clientBufferSizeMs"].as_u64() {
                Some(ms) => Duration::from_millis(ms),
                // Twilio queues whatever it is sent.
                None if telephone => Duration::from_secs(30),
                None => Duration::from_millis(60),
            },
            media_idle: duration(&medium["mediaIdleTimeout"]).map(|idle| idle.max(SHORTEST_IDLE)),
            max_duration: duration(&request["maxDuration"]).unwrap_or(Duration::from_secs(3_600)),
            join_timeout: duration(&request["joinTimeout"]).unwrap_or(Duration::from_secs(30)),
            messages,
            text_only: request["initialOutputMedium"] == "MESSAGE_MEDIUM_TEXT",
            telephone,
            detector: detector(&request["vadSettings"], options.detector),
            think: options.think,
            tool_timeout: options.tool_timeout,
            frame: options.frame,
            pacing: options.pacing,
            hang_up: options.hang_up,
        }
    }
}

/// `"0.384s"` as a duration; a negative one is none.
pub(crate) fn duration(value: &Value) -> Option<Duration> {
    let seconds = value.as_str()?.strip_suffix('s')?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn first_speaker(request: &Value) -> FirstSpeaker {
    let settings = &request["firstSpeakerSettings"];
    if settings["user"].is_object() {
        let fallback = &settings["user"]["fallback"];
        let delay = fallback.is_object().then(|| duration(&fallback["delay"]).unwrap_or_default());
        return FirstSpeaker::User { fallback: delay };
    }
    if request["firstSpeaker"] == "FIRST_SPEAKER_USER" {
        return FirstSpeaker::User { fallback: None };
    }
    FirstSpeaker::Agent {
        delay: duration(&settings["agent"]["delay"]).unwrap_or_default(),
        uninterruptible: settings["agent"]["uninterruptible"] == true,
    }
}

fn detector(vad: &Value, defaults: DetectorSettings) -> DetectorSettings {
    let ms = |field: &str, default: u32| {
        duration(&vad[field])
            .and_then(|length| u32::try_from(length.as_millis()).ok())
            .unwrap_or(default)
    };
    let interruption = ms("minimumInterruptionDuration", defaults.minimum_speech_ms);
    DetectorSettings {
        endpoint_ms: ms("turnEndpointDelay", defaults.endpoint_ms),
        minimum_speech_ms: interruption.max(ms("minimumTurnDuration", 0)),
        ..defaults
    }
}
