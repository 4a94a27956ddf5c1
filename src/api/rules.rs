//! What the documents allow in each field. Every message says what is allowed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use actors::ids::{AgentId, PhoneNumber};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::Ruled;

/// Variables of one agent or call.
pub(crate) const MAX_VARIABLES: usize = 50;
const MAX_KEY_CHARS: usize = 100;
const MAX_VALUE_CHARS: usize = 1_000;
const MAX_PROMPT_CHARS: usize = 10_000;
/// Names of variables that the service itself may fill in.
const RESERVED_KEYS: [&str; 5] = ["agent_id", "call_id", "timestamp", "system", "internal"];

pub(crate) type Variables = BTreeMap<String, String>;

/// A text of so many characters.
pub(crate) fn text(value: &Value, min: usize, max: usize) -> Ruled<String> {
    let text = value.as_str().ok_or("must be a string")?;
    match (min..=max).contains(&text.chars().count()) {
        true if text.contains('\0') => Err("must not contain the character U+0000".to_owned()),
        true => Ok(text.to_owned()),
        false if min == 0 => Err(format!("must have at most {max} characters")),
        false => Err(format!("must have {min} to {max} characters")),
    }
}

/// A text that a type reads by itself.
pub(crate) fn parsed<T: FromStr<Err: Display>>(value: &Value) -> Ruled<T> {
    let text = value.as_str().ok_or("must be a string")?;
    text.parse().map_err(|why: T::Err| why.to_string())
}

pub(crate) fn agent_name(value: &Value) -> Ruled<String> {
    let name = text(value, 1, 100)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_');
    if !name.chars().all(allowed) {
        return Err(
            "may only have letters (a-z, A-Z), numbers, spaces, hyphens and underscores".to_owned()
        );
    }
    match name.trim().is_empty() {
        true => Err("must not be only spaces".to_owned()),
        false => Ok(name),
    }
}

pub(crate) fn prompt(value: &Value) -> Ruled<String> {
    text(value, 1, MAX_PROMPT_CHARS)
}

/// A name or id of a voice; `default` leaves the choice to Ultravox.
pub(crate) fn voice(value: &Value) -> Ruled<String> {
    text(value, 1, 100)
}

/// `en` or `en-US`.
pub(crate) fn language(value: &Value) -> Ruled<String> {
    let text = value.as_str().ok_or("must be a string")?;
    let (language, region) = match text.split_once('-') {
        Some((language, region)) => (language, Some(region)),
        None => (text, None),
    };
    let is_language = language.len() == 2 && language.bytes().all(|b| b.is_ascii_lowercase());
    let is_region =
        |region: &str| region.len() == 2 && region.bytes().all(|b| b.is_ascii_uppercase());
    match is_language && region.is_none_or(is_region) {
        true => Ok(text.to_owned()),
        false => {
            Err("must be two letters such as 'en', or language and country such as 'en-US'"
                .to_owned())
        }
    }
}

pub(crate) fn phone_number(value: &Value) -> Ruled<PhoneNumber> {
    parsed(value)
}

pub(crate) fn agent_id(value: &Value) -> Ruled<AgentId> {
    parsed(value)
}

/// A whole number, in JSON or in a query.
pub(crate) fn whole_number(value: &Value, min: i64, max: i64) -> Ruled<i64> {
    let number = match value {
        // Not `+7`, and not `٧`.
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            text.parse().ok()
        }
        other => integer(other),
    };
    let number = number.filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

/// A number without a fraction; `7.0` is one (JSON Schema, section 4.2.3).
pub(crate) fn integer(value: &Value) -> Option<i64> {
    /// Below, every whole number has its own float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT);
    value.as_i64().or_else(|| format!("{:.0}", whole?).parse().ok())
}

/// A time of RFC 3339.
pub(crate) fn timestamp(value: &Value) -> Ruled<Timestamp> {
    let text = value.as_str().ok_or("must be a string")?;
    let wrong = |_| "must be a time such as 2024-01-01T12:00:00Z".to_owned();
    text.parse().map_err(wrong)
}

/// Defaults for the variables of an agent's prompt: texts.
pub(crate) fn template_variables(value: &Value) -> Ruled<Variables> {
    let given = variables(value)?;
    let texts = given.iter().map(|(key, value)| {
        let text = value.as_str().ok_or_else(|| format!("must have a string for {key}"))?;
        if text.contains('\0') {
            return Err(format!("must not contain the character U+0000 in {key}"));
        }
        Ok((key.clone(), text.to_owned()))
    });
    texts.collect()
}

/// The variables of one call: anything but null, whose texts are not too long.
pub(crate) fn template_context(value: &Value) -> Ruled<Map<String, Value>> {
    Ok(variables(value)?.clone())
}

fn variables(value: &Value) -> Ruled<&Map<String, Value>> {
    let given = value.as_object().ok_or("must be an object")?;
    call_variables(given)?;
    Ok(given)
}

/// What is allowed of the variables of one call.
pub(crate) fn call_variables(given: &Map<String, Value>) -> Ruled<()> {
    if given.len() > MAX_VARIABLES {
        return Err(format!("must have at most {MAX_VARIABLES} variables, not {}", given.len()));
    }
    for (key, value) in given {
        variable_key(key)?;
        if value.is_null() {
            return Err(format!(
                "must have a string, number, boolean, array or object for {key}, not null"
            ));
        }
        texts_fit(key, value)?;
    }
    Ok(())
}

/// What is allowed of the name of a variable.
pub(crate) fn variable_key(key: &str) -> Ruled<()> {
    let shown: String = key.chars().take(MAX_KEY_CHARS).collect();
    let is_identifier = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !key.starts_with(|first: char| first.is_ascii_digit())
        && (1..=MAX_KEY_CHARS).contains(&key.len());
    if !is_identifier {
        return Err(format!(
            "has the key '{shown}': keys have 1 to {MAX_KEY_CHARS} letters, numbers and \
             underscores, and do not start with a number"
        ));
    }
    match RESERVED_KEYS.contains(&key) {
        true => {
            Err(format!("has the key '{key}', which is reserved, as {}", RESERVED_KEYS.join(", ")))
        }
        false => Ok(()),
    }
}

/// No text in a value is too long, however deep it lies.
fn texts_fit(key: &str, value: &Value) -> Ruled<()> {
    match value {
        Value::String(text) if text.chars().count() > MAX_VALUE_CHARS => {
            Err(format!("must have at most {MAX_VALUE_CHARS} characters in a string of {key}"))
        }
        Value::Array(values) => values.iter().try_for_each(|value| texts_fit(key, value)),
        Value::Object(values) => values.values().try_for_each(|value| texts_fit(key, value)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_their_characters() {
        for good in ["a", &"x".repeat(100), "Support Agent_2 - EU", " a "] {
            assert!(agent_name(&json!(good)).is_ok(), "{good}");
        }
        for bad in ["", " ", &"x".repeat(101), "a.b", "</Say>", "a'; DROP TABLE agents", "a\n"] {
            assert!(agent_name(&json!(bad)).is_err(), "{bad}");
        }
        assert_eq!(agent_name(&json!(7)), Err("must be a string".to_owned()));
    }

    #[test]
    fn prompts_are_counted_in_characters() {
        assert!(prompt(&json!("ü".repeat(10_000))).is_ok());
        assert!(prompt(&json!("ü".repeat(10_001))).is_err());
        assert!(prompt(&json!("")).is_err() && prompt(&json!("x")).is_ok());
        assert!(prompt(&json!("a\0b")).is_err(), "PostgreSQL stores no U+0000");
    }

    #[test]
    fn languages_are_written_as_documented() {
        for good in ["en", "en-US", "pt-BR"] {
            assert!(language(&json!(good)).is_ok(), "{good}");
        }
        for bad in ["", "e", "EN", "eng", "en-us", "en_US", "en-", "en-USA", "en-US-x", "é"] {
            assert!(language(&json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_keep_their_rules() {
        let context = |value: Value| template_context(&value);
        let many = |count: usize| -> Value {
            Map::from_iter((0..count).map(|n| (format!("v{n}"), json!(n)))).into()
        };
        assert!(context(many(50)).is_ok() && context(many(51)).is_err());
        assert!(context(json!({"a": "x".repeat(1_000)})).is_ok());
        let long = "x".repeat(1_001);
        assert!(context(json!({"a": long})).is_err());
        assert!(context(json!({"a": [{"deep": long}]})).is_err());
        assert!(context(json!({"a": [1], "b": {"c": true}, "_d": 1.5, "E9": ""})).is_ok());
        assert!(context(json!({"k".repeat(100): 1})).is_ok());
        for key in
            ["", "9a", "a-b", "a b", "ä", &"k".repeat(101), "agent_id", "call_id", "timestamp"]
        {
            assert!(context(json!({key: 1})).is_err(), "{key}");
        }
        assert!(context(json!({"system": 1})).is_err() && context(json!({"internal": 1})).is_err());
        assert!(context(json!({"a": null})).is_err());
        assert!(context(json!([])).is_err());
        assert!(template_variables(&json!({"a": "x"})).is_ok());
        let number = template_variables(&json!({"a": 1}));
        assert_eq!(number, Err("must have a string for a".to_owned()));
    }

    #[test]
    fn numbers_are_read_from_queries_too() {
        assert_eq!(whole_number(&json!("7"), 1, 10), Ok(7));
        assert_eq!(whole_number(&json!(10), 1, 10), Ok(10));
        assert_eq!(whole_number(&json!(10.0), 1, 10), Ok(10));
        for bad in
            [json!("11"), json!(0), json!("+7"), json!("1.5"), json!(1.5), json!(""), json!("٧")]
        {
            let said = whole_number(&bad, 1, 10);
            assert_eq!(said, Err("must be a whole number from 1 to 10".to_owned()), "{bad}");
        }
    }
}
