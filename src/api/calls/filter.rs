//! Which calls a list is to show.

use actors::call::CallStatus;
use actors::ids::CompanyId;
use utoipa::IntoParams;

use crate::api::error::ApiError;
use crate::api::fields::{Fields, Ruled};
use crate::api::rules;
use crate::store::{CallCursor, CallFilter, Direction};
use serde_json::Value;

/// Calls on a page when the query does not say.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// The parameters of a list of calls.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct CallQuery {
    /// Only calls that stand so; `cancelled` is another spelling of `canceled`.
    #[param(schema_with = super::schema::any_status)]
    status: Option<String>,
    /// Only calls with this agent.
    #[param(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    agent_id: Option<String>,
    /// Only calls with the person of this number.
    #[param(pattern = "^\\+[0-9]{7,17}$")]
    phone_number: Option<String>,
    /// Only calls in this direction.
    #[param(schema_with = super::schema::any_direction)]
    direction: Option<String>,
    /// Only calls asked for at this time or later (RFC 3339).
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// Only calls asked for before this time.
    #[param(format = DateTime)]
    created_before: Option<String>,
    /// At most so many calls.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9a-f]{43}$")]
    cursor: Option<String>,
}

/// A page of a list.
pub(super) struct Asked {
    pub(super) filter: CallFilter,
    pub(super) cursor: Option<CallCursor>,
    pub(super) limit: u32,
}

pub(super) fn parse(query: &str, company: CompanyId) -> Result<Asked, ApiError> {
    let mut query = Fields::of_query(query);
    let filter = CallFilter {
        company,
        status: query.optional("status", status),
        agent: query.optional("agent_id", rules::agent_id),
        direction: query.optional("direction", direction),
        person: query.optional("phone_number", |value| {
            rules::phone_number(value).map(|number| number.as_str().to_owned())
        }),
        created_after: query.optional("created_after", rules::timestamp),
        created_before: query.optional("created_before", rules::timestamp),
    };
    let limit = query.optional("limit", |value| rules::whole_number(value, 1, MAX_LIMIT));
    let limit = u32::try_from(limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(u32::MAX);
    let cursor = query.optional("cursor", cursor);
    query.finish()?;
    Ok(Asked { filter, cursor, limit })
}

fn status(value: &Value) -> Ruled<CallStatus> {
    let known = CallStatus::ALL.map(CallStatus::as_str).join(", ");
    let word = value.as_str().unwrap_or_default();
    word.parse().map_err(|_| format!("must be one of {known}"))
}

fn direction(value: &Value) -> Ruled<Direction> {
    match value.as_str() {
        Some("inbound") => Ok(Direction::Inbound),
        Some("outbound") => Ok(Direction::Outbound),
        _ => Err("must be 'inbound' or 'outbound'".to_owned()),
    }
}

fn cursor(value: &Value) -> Ruled<CallCursor> {
    let word = value.as_str().unwrap_or_default();
    word.parse().map_err(|_| "must be the next_cursor of an earlier page".to_owned())
}
