//! What becomes of an agent's prompt: the template Ultravox keeps, and what each call fills in.

use actors::ids::AgentId;
use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::api::rules::MAX_VARIABLES;
use crate::clients::ultravox::agents::AgentTemplate;
use crate::startup::Context;
use crate::store::{AgentConfig, AgentRow, UltravoxConfig};

/// The voice that leaves the choice to Ultravox.
pub(super) const DEFAULT_VOICE: &str = "default";
pub(super) const DEFAULT_LANGUAGE: &str = "en";
/// Ultravox's names of agents have at most 64 characters.
const VENDOR_NAME_CHARS: usize = 64;
/// So many characters of our id make a name unique at Ultravox, and findable there.
const ID_CHARS: usize = 16;

/// What Ultravox is given to keep.
pub(super) fn template(
    context: &Context,
    company: &UltravoxConfig,
    id: &AgentId,
    config: &AgentConfig,
) -> AgentTemplate {
    AgentTemplate {
        name: vendor_name(id, &config.name),
        system_prompt: config.prompt.clone(),
        voice: (config.voice != DEFAULT_VOICE).then(|| config.voice.clone()),
        language: Some(config.language.clone()),
        model: company.model.clone(),
        first_speaker: company.first_speaker,
        join_timeout: context.ring_timeout,
        max_duration: context.max_call,
    }
}

/// The agent's name and the end of our id, so that two agents may have one name.
pub(super) fn vendor_name(id: &AgentId, name: &str) -> String {
    let id = id.as_str();
    let tail = &id[id.len().saturating_sub(ID_CHARS)..];
    let room = VENDOR_NAME_CHARS - ID_CHARS - 1;
    let head: String = name.trim().chars().take(room).collect();
    format!("{} {tail}", head.trim_end())
}

/// The variables of one call: the agent's defaults, overridden by what the call gives.
pub(crate) fn context_for_call(
    agent: &AgentRow,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, ApiError> {
    let mut context = super::defaults(agent);
    context.extend(given);
    let missing = missing_variables(&agent.config.prompt, &context);
    if context.len() > MAX_VARIABLES {
        let why = format!(
            "must have at most {MAX_VARIABLES} variables with the agent's defaults, not {}",
            context.len()
        );
        return Err(ApiError::invalid_field("template_context", why));
    }
    if !missing.is_empty() {
        let why = format!("must give what the agent's prompt needs: {}", missing.join(", "));
        return Err(ApiError::invalid_field("template_context", why));
    }
    Ok(context)
}

/// Names in a prompt that a context does not give. Sections (`{{#…}}`), comments and the like are
/// Ultravox's business; of a dotted name the first part must be there.
pub(crate) fn missing_variables(prompt: &str, context: &Map<String, Value>) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for after in prompt.split("{{").skip(1) {
        let Some((inside, _)) = after.split_once("}}") else { continue };
        let inside = inside.trim_start_matches(['{', '&']).trim();
        let name = inside.split('.').next().unwrap_or_default();
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if is_name && !context.contains_key(name) && !missing.iter().any(|known| known == name) {
            missing.push(name.to_owned());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ultravox_knows_an_agent_by_name_and_id() {
        let id: AgentId = "agent_0198c2a47d1e7cc398c4dc0c0c07398f".parse().expect("an id");
        assert_eq!(vendor_name(&id, "Support"), "Support 98c4dc0c0c07398f");
        let long = vendor_name(&id, &"x".repeat(100));
        assert_eq!(long.chars().count(), 64);
        assert!(long.ends_with(" 98c4dc0c0c07398f"));
    }

    #[test]
    fn a_prompt_says_what_it_needs() {
        let context = json!({"name": "Ann", "order": {"id": 1}});
        let missing = |prompt| missing_variables(prompt, context.as_object().expect("an object"));
        assert_eq!(missing("Hello {{ name }}, {{order.id}} {{{name}}}"), [""; 0]);
        assert_eq!(missing("{{when}} {{name}} {{ when }} {{where.exactly}}"), ["when", "where"]);
        assert_eq!(missing("{{#name}}x{{/name}} {{! a note }} {{ open {{9}}"), [""; 0]);
    }
}
