//! Checks JSON against the published shape of a request or message, strictly: a field that the
//! schema does not name is a mistake, though Ultravox itself might ignore it.
//!
//! Understands the little of JSON Schema that these two files need.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static REQUESTS: LazyLock<Schemas> =
    LazyLock::new(|| Schemas::parse(include_str!("requests.schema.json")));
static MESSAGES: LazyLock<Schemas> =
    LazyLock::new(|| Schemas::parse(include_str!("messages.schema.json")));

/// What is wrong with the body of a request of this name, by path. Empty when nothing is.
pub(crate) fn check_request(name: &str, body: &Value) -> Vec<String> {
    REQUESTS.check(name, body)
}

/// What is wrong with a message from the client.
pub(crate) fn check_message(message: &Value) -> Vec<String> {
    match message.get("type").and_then(Value::as_str) {
        Some(kind) if MESSAGES.0.contains_key(kind) => MESSAGES.check(kind, message),
        Some(kind) => vec![format!("{kind} is no documented client message")],
        None => vec!["a message without a type".into()],
    }
}

/// What is wrong with `value` by a schema of somebody's own, such as an agent's `contextSchema`.
pub(crate) fn check_against(schema: &Value, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    Schemas(Map::new()).visit(schema, value, "", &mut problems);
    problems
}

/// Whether `text` is a duration such as `0.384s`.
pub(crate) fn is_duration(text: &str) -> bool {
    let Some(number) = text.strip_prefix('-').unwrap_or(text).strip_suffix('s') else {
        return false;
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let digits = |part: &str, most| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (whole == "0" || (digits(whole, 12) && !whole.starts_with('0')))
        && fraction.is_none_or(|fraction| digits(fraction, 9))
}

struct Schemas(Map<String, Value>);

impl Schemas {
    fn parse(text: &str) -> Self {
        Schemas(serde_json::from_str(text).expect("an embedded schema is JSON"))
    }

    fn check(&self, name: &str, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.visit(&self.0[name], value, "", &mut problems);
        problems
    }

    fn visit(&self, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            return self.visit(&self.0[name], value, path, problems);
        }
        let at = if path.is_empty() { "the body" } else { path };
        if let Some(kind) = schema["type"].as_str()
            && !has_type(kind, value)
        {
            return problems.push(format!("{at} must be of type {kind}, got {value}"));
        }
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            problems.push(format!("{at} must be one of the documented values, got {value}"));
        }
        if let Some(text) = value.as_str() {
            if schema["format"] == "duration" && !is_duration(text) {
                problems.push(format!("{at} must be a duration such as 30s, got {value}"));
            }
            if schema["maxLength"].as_u64().is_some_and(|most| text.len() as u64 > most) {
                problems.push(format!("{at} is too long"));
            }
        }
        match value {
            Value::Object(fields) => self.visit_fields(schema, fields, path, problems),
            Value::Array(items) if schema["items"].is_object() => {
                for (n, item) in items.iter().enumerate() {
                    self.visit(&schema["items"], item, &format!("{path}[{n}]"), problems);
                }
            }
            _ => {}
        }
    }

    fn visit_fields(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        let inside =
            |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            if !fields.contains_key(name) {
                problems.push(format!("{} is missing", inside(name)));
            }
        }
        let known = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        for (name, value) in fields {
            if let Some(property) = known.and_then(|known| known.get(name)) {
                self.visit(property, value, &inside(name), problems);
            } else if others.is_object() {
                self.visit(others, value, &inside(name), problems);
            } else if known.is_some() && *others != true {
                problems.push(format!("{} is no documented field", inside(name)));
            }
        }
    }
}

fn has_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_full_request_is_accepted() {
        let body = json!({
            "systemPrompt": "You are helpful.", "model": "ultravox-v0.7", "temperature": 0.3,
            "joinTimeout": "30s", "maxDuration": "1800s", "firstSpeakerSettings": {"agent": {}},
            "medium": {"serverWebSocket": {"inputSampleRate": 8000, "clientBufferSizeMs": 30000,
                "dataMessages": {"userStartedSpeaking": true}}},
            "selectedTools": [{"toolName": "hangUp"}], "metadata": {"callId": "CA1"},
            "experimentalSettings": {"anything": 1}
        });
        assert_eq!(check_request("StartCallRequest", &body), [""; 0]);
    }

    #[test]
    fn each_mistake_is_named_by_its_path() {
        let body = json!({
            "sytemPrompt": "", "temperature": "hot", "maxDuration": 30,
            "joinTimeout": "half an hour", "metadata": {"n": 1},
            "medium": {"serverWebSocket": {"inputSampleRate": 8000.5, "rate": 1}}
        });
        let problems = check_request("StartCallRequest", &body).join("\n");
        for part in [
            "sytemPrompt is no documented field",
            "temperature must be of type number",
            "maxDuration must be of type string",
            "joinTimeout must be a duration",
            "metadata.n must be of type string",
            "medium.serverWebSocket.inputSampleRate must be of type integer",
            "medium.serverWebSocket.rate is no documented field",
        ] {
            assert!(problems.contains(part), "{part} not in\n{problems}");
        }
    }

    #[test]
    fn an_agents_call_allows_only_its_own_fields() {
        let problems = check_request("StartAgentCallRequest", &json!({"systemPrompt": "x"}));
        assert_eq!(problems, ["systemPrompt is no documented field"]);
    }

    #[test]
    fn client_messages_are_checked_by_type() {
        assert_eq!(check_message(&json!({"type": "ping", "timestamp": 1.5})), [""; 0]);
        for wrong in [
            json!({"type": "ping"}),
            json!({"type": "input_text_message", "text": "old"}),
            json!({"text": "x"}),
            json!({"type": "client_tool_result", "invocationId": "1", "result": {"ok": true}}),
            json!({"type": "user_text_message", "text": "x", "urgency": "now"}),
            json!({"type": "hang_up", "reason": "x"}),
        ] {
            assert!(!check_message(&wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_as_documented() {
        for good in ["0s", "30s", "0.384s", "-1s", "3600.000000001s"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["30", "s", "030s", ".5s", "1.s", "1e3s", "30 s", "1.0000000001s"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
