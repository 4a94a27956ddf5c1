//! What a vendor's error answer says.
//!
//! Twilio answers `{"code": 21211, "message": "…"}`, Ultravox `{"detail": "…"}` or
//! `{"field": ["…"]}`, and whatever stands before them answers anything at all. None of it is
//! relied upon: the worst case is the raw text, cut.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

/// Enough for every message the vendors are known to send, and not a page of HTML.
const MESSAGE_CHARS: usize = 300;

/// Dates as Twilio and HTTP write them. The weekday is not worth an error.
static RFC2822: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// An error answer, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The vendor's own number for it.
    pub(super) code: Option<i64>,
    /// Its words.
    pub(super) message: String,
}

/// Reads the body of an error answer. Each of `secrets` is blotted out should the vendor repeat it.
pub(super) fn read(body: &[u8], secrets: &[&str]) -> Problem {
    let json = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = match &json["code"] {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    // Only as much of a huge body as can end up in the message.
    let raw = || String::from_utf8_lossy(&body[..body.len().min(8 * MESSAGE_CHARS)]).into_owned();
    let mut message = words(&json).unwrap_or_else(raw);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        message = message.replace(secret, "***");
    }
    let message = tidy(&message);
    let message = if message.is_empty() { "no message".into() } else { message };
    Problem { code, message }
}

/// One line without control characters, at most [`MESSAGE_CHARS`] long.
pub(super) fn tidy(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn words(json: &Value) -> Option<String> {
    let object = json.as_object()?;
    for key in ["message", "detail", "error"] {
        if let Some(text) = object.get(key).and_then(flat) {
            return Some(text);
        }
    }
    let fields: Vec<String> = object
        .iter()
        .filter(|(_, value)| value.is_array() || value.is_string())
        .filter_map(|(field, value)| Some(format!("{field}: {}", flat(value)?)))
        .collect();
    (!fields.is_empty()).then(|| fields.join("; "))
}

fn flat(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(flat).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        Value::Object(_) => words(value),
        _ => None,
    }
}

/// A date as Twilio writes it: `Tue, 31 Aug 2010 20:36:28 +0000`; HTTP's `GMT` is read too.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    RFC2822.parse_timestamp(text.trim()).ok()
}

/// `Retry-After`: seconds, or a date that `now` (the vendor's clock where it tells) is held against.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = date(header)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &str) -> (Option<i64>, String) {
        let Problem { code, message } = read(body.as_bytes(), &["s3cret"]);
        (code, message)
    }

    #[test]
    fn each_shape_of_error_is_read() {
        let twilio =
            r#"{"code": 21211, "message": "not valid", "more_info": "https://x", "status": 400}"#;
        assert_eq!(problem(twilio), (Some(21211), "not valid".into()));
        assert_eq!(
            problem(r#"{"code":"20003","detail":"old","message":""}"#),
            (Some(20003), "old".into())
        );
        assert_eq!(problem(r#"{"detail":"Invalid API key"}"#), (None, "Invalid API key".into()));
        assert_eq!(
            problem(r#"{"voice":["no such voice"],"medium":{"x":1},"model":["a","b"]}"#),
            (None, "model: a, b; voice: no such voice".into())
        );
        assert_eq!(problem(r#"{"detail":[{"voice":["bad"]}]}"#), (None, "voice: bad".into()));
        assert_eq!(
            problem("<h1>502\r\n Bad\tGateway</h1>"),
            (None, "<h1>502 Bad Gateway</h1>".into())
        );
        assert_eq!(problem("[1]"), (None, "[1]".into()));
        assert_eq!(problem(""), (None, "no message".into()));
    }

    #[test]
    fn a_message_is_one_line_of_sensible_length_without_secrets() {
        assert_eq!(problem(r#"{"message":"key s3cret\u0000\n is wrong"}"#).1, "key *** is wrong");
        let long = read("é".repeat(100_000).as_bytes(), &[]).message;
        assert_eq!(long.chars().count(), 301);
        assert!(long.ends_with('…'));
        assert_eq!(read(&[0xff; 10], &[]).message, "\u{fffd}".repeat(10));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = date("Wed, 21 Oct 2015 07:28:00 GMT").expect("an HTTP date");
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now), Some(Duration::ZERO));
        for bad in ["soon", "", "-3", "inf", "NaN", "1e300"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn twilios_dates_are_read() {
        let read = date("Tue, 31 Aug 2010 20:36:28 +0000").expect("a date");
        assert_eq!(read.as_second(), 1_283_286_988);
        assert_eq!(date("2010-08-31"), None);
    }
}
