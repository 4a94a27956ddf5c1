//! Twilio Media Streams, version 1.0.0: JSON text frames on a WebSocket.
//!
//! Counters arrive as JSON strings; numbers are accepted too, because look-alikes send them. What
//! we send carries exactly the documented fields: Twilio warns about any other (31951). See
//! "Media Streams - WebSocket Messages" in Twilio's manual.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;

use serde::{Deserialize, Deserializer, de};

use super::base64;
use crate::ids::{CallSid, StreamSid};

/// A message from Twilio.
#[derive(Debug)]
pub enum Event<'a> {
    /// The socket is up; says nothing else we need.
    Connected,
    /// The stream begins.
    Start(Box<Start>),
    /// Audio of the person on the phone.
    Media(Media<'a>),
    /// Everything sent before this mark has been played, or was cleared.
    Mark {
        /// The name we gave it.
        name: Cow<'a, str>,
    },
    /// A key was pressed.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// The stream is over.
    Stop,
    /// Something this version does not know.
    Unknown,
}

/// What the `start` message says.
#[derive(Debug)]
pub struct Start {
    /// Needed in everything we send.
    pub stream_sid: StreamSid,
    /// The call this stream belongs to.
    pub call_sid: CallSid,
    /// From `<Parameter>` in our TwiML.
    pub custom_parameters: HashMap<String, String>,
    /// True for µ-law at 8 kHz, mono: the only format documented, and the only one we speak.
    pub is_phone_audio: bool,
}

/// One piece of inbound audio.
#[derive(Debug)]
pub struct Media<'a> {
    /// Base64 of µ-law.
    pub payload: Cow<'a, str>,
    /// When it begins, in milliseconds since the stream started; `None` when unreadable.
    pub timestamp_ms: Option<u64>,
    /// False for a copy of what Twilio plays to the phone.
    pub is_inbound: bool,
}

impl Media<'_> {
    /// The µ-law, in `room` if it fits there.
    pub fn decode<'r>(&self, room: &'r mut [u8]) -> Result<Cow<'r, [u8]>, BadMessage> {
        let bad = |_| BadMessage::Incomplete { event: "media", field: "payload" };
        match base64::decode_slice(&self.payload, room).map_err(bad)? {
            Some(bytes) => Ok(Cow::Borrowed(&room[..bytes])),
            None => Ok(Cow::Owned(base64::decode(&self.payload).map_err(bad)?)),
        }
    }

    /// Reads a message of exactly the shape that Twilio sends, which nearly all have. `None` for
    /// every other, however valid: serde reads those, and would read these alike.
    fn captured(text: &str) -> Option<Media<'_>> {
        let rest = text.strip_prefix(r#"{"event":"media","sequenceNumber":""#)?;
        let (_, rest) = number(rest)?;
        let rest = rest.strip_prefix(r#"","media":{"track":"inbound","chunk":""#)?;
        let (_, rest) = number(rest)?;
        let (timestamp, rest) = number(rest.strip_prefix(r#"","timestamp":""#)?)?;
        let rest = rest.strip_prefix(r#"","payload":""#)?.strip_suffix(r#""}"#)?;
        let (rest, stream) = rest.split_at_checked(rest.len().checked_sub(STREAM_SID_BYTES)?)?;
        let payload = rest.strip_suffix(r#""},"streamSid":""#)?;
        // Looking at all bytes, whatever the first ones are, is done many at a time.
        let is_plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
        let is_text = payload.bytes().fold(true, |all, byte| all & is_plain(byte));
        let is_sid = stream.bytes().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
        let media =
            Media { payload: payload.into(), timestamp_ms: Some(timestamp), is_inbound: true };
        (is_text && is_sid).then_some(media)
    }
}

/// `MZ` and 32 digits.
const STREAM_SID_BYTES: usize = 34;

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    // More may not fit.
    let digits = Some(digits).filter(|digits| (1..=18).contains(digits))?;
    let number = text.bytes().take(digits).fold(0, |sum, digit| 10 * sum + u64::from(digit - b'0'));
    Some((number, &text[digits..]))
}

/// A frame that is not a message of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// Not JSON, or not of the documented shape.
    #[error("not a media stream message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The part named after the event is missing or wrong.
    #[error("a {event} message without a usable {field}")]
    Incomplete {
        /// The event.
        event: &'static str,
        /// What is missing.
        field: &'static str,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    media: Option<WireMedia<'a>>,
    #[serde(borrow, default)]
    mark: Option<WireMark<'a>>,
    #[serde(default)]
    start: Option<WireStart>,
    #[serde(borrow, default)]
    dtmf: Option<WireDtmf<'a>>,
}

#[derive(Deserialize)]
struct WireMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(default, deserialize_with = "counter")]
    timestamp: Option<u64>,
    #[serde(borrow, default)]
    track: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireMark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WireDtmf<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStart {
    stream_sid: StreamSid,
    call_sid: CallSid,
    #[serde(default)]
    custom_parameters: Option<HashMap<String, String>>,
    #[serde(default)]
    media_format: Option<WireFormat>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFormat {
    encoding: String,
    #[serde(deserialize_with = "counter")]
    sample_rate: Option<u64>,
    #[serde(deserialize_with = "counter")]
    channels: Option<u64>,
}

/// Reads `"12"` and `12` alike; anything else is `None`, since no counter is worth losing audio.
fn counter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Counter;

    impl<'de> de::Visitor<'de> for Counter {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number, as a string or bare")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.parse().ok())
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }

        fn visit_i64<E>(self, _negative: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E>(self, _fraction: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Counter)
}

impl<'a> Event<'a> {
    /// Reads one text frame.
    pub fn parse(text: &'a str) -> Result<Self, BadMessage> {
        match Media::captured(text) {
            Some(media) => Ok(Event::Media(media)),
            None => Self::parse_any(text),
        }
    }

    fn parse_any(text: &'a str) -> Result<Self, BadMessage> {
        let envelope: Envelope<'a> = serde_json::from_str(text)?;
        let missing = |event, field| BadMessage::Incomplete { event, field };
        match &*envelope.event {
            "media" => {
                let media = envelope.media.ok_or_else(|| missing("media", "media"))?;
                Ok(Event::Media(Media {
                    payload: media.payload,
                    timestamp_ms: media.timestamp,
                    is_inbound: media.track.is_none_or(|track| track == "inbound"),
                }))
            }
            "mark" => {
                let mark = envelope.mark.ok_or_else(|| missing("mark", "mark"))?;
                Ok(Event::Mark { name: mark.name })
            }
            "dtmf" => {
                let dtmf = envelope.dtmf.ok_or_else(|| missing("dtmf", "dtmf"))?;
                let mut keys = dtmf.digit.chars();
                match (keys.next(), keys.next()) {
                    (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => {
                        Ok(Event::Dtmf { digit })
                    }
                    _ => Err(missing("dtmf", "digit")),
                }
            }
            "start" => {
                let start = envelope.start.ok_or_else(|| missing("start", "start"))?;
                Ok(Event::Start(Box::new(Start {
                    stream_sid: start.stream_sid,
                    call_sid: start.call_sid,
                    custom_parameters: start.custom_parameters.unwrap_or_default(),
                    is_phone_audio: start.media_format.is_none_or(|format| {
                        format.encoding == "audio/x-mulaw"
                            && format.sample_rate == Some(8_000)
                            && format.channels == Some(1)
                    }),
                })))
            }
            "connected" => Ok(Event::Connected),
            "stop" => Ok(Event::Stop),
            _ => Ok(Event::Unknown),
        }
    }
}

/// Writes the messages we may send on one stream: `media`, `mark`, `clear`, nothing else.
#[derive(Debug)]
pub struct Writer {
    media_head: String,
    mark_head: String,
    clear: String,
}

impl Writer {
    /// A writer for the stream of this id, which consists of letters and digits only.
    pub fn new(stream_sid: &StreamSid) -> Self {
        Writer {
            media_head: format!(
                r#"{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":""#
            ),
            mark_head: format!(r#"{{"event":"mark","streamSid":"{stream_sid}","mark":{{"name":""#),
            clear: format!(r#"{{"event":"clear","streamSid":"{stream_sid}"}}"#),
        }
    }

    /// Appends audio to be played after all that was sent before it.
    pub fn media(&self, mulaw: &[u8], text: &mut Vec<u8>) {
        const TAIL: &[u8] = br#""}}"#;
        text.reserve(self.media_head.len() + base64::encoded_len(mulaw.len()) + TAIL.len());
        text.extend_from_slice(self.media_head.as_bytes());
        base64::encode_to(mulaw, text);
        text.extend_from_slice(TAIL);
    }

    /// Appends a mark. Names are ours and need no escaping.
    pub fn mark(&self, name: impl std::fmt::Display, text: &mut Vec<u8>) {
        write!(text, r#"{}{name}"}}}}"#, self.mark_head).expect("a Vec takes any text");
    }

    /// Appends the message that empties Twilio's playback queue.
    pub fn clear(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.clear.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: &str = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"//8="},"streamSid":"MZ00000000000000000000000000000001"}"#;

    #[test]
    fn reads_media_as_captured() {
        let Ok(Event::Media(media)) = Event::parse(MEDIA) else { panic!("not media") };
        assert_eq!(media.payload, "//8=");
        assert_eq!(media.timestamp_ms, Some(155));
        assert!(media.is_inbound);
        assert!(matches!(media.payload, Cow::Borrowed(_)), "the payload is not copied");
    }

    #[test]
    fn reads_start_as_captured() {
        let text = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC00000000000000000000000000000001","streamSid":"MZ00000000000000000000000000000001","callSid":"CA00000000000000000000000000000001","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"token":"abc"}},"streamSid":"MZ00000000000000000000000000000001"}"#;
        let Ok(Event::Start(start)) = Event::parse(text) else { panic!("not start") };
        assert_eq!(start.call_sid.as_str(), "CA00000000000000000000000000000001");
        assert_eq!(start.custom_parameters["token"], "abc");
        assert!(start.is_phone_audio);

        let hd = text.replace("8000", "16000");
        let Ok(Event::Start(start)) = Event::parse(&hd) else { panic!("not start") };
        assert!(!start.is_phone_audio);
    }

    #[test]
    fn reads_the_other_events() {
        let parse = |text| Event::parse(text).expect("readable");
        assert!(matches!(
            parse(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
            Event::Connected
        ));
        assert!(matches!(
            parse(r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"m"}}"#),
            Event::Mark { name } if name == "m"
        ));
        assert!(matches!(
            parse(
                r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}"##
            ),
            Event::Dtmf { digit: '#' }
        ));
        assert!(matches!(
            parse(
                r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
            ),
            Event::Stop
        ));
        assert!(matches!(parse(r#"{"event":"news","extra":[1,{}]}"#), Event::Unknown));
    }

    #[test]
    fn counters_may_be_bare_numbers_or_missing() {
        for (timestamp, expected) in [
            (r#""timestamp":155,"#, Some(155)),
            (r#""timestamp":"x","#, None),
            (r#""timestamp":null,"#, None),
            (r#""timestamp":-1.5,"#, None),
            ("", None),
        ] {
            let text = format!(r#"{{"event":"media","media":{{{timestamp}"payload":""}}}}"#);
            let Ok(Event::Media(media)) = Event::parse(&text) else { panic!("{text}") };
            assert_eq!(media.timestamp_ms, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "",
            "hello",
            "{}",
            "[]",
            r#"{"event":7}"#,
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{"payload":5}}"#,
            r#"{"event":"mark","mark":{}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"start","start":{"streamSid":"nonsense","callSid":"CA1"}}"#,
        ] {
            assert!(Event::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_exactly_the_documented_fields() {
        let writer = Writer::new(&"MZ0a".parse().expect("valid"));
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut text = b">".to_vec();
            write(&mut text);
            String::from_utf8(text).expect("text")
        };
        assert_eq!(
            written(&|text| writer.media(&[0xFF, 0xFF], text)),
            r#">{"event":"media","streamSid":"MZ0a","media":{"payload":"//8="}}"#
        );
        assert_eq!(
            written(&|text| writer.mark("g1:2", text)),
            r#">{"event":"mark","streamSid":"MZ0a","mark":{"name":"g1:2"}}"#
        );
        assert_eq!(written(&|text| writer.clear(text)), r#">{"event":"clear","streamSid":"MZ0a"}"#);
    }

    #[test]
    fn a_payload_is_decoded_where_there_is_room() {
        let media = |payload| Media { payload, timestamp_ms: None, is_inbound: true };
        let mut room = [0; 4];
        let decoded = media("//8=".into()).decode(&mut room).expect("base64");
        assert_eq!(decoded, Cow::Borrowed(&[0xFF, 0xFF]));
        let decoded = media("AAECAwQFBgc=".into()).decode(&mut room).expect("base64");
        assert!(matches!(decoded, Cow::Owned(bytes) if bytes == [0, 1, 2, 3, 4, 5, 6, 7]));
        for bad in ["/", "//8", "//8=\n", "_w==", "é"] {
            assert!(media(bad.into()).decode(&mut room).is_err(), "{bad}");
            assert!(media(bad.into()).decode(&mut [0; 64]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_message_as_captured_is_recognised() {
        assert!(Media::captured(MEDIA).is_some());
        for other in [
            MEDIA.replace("inbound", "outbound"),
            MEDIA.replace("155", "-155"),
            MEDIA.replace("155", "1555555555555555555"),
            MEDIA.replace("//8=", "//8\\n"),
            MEDIA.replace("MZ0", "MZ\""),
            MEDIA.replace("\"}", "\"} "),
        ] {
            assert!(Media::captured(&other).is_none(), "{other}");
        }
    }

    /// Whatever the quick way recognises, serde reads alike.
    fn assert_agreement(text: &str) {
        let Some(quick) = Media::captured(text) else { return };
        let Ok(Event::Media(media)) = Event::parse_any(text) else { panic!("not media: {text}") };
        assert_eq!(quick.payload, media.payload, "{text}");
        assert_eq!(quick.timestamp_ms, media.timestamp_ms, "{text}");
        assert_eq!(quick.is_inbound, media.is_inbound, "{text}");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,200}") {
            let _ = Event::parse(&text);
        }

        #[test]
        fn a_damaged_message_never_panics(at in 0..MEDIA.len(), with in 0_u8..128) {
            let mut bytes = MEDIA.as_bytes().to_vec();
            bytes[at] = with;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = Event::parse(text);
                assert_agreement(text);
            }
        }

        #[test]
        fn both_ways_of_reading_agree(
            sequence in "[0-9]{0,20}",
            timestamp in "[0-9+-]{0,20}|.{0,5}",
            payload in "[A-Za-z0-9+/=]{0,40}|.{0,10}",
            stream in "MZ[0-9a-z]{32}|.{30,36}",
            at in 0..500_usize,
            inserted in ".{0,2}",
        ) {
            let mut text = format!(
                r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"1","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{stream}"}}"#
            );
            assert_agreement(&text);
            let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
            text.insert_str(at.unwrap_or(0), &inserted);
            assert_agreement(&text);
        }
    }
}
