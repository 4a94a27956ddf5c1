//! What Ultravox is sent, as plain functions over plain data.
//!
//! Calls and agents' templates say the same of the medium, so that a call sounds the same wherever
//! its agent was described.

use std::time::Duration;

use actors::ports::{AgentSource, FirstSpeaker, NewAgentCall};
use actors::protocol::ultravox::DO_NOT_CALL_TOOL;
use serde_json::{Value, json};

use super::agents::AgentTemplate;

/// The rate of the phone network, both ways: nothing is resampled.
const PHONE_RATE_HZ: u32 = 8_000;

/// A large buffer rides out network jitter. It costs no responsiveness, because Ultravox sends
/// `playback_clear_buffer` on an interruption and we obey it. See "WebSocket Integration" in
/// Ultravox's manual.
const CLIENT_BUFFER_MS: u32 = 30_000;

/// When our side has died without closing the connection, the conversation ends after this instead
/// of being billed until its longest duration. Silence is always sent, so a quiet person does not
/// end it. Ultravox recommends 30 to 60 s.
const MEDIA_IDLE_TIMEOUT: &str = "30s";

/// The body of `POST /api/calls`, or of `POST /api/agents/{id}/calls`, which takes no more than its
/// published `StartAgentCallRequest` names.
pub(super) fn new_call(call: &NewAgentCall) -> Value {
    let mut body = json!({
        "joinTimeout": seconds(call.join_timeout),
        "maxDuration": seconds(call.max_duration),
        "medium": medium(),
        "metadata": { "callspanCallId": call.call_id.to_string() },
    });
    match &call.agent {
        AgentSource::Inline { system_prompt, model, voice, first_speaker: speaker } => {
            body["systemPrompt"] = json!(system_prompt);
            body["model"] = json!(model);
            body["voice"] = json!(voice);
            body["firstSpeakerSettings"] = first_speaker(*speaker);
            body["selectedTools"] = match call.offers_do_not_call {
                true => json!([hang_up(), do_not_call()]),
                false => tools(),
            };
        }
        AgentSource::Stored { template_context, first_speaker: speaker, .. } => {
            body["templateContext"] = json!(template_context);
            if call.offers_do_not_call {
                body["toolOverrides"] = json!({ "add": [do_not_call()] });
            }
            if let Some(speaker) = speaker {
                body["firstSpeakerSettings"] = first_speaker(*speaker);
            }
        }
    }
    body
}

/// The body of `POST /api/agents` and `PATCH /api/agents/{id}`.
pub(super) fn agent(template: &AgentTemplate) -> Value {
    let mut call_template = json!({
        "systemPrompt": template.system_prompt,
        "model": template.model,
        "firstSpeakerSettings": first_speaker(template.first_speaker),
        "joinTimeout": seconds(template.join_timeout),
        "maxDuration": seconds(template.max_duration),
        "medium": medium(),
        "selectedTools": tools(),
        "recordingEnabled": false,
        // Variables are checked before a call is asked for; a schema made from the prompt would
        // refuse a call over a variable that is left empty on purpose.
        "contextSchema": { "type": "object" },
    });
    if let Some(voice) = &template.voice {
        call_template["voice"] = json!(voice);
    }
    if let Some(language) = &template.language {
        call_template["languageHint"] = json!(language);
    }
    json!({ "name": template.name, "callTemplate": call_template })
}

/// The deprecated `firstSpeaker` is not sent: the pair of both has been seen refused.
fn first_speaker(speaker: FirstSpeaker) -> Value {
    match speaker {
        FirstSpeaker::Agent => json!({ "agent": {} }),
        FirstSpeaker::User => json!({ "user": {} }),
    }
}

fn medium() -> Value {
    json!({ "serverWebSocket": {
        "inputSampleRate": PHONE_RATE_HZ,
        "outputSampleRate": PHONE_RATE_HZ,
        "clientBufferSizeMs": CLIENT_BUFFER_MS,
        "mediaIdleTimeout": MEDIA_IDLE_TIMEOUT,
        "dataMessages": { "userStartedSpeaking": true, "userStoppedSpeaking": true },
    } })
}

/// An agent has to be able to say goodbye.
fn tools() -> Value {
    json!([hang_up()])
}

fn hang_up() -> Value {
    json!({ "toolName": "hangUp" })
}

/// A tool of the call and not of the agent: the bridge answers it, at once.
fn do_not_call() -> Value {
    json!({ "temporaryTool": {
        "modelToolName": DO_NOT_CALL_TOOL,
        "description": "Puts the person you talk to on the list of people who are not called any \
            more. Use it when they ask not to be called again, and tell them when it is done.",
        "client": {},
    } })
}

/// A duration as Ultravox writes it, in whole seconds, rounded up.
fn seconds(duration: Duration) -> String {
    let up = u64::from(duration.subsec_nanos() > 0);
    format!("{}s", duration.as_secs().saturating_add(up).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds() {
        assert_eq!(seconds(Duration::from_secs(90)), "90s");
        assert_eq!(seconds(Duration::from_millis(1_500)), "2s");
        assert_eq!(seconds(Duration::ZERO), "1s");
    }
}
