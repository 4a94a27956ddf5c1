//! Twilio's JSON, read leniently: a call must not be lost over a field that is new, null or strange.

use std::time::Duration;

use actors::call::CallStatus;
use actors::ids::CallSid;
use actors::ports::PhoneCall;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Text that may be null, empty, missing or a number. Null and empty are the same to Twilio.
#[derive(Default)]
pub(super) struct Text(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Text(match Value::deserialize(deserializer)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }))
    }
}

#[derive(Deserialize)]
pub(super) struct CallWire {
    #[serde(default)]
    pub(super) sid: Text,
    #[serde(default)]
    pub(super) status: Text,
    #[serde(default)]
    pub(super) duration: Text,
    #[serde(default)]
    pub(super) date_created: Text,
    #[serde(default)]
    pub(super) direction: Text,
}

impl CallWire {
    /// `None` when it has no sid.
    pub(super) fn into_call(self) -> Option<PhoneCall> {
        let sid: CallSid = self.sid.0?.parse().ok()?;
        let word = self.status.0.as_deref().unwrap_or("queued");
        // A word we do not know moves no call: `Initiated` is behind every other state.
        let status = word.parse().unwrap_or_else(|error| {
            tracing::warn!(call.sid = %sid, "Twilio says of call {sid}: {error}");
            CallStatus::Initiated
        });
        // Twilio writes "0" for a call that still rings.
        let duration = self.duration.0.filter(|_| status.is_final());
        let duration = duration.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Some(PhoneCall { sid, status, duration })
    }
}

#[derive(Deserialize)]
pub(super) struct PageWire {
    pub(super) calls: Vec<CallWire>,
    #[serde(default)]
    pub(super) next_page_uri: Text,
}

#[derive(Deserialize)]
pub(super) struct AccountWire {
    #[serde(default)]
    pub(super) status: Text,
    #[serde(default, rename = "type")]
    pub(super) kind: Text,
    #[serde(default)]
    pub(super) friendly_name: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_and_unknown_are_all_read() {
        let call =
            |json: &str| serde_json::from_str::<CallWire>(json).expect("readable").into_call();
        let sid = "CA00000000000000000000000000000001";
        let read = call(&format!(
            r#"{{"sid":"{sid}","status":"completed","duration":"42","date_created":null,"new":[1]}}"#
        ));
        let read = read.expect("a call");
        assert_eq!(read.status, CallStatus::Completed);
        assert_eq!(read.duration, Some(Duration::from_secs(42)));
        let strange = [
            r#""status":"teleported","duration":"1""#,
            r#""status":"","duration":"""#,
            r#""status":null"#,
        ];
        for rest in strange {
            let read = call(&format!(r#"{{"sid":"{sid}",{rest}}}"#)).expect("a call");
            assert_eq!((read.status, read.duration), (CallStatus::Initiated, None), "{rest}");
        }
        assert_eq!(call("{}"), None);
        assert_eq!(call(r#"{"sid":""}"#), None);
    }
}
