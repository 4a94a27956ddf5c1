//! Rules for creating a call that a schema cannot express.

use serde_json::Value;

/// What is wrong with a `StartCallRequest` or `StartAgentCallRequest` of the right shape.
pub(crate) fn check(body: &Value, continues: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let given = |field: &str| body.get(field).is_some();
    if given("firstSpeaker") && given("firstSpeakerSettings") {
        problems.push("firstSpeaker and firstSpeakerSettings exclude each other".into());
    }
    if given("voice") && given("externalVoice") {
        problems.push("voice and externalVoice exclude each other".into());
    }
    if continues && given("initialMessages") {
        problems.push("initialMessages and priorCallId exclude each other".into());
    }
    at_most_one(&body["firstSpeakerSettings"], "firstSpeakerSettings", &mut problems);
    at_most_one(&body["medium"], "medium", &mut problems);
    if body["temperature"].as_f64().is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        problems.push("temperature must be from 0 to 1".into());
    }
    for key in body["metadata"].as_object().into_iter().flat_map(|metadata| metadata.keys()) {
        if key.starts_with("ultravox.") {
            problems.push(format!("metadata.{key}: keys of ultravox. are reserved"));
        }
    }
    for secret in body["sharedSecrets"].as_array().into_iter().flatten() {
        if secret.as_str().is_some_and(|secret| !(16..=127).contains(&secret.len())) {
            problems.push("sharedSecrets must have 16 to 127 characters".into());
        }
    }
    let tools = body["selectedTools"].as_array().into_iter().flatten();
    for tool in tools.chain(body["toolOverrides"]["add"].as_array().into_iter().flatten()) {
        check_tool(tool, &mut problems);
    }
    if let Some(medium) = body["medium"].get("serverWebSocket") {
        check_web_socket(medium, &mut problems);
    }
    problems
}

fn at_most_one(choice: &Value, name: &str, problems: &mut Vec<String>) {
    if choice.as_object().is_some_and(|variants| variants.len() > 1) {
        problems.push(format!("{name} takes one variant only"));
    }
}

fn check_tool(tool: &Value, problems: &mut Vec<String>) {
    let kinds = ["toolId", "toolName", "temporaryTool"];
    if kinds.iter().filter(|kind| tool.get(kind).is_some()).count() != 1 {
        problems.push("a selected tool needs one of toolId, toolName and temporaryTool".into());
    }
    let Some(definition) = tool.get("temporaryTool") else { return };
    let name = definition["modelToolName"].as_str().unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        problems.push(format!("{name:?} is no modelToolName"));
    }
    let parts = ["http", "client", "dataConnection"];
    if parts.iter().filter(|part| definition.get(part).is_some()).count() != 1 {
        problems.push(format!("tool {name} needs one of http, client and dataConnection"));
    }
}

fn check_web_socket(medium: &Value, problems: &mut Vec<String>) {
    if medium.get("inputSampleRate").is_none() {
        problems.push("medium.serverWebSocket.inputSampleRate is missing".into());
    }
    for field in ["inputSampleRate", "outputSampleRate", "clientBufferSizeMs"] {
        if medium[field].as_i64().is_some_and(|value| value <= 0) {
            problems.push(format!("medium.serverWebSocket.{field} must be positive"));
        }
    }
}

/// Every `{{name}}` in the strings of an agent's template, without those of nested values'
/// fields: `{{user.name}}` asks for `user`.
pub(crate) fn template_names(template: &Value) -> Vec<String> {
    let mut names = Vec::new();
    match template {
        Value::String(text) => {
            for part in text.split("{{").skip(1) {
                let name = part.split("}}").next().unwrap_or_default().trim();
                names.push(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
        Value::Array(items) => names.extend(items.iter().flat_map(template_names)),
        Value::Object(fields) => {
            let values = fields.iter().filter(|(name, _)| *name != "contextSchema");
            names.extend(values.flat_map(|(_, value)| template_names(value)));
        }
        _ => {}
    }
    names.sort();
    names.dedup();
    names
}

/// `text` with every `{{name}}` replaced from `context`.
pub(crate) fn fill_in(text: &str, context: &Value) -> String {
    let mut parts = text.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = path.trim().split('.').fold(context, |value, name| &value[name]);
        match value {
            Value::String(text) => filled.push_str(text),
            Value::Null => {}
            other => filled.push_str(&other.to_string()),
        }
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_beyond_the_schema_are_checked() {
        let body = json!({
            "firstSpeaker": "FIRST_SPEAKER_USER", "firstSpeakerSettings": {"user": {}},
            "initialMessages": [], "temperature": 1.5, "metadata": {"ultravox.x": "1"},
            "medium": {"serverWebSocket": {}, "webRtc": {}},
            "selectedTools": [{}, {"temporaryTool": {"modelToolName": "a b", "client": {}}}],
        });
        let problems = check(&body, true);
        assert_eq!(problems.len(), 8, "{problems:#?}");
        let fine = json!({"medium": {"serverWebSocket": {"inputSampleRate": 8000}}});
        assert_eq!(check(&fine, false), [""; 0]);
    }

    #[test]
    fn templates_are_filled_from_their_context() {
        let template = json!({"systemPrompt": "Hi {{name}}, {{ user.age }}", "voice": "Mark"});
        assert_eq!(template_names(&template), ["name", "user"]);
        let context = json!({"name": "Jo", "user": {"age": 7}});
        assert_eq!(fill_in("Hi {{name}}, {{ user.age }}!", &context), "Hi Jo, 7!");
    }
}
