//! Ultravox's data messages: JSON text frames on the agent's socket, beside binary frames of
//! signed 16-bit little-endian samples. See "Data Messages" in Ultravox's manual.

use serde::{Deserialize, Serialize};

use crate::call::Speaker;

/// The client tool by which an agent says that a person does not want to be called any more.
pub const DO_NOT_CALL_TOOL: &str = "doNotCall";

/// A message from Ultravox. Only what the bridge acts on; every other type is [`Event::Other`].
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The person spoke over the agent: drop all audio that has not been played.
    PlaybackClearBuffer,
    /// What somebody said, in one piece or bit by bit.
    Transcript {
        /// `user` or `agent`.
        role: Role,
        /// The whole text so far.
        #[serde(default)]
        text: Option<String>,
        /// What to append to the text so far.
        #[serde(default)]
        delta: Option<String>,
        /// Nothing more will come for this ordinal.
        #[serde(default, rename = "final")]
        is_final: bool,
        /// Which utterance this is part of.
        #[serde(default)]
        ordinal: u64,
    },
    /// The agent wants a tool of ours run; the conversation stands still until it is answered.
    ClientToolInvocation {
        /// The tool.
        tool_name: String,
        /// To be repeated in the answer.
        invocation_id: String,
    },
    /// The simple voice detector heard the person fall silent. Opt-in.
    UserStoppedSpeaking,
    /// A type this version does not act on.
    #[serde(other)]
    Other,
}

/// Whose words a transcript holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person.
    User,
    /// The voice agent.
    Agent,
    /// A role this version does not know.
    #[serde(other)]
    Other,
}

impl Role {
    /// The speaker, if it is one we know.
    pub fn speaker(self) -> Option<Speaker> {
        match self {
            Role::User => Some(Speaker::Phone),
            Role::Agent => Some(Speaker::Agent),
            Role::Other => None,
        }
    }
}

/// A message to Ultravox.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Command<'a> {
    /// Words the agent is to take as the person's.
    UserTextMessage {
        /// What.
        text: &'a str,
        /// How soon the agent should react.
        urgency: Urgency,
    },
    /// The agent is to end the call.
    HangUp {
        /// What it says first.
        message: &'a str,
    },
    /// The answer to a tool invocation.
    ClientToolResult {
        /// From the invocation.
        invocation_id: &'a str,
        /// For the model to read. Ultravox takes a text and nothing else.
        result: &'a str,
    },
    /// The answer to a tool invocation we cannot serve.
    #[serde(rename = "client_tool_result")]
    ClientToolError {
        /// From the invocation.
        invocation_id: &'a str,
        /// `undefined`: there is no such tool.
        error_type: &'a str,
        /// For the model to read.
        error_message: &'a str,
    },
}

/// How soon the agent should react to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// At once, interrupting itself.
    Immediate,
    /// When it has finished.
    Soon,
    /// Only to be remembered.
    Later,
}

impl Command<'_> {
    /// The text frame to send.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and enums always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Event {
        serde_json::from_str(text).expect("readable")
    }

    #[test]
    fn reads_the_documented_messages() {
        assert!(matches!(parse(r#"{"type":"playback_clear_buffer"}"#), Event::PlaybackClearBuffer));
        assert!(matches!(
            parse(r#"{"type":"transcript","role":"agent","medium":"voice","text":null,"delta":" there","final":false,"ordinal":3}"#),
            Event::Transcript { role: Role::Agent, text: None, delta: Some(delta), is_final: false, ordinal: 3 } if delta == " there"
        ));
        assert!(matches!(
            parse(r#"{"type":"client_tool_invocation","toolName":"t","invocationId":"i","parameters":{"a":1}}"#),
            Event::ClientToolInvocation { tool_name, invocation_id } if tool_name == "t" && invocation_id == "i"
        ));
        assert!(matches!(parse(r#"{"type":"state","state":"listening"}"#), Event::Other));
        assert!(matches!(parse(r#"{"type":"news","x":[1]}"#), Event::Other));
        assert!(serde_json::from_str::<Event>(r#"{"state":"idle"}"#).is_err());
    }

    #[test]
    fn writes_what_is_documented() {
        assert_eq!(
            Command::UserTextMessage { text: "DTMF received: 5", urgency: Urgency::Immediate }
                .to_json(),
            r#"{"type":"user_text_message","text":"DTMF received: 5","urgency":"immediate"}"#
        );
        assert_eq!(Command::HangUp { message: "" }.to_json(), r#"{"type":"hang_up","message":""}"#);
        assert_eq!(
            Command::ClientToolResult { invocation_id: "i", result: "done" }.to_json(),
            r#"{"type":"client_tool_result","invocationId":"i","result":"done"}"#
        );
        assert_eq!(
            Command::ClientToolError {
                invocation_id: "i",
                error_type: "undefined",
                error_message: "no"
            }
            .to_json(),
            r#"{"type":"client_tool_result","invocationId":"i","errorType":"undefined","errorMessage":"no"}"#
        );
    }
}
