//! The messages Twilio sends on a media stream, written byte for byte as captured: counters are
//! strings, `sampleRate` and `channels` are numbers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Who the stream belongs to, and the counters its messages share.
pub(crate) struct Wire {
    stream_sid: String,
    account_sid: String,
    call_sid: String,
    sequence: u64,
    chunk: u64,
}

impl Wire {
    pub(crate) fn new(stream_sid: &str, account_sid: &str, call_sid: &str) -> Self {
        Wire {
            stream_sid: stream_sid.to_owned(),
            account_sid: account_sid.to_owned(),
            call_sid: call_sid.to_owned(),
            sequence: 0,
            chunk: 0,
        }
    }

    pub(crate) fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    pub(crate) fn connected() -> String {
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned()
    }

    pub(crate) fn start(&mut self, parameters: &[(String, String)]) -> String {
        let parameters: Map<String, Value> =
            parameters.iter().map(|(n, v)| (n.clone(), Value::from(v.as_str()))).collect();
        let (stream, account, call) = (&self.stream_sid, &self.account_sid, &self.call_sid);
        self.sequence += 1;
        format!(
            r#"{{"event":"start","sequenceNumber":"{}","start":{{"accountSid":"{account}","streamSid":"{stream}","callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{}}},"streamSid":"{stream}"}}"#,
            self.sequence,
            Value::Object(parameters),
        )
    }

    pub(crate) fn media(&mut self, timestamp_ms: u64, audio: &[u8]) -> String {
        self.sequence += 1;
        self.chunk += 1;
        let mut text = String::with_capacity(200 + audio.len().div_ceil(3) * 4);
        write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp_ms}","payload":""#,
            self.sequence, self.chunk,
        )
        .expect("a String takes any text");
        STANDARD.encode_string(audio, &mut text);
        text.push_str(r#""},"streamSid":""#);
        text.push_str(&self.stream_sid);
        text.push_str("\"}");
        text
    }

    pub(crate) fn dtmf(&mut self, digit: char) -> String {
        self.sequence += 1;
        format!(
            r#"{{"event":"dtmf","streamSid":"{}","sequenceNumber":"{}","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#,
            self.stream_sid, self.sequence,
        )
    }

    pub(crate) fn mark(&mut self, name: &str) -> String {
        self.sequence += 1;
        format!(
            r#"{{"event":"mark","sequenceNumber":"{}","streamSid":"{}","mark":{}}}"#,
            self.sequence,
            self.stream_sid,
            json!({ "name": name }),
        )
    }

    pub(crate) fn stop(&mut self) -> String {
        self.sequence += 1;
        format!(
            r#"{{"event":"stop","sequenceNumber":"{}","streamSid":"{}","stop":{{"accountSid":"{}","callSid":"{}"}}}}"#,
            self.sequence, self.stream_sid, self.account_sid, self.call_sid,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_captured() {
        let mut wire = Wire::new("MZ1", "AC1", "CA1");
        let token = [("token".to_owned(), "a\"b".to_owned())];
        assert_eq!(
            wire.start(&token),
            r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"token":"a\"b"}},"streamSid":"MZ1"}"#
        );
        assert_eq!(
            wire.media(155, &[0xFF; 3]),
            r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"////"},"streamSid":"MZ1"}"#
        );
        assert_eq!(
            wire.dtmf('#'),
            r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"3","dtmf":{"track":"inbound_track","digit":"#"}}"##
        );
        assert_eq!(
            wire.mark("my \"label\""),
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my \"label\""}}"#
        );
        assert_eq!(
            wire.stop(),
            r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
        );
    }
}
