//! Agents as they are written in requests and answers.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use crate::api::rules::MAX_VARIABLES;
use crate::api::time::whole_seconds;
use crate::store::{AgentRow, AgentStatus};

/// The id of an agent.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("agent_id"))]
pub(crate) struct AgentIdParam(
    /// Unique identifier for the agent
    #[expect(dead_code, reason = "only described")]
    #[param(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    String,
);

/// What an agent is told and how it speaks.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentConfig, example = json!({
    "name": "Customer Support Agent",
    "prompt": "You are a helpful customer support agent. Be polite and professional.",
    "voice": "default",
    "language": "en",
    "template_variables": {"company_name": "Acme Corp", "support_hours": "9 AM - 5 PM EST"}
}))]
pub(crate) struct AgentConfigBody<'a> {
    /// Letters, numbers, spaces, hyphens and underscores; not only spaces.
    #[schema(max_length = 100, pattern = "^[A-Za-z0-9 _-]*[A-Za-z0-9_-][A-Za-z0-9 _-]*$")]
    name: &'a str,
    /// What the agent is told about its task; `{{names}}` are filled in for each call.
    #[schema(min_length = 1, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    prompt: &'a str,
    /// A voice of Ultravox's; `default` leaves the choice to Ultravox.
    #[schema(
        required = false,
        nullable,
        min_length = 1,
        max_length = 100,
        default = "default",
        pattern = "^[^\\u0000]*$"
    )]
    voice: &'a str,
    /// Two letters, or language and country.
    #[schema(required = false, nullable, pattern = "^[a-z]{2}(-[A-Z]{2})?$", default = "en")]
    language: &'a str,
    /// Defaults for the names in the prompt. Reserved and not allowed as keys: `agent_id`,
    /// `call_id`, `timestamp`, `system`, `internal`.
    #[schema(required = false, schema_with = texts_by_name)]
    template_variables: &'a BTreeMap<String, String>,
}

/// A new configuration, and whether the agent takes calls.
#[derive(ToSchema)]
#[schema(as = AgentUpdate)]
pub(crate) struct AgentUpdateBody<'a> {
    #[expect(dead_code, reason = "only described")]
    #[schema(inline)]
    #[serde(flatten)]
    config: AgentConfigBody<'a>,
    /// `inactive` disables the agent for new calls; absent, an agent stays as it is.
    #[expect(dead_code, reason = "only described")]
    #[schema(required = false, schema_with = wanted_status)]
    status: Option<AgentStatus>,
}

/// An agent.
#[derive(Serialize, ToSchema)]
#[schema(as = Agent, example = json!({
    "id": "agent_123456",
    "config": {
        "name": "Customer Support Agent",
        "prompt": "You are a helpful customer support agent.",
        "voice": "default",
        "language": "en",
        "template_variables": {}
    },
    "created_at": "2024-01-01T12:00:00Z",
    "updated_at": "2024-01-01T12:00:00Z",
    "status": "active"
}))]
pub(crate) struct AgentBody<'a> {
    /// Unique identifier for the agent.
    id: &'a str,
    config: AgentConfigBody<'a>,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// `active`: ready for calls; `inactive`: disabled; `creating`: being made; `error`: making or
    /// changing it failed.
    #[schema(schema_with = any_status)]
    status: &'a str,
}

impl<'a> From<&'a AgentRow> for AgentBody<'a> {
    fn from(row: &'a AgentRow) -> Self {
        AgentBody {
            id: row.id.as_str(),
            config: AgentConfigBody {
                name: &row.config.name,
                prompt: &row.config.prompt,
                voice: &row.config.voice,
                language: &row.config.language,
                template_variables: &row.config.template_variables,
            },
            created_at: whole_seconds(row.created_at),
            updated_at: whole_seconds(row.updated_at),
            status: row.status.as_str(),
        }
    }
}

/// Names of variables, and what each may be.
pub(crate) fn variables(value: Object) -> ObjectBuilder {
    let key = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some("^[A-Za-z_][A-Za-z0-9_]{0,99}$"));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .max_properties(Some(MAX_VARIABLES))
        .property_names(Some(key.build()))
        .additional_properties(Some(AdditionalProperties::RefOr(value.into())))
}

fn texts_by_name() -> Object {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .max_length(Some(1_000))
        .pattern(Some("^[^\\u0000]*$"))
        .build();
    variables(text).build()
}

fn any_status() -> Object {
    let words = AgentStatus::ALL.map(AgentStatus::as_str);
    word(words)
}

fn wanted_status() -> Object {
    word_or_null(["active", "inactive"])
}

/// One of some words, or null for none.
pub(crate) fn word_or_null<const N: usize>(words: [&str; N]) -> Object {
    let words = words.into_iter().map(Some).chain([None]);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words.collect::<Vec<_>>()))
        .build()
}

/// One of some words.
pub(crate) fn word<const N: usize>(words: [&str; N]) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(words))
        .build()
}
