//! What Twilio accepts on a media stream: three messages, with exactly the documented fields.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A message from the service that Twilio would act on.
#[derive(Debug, PartialEq, Eq)]
pub enum FromService {
    /// Audio to play.
    Media(Vec<u8>),
    /// A mark to echo when everything before it has played.
    Mark(String),
    /// Drop what has not been played.
    Clear,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    #[serde(borrow, rename = "event")]
    _event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Cow<'a, str>,
    #[serde(borrow)]
    media: MediaBody<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaBody<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    #[serde(borrow, rename = "event")]
    _event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Cow<'a, str>,
    mark: MarkBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear<'a> {
    #[serde(borrow, rename = "event")]
    _event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Cow<'a, str>,
}

/// Checks one text message of the service. The error says what Twilio would object to (31951).
///
/// # Errors
/// Anything that is not exactly one of the three documented messages for this stream.
pub fn check(text: &str, stream_sid: &str) -> Result<FromService, String> {
    // Nearly all of them are media; anything odd about one is found out below.
    if text.starts_with(r#"{"event":"media""#)
        && let Ok(media) = serde_json::from_str::<Media<'_>>(text)
        && media.stream_sid == stream_sid
        && let Ok(audio) = STANDARD.decode(&*media.media.payload)
    {
        return Ok(FromService::Media(audio));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let same = |got: &str| {
        if got == stream_sid {
            Ok(())
        } else {
            Err(format!("streamSid is {got:?}, this stream is {stream_sid}"))
        }
    };
    match &*envelope.event {
        "media" => {
            let media: Media<'_> = serde_json::from_str(text).map_err(|e| format!("media: {e}"))?;
            same(&media.stream_sid)?;
            let audio = STANDARD
                .decode(&*media.media.payload)
                .map_err(|e| format!("media: the payload is not padded standard base64: {e}"))?;
            Ok(FromService::Media(audio))
        }
        "mark" => {
            let mark: Mark<'_> = serde_json::from_str(text).map_err(|e| format!("mark: {e}"))?;
            same(&mark.stream_sid)?;
            Ok(FromService::Mark(mark.mark.name))
        }
        "clear" => {
            let clear: Clear<'_> = serde_json::from_str(text).map_err(|e| format!("clear: {e}"))?;
            same(&clear.stream_sid)?;
            Ok(FromService::Clear)
        }
        other => Err(format!("unknown event {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "MZ00000000000000000000000000000001";

    fn checked(template: &str) -> Result<FromService, String> {
        check(&template.replace("$", SID), SID)
    }

    #[test]
    fn the_three_documented_messages_pass() {
        assert_eq!(
            checked(r#"{"event":"media","streamSid":"$","media":{"payload":"/w=="}}"#),
            Ok(FromService::Media(vec![0xFF]))
        );
        assert_eq!(
            checked(r#"{"event":"mark","streamSid":"$","mark":{"name":"a \"b\""}}"#),
            Ok(FromService::Mark("a \"b\"".into()))
        );
        assert_eq!(checked(r#"{"event":"clear","streamSid":"$"}"#), Ok(FromService::Clear));
    }

    #[test]
    fn anything_else_is_invalid() {
        for wrong in [
            "",
            "hello",
            "[]",
            r#"{"streamSid":"$"}"#,
            r#"{"event":"stop","streamSid":"$"}"#,
            r#"{"event":"clear"}"#,
            r#"{"event":"clear","streamSid":"MZ1"}"#,
            r#"{"event":"clear","streamSid":"$","reason":"x"}"#,
            r#"{"event":"clear","streamSid":"$"} "x""#,
            r#"{"event":"mark","streamSid":"$"}"#,
            r#"{"event":"mark","streamSid":"$","name":"x"}"#,
            r#"{"event":"mark","streamSid":"$","mark":{"name":1}}"#,
            r#"{"event":"mark","streamSid":"$","mark":{"name":"x","id":1}}"#,
            r#"{"event":"media","streamSid":"$"}"#,
            r#"{"event":"media","streamSid":"$","media":{"payload":"/w"}}"#,
            r#"{"event":"media","streamSid":"$","media":{"payload":"_w=="}}"#,
            r#"{"event":"media","streamSid":"$","media":{"payload":"/w==\n"}}"#,
            r#"{"event":"media","streamSid":"$","media":{"payload":"/w==","track":"outbound"}}"#,
            r#"{"event":"media","streamSid":"$","media":{"payload":"/w=="},"sequenceNumber":"1"}"#,
        ] {
            assert!(checked(wrong).is_err(), "{wrong} passed");
        }
    }
}
