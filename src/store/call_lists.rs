//! Lists of calls, a page at a time.
//!
//! Every list is one company's, newest first, and walks an index that begins with one of the things
//! asked for; a page costs the same wherever in the list it lies.

use std::fmt;
use std::str::FromStr;

use actors::call::CallStatus;
use actors::ids::{AgentId, CallId, CompanyId};
use jiff::Timestamp;
use sqlx::{Database, Encode, QueryBuilder, Sqlite, Type};

use super::Store;
use super::calls::call_columns;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{CallRow, Direction, RawCall};

/// Which calls to list. Whatever is `None` is not asked about.
#[derive(Clone, Debug)]
pub struct CallFilter {
    /// Whose calls.
    pub company: CompanyId,
    /// How far they have come.
    pub status: Option<CallStatus>,
    /// Which of our agents takes them.
    pub agent: Option<AgentId>,
    /// Who called whom.
    pub direction: Option<Direction>,
    /// The number of the person, whoever called whom.
    pub person: Option<String>,
    /// Asked for at this time or later.
    pub created_after: Option<Timestamp>,
    /// Asked for before this time.
    pub created_before: Option<Timestamp>,
}

impl CallFilter {
    /// All calls of a company.
    pub fn all(company: CompanyId) -> Self {
        CallFilter {
            company,
            status: None,
            agent: None,
            direction: None,
            person: None,
            created_after: None,
            created_before: None,
        }
    }
}

/// A place in a list of calls: the next page begins after it. Clients are given it as a text that
/// means nothing to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCursor {
    /// When the last call of the page before was asked for, to the millisecond.
    pub created_at: Timestamp,
    /// That call.
    pub id: CallId,
}

/// A text that is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the cursor that came with the page before")]
pub struct InvalidCursor;

impl From<&CallRow> for CallCursor {
    /// The place of the last call of a page.
    fn from(row: &CallRow) -> Self {
        CallCursor { created_at: row.created_at, id: row.id }
    }
}

/// Hex digits of a cursor's time in milliseconds, which last until the year 2527.
const TIME_DIGITS: usize = 11;

/// Hex digits: of the time, then of the id. Whatever has this form is a cursor.
impl fmt::Display for CallCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.to_string().replace('-', "");
        write!(f, "{:0TIME_DIGITS$x}{id}", self.created_at.as_millisecond())
    }
}

impl FromStr for CallCursor {
    type Err = InvalidCursor;

    fn from_str(raw: &str) -> Result<Self, InvalidCursor> {
        let is_hex = raw.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (ms, id) = raw.split_at_checked(TIME_DIGITS).ok_or(InvalidCursor)?;
        if !is_hex || id.len() != 32 {
            return Err(InvalidCursor);
        }
        let ms = i64::from_str_radix(ms, 16).map_err(|_| InvalidCursor)?;
        Ok(CallCursor {
            created_at: Timestamp::from_millisecond(ms).map_err(|_| InvalidCursor)?,
            id: id.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

impl Store {
    /// A page of calls, the newest first, after the cursor when one is given.
    pub async fn calls(
        &self,
        filter: &CallFilter,
        after: Option<&CallCursor>,
        limit: u32,
    ) -> Result<Vec<CallRow>, StoreError> {
        // PostgreSQL has no texts with a zero in them, so nobody has such a number.
        if filter.person.as_ref().is_some_and(|person| person.contains('\0')) {
            return Ok(Vec::new());
        }
        let raw: Vec<RawCall> = on_pool!(self.reader, |db| {
            let mut query = list(filter, after, limit);
            Ok(query.build_query_as().fetch_all(db).await?)
        })?;
        raw.into_iter().map(|raw| raw.read(&self.sealer)).collect()
    }
}

/// The query of one page, with the conditions that are given and no others.
pub(super) fn list<DB: Database>(
    filter: &CallFilter,
    after: Option<&CallCursor>,
    limit: u32,
) -> QueryBuilder<DB>
where
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(concat!("SELECT ", call_columns!(), " FROM calls"));
    // PostgreSQL knows how many calls each condition fits.
    if DB::NAME == Sqlite::NAME {
        query.push(" INDEXED BY ").push(index_for(filter));
    }
    query.push(" WHERE company_id = ").push_bind(filter.company.0);
    let texts = [
        ("status", filter.status.map(|status| status.as_str().to_owned())),
        ("agent_id", filter.agent.as_ref().map(|agent| agent.as_str().to_owned())),
        ("direction", filter.direction.map(|direction| direction.as_str().to_owned())),
        ("person_number", filter.person.clone()),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            query.push(format_args!(" AND {column} = ")).push_bind(text);
        }
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(after.as_millisecond());
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(before.as_millisecond());
    }
    if let Some(after) = after {
        query.push(" AND (created_at, id) < (").push_bind(after.created_at.as_millisecond());
        query.push(", ").push_bind(after.id.to_string()).push(")");
    }
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

/// The index that fits the fewest calls. SQLite would as soon walk a company's outbound calls for
/// those of one person. Only a direction is ever left to be looked for among an agent's calls, which
/// mostly have the same.
fn index_for(filter: &CallFilter) -> &'static str {
    match filter {
        CallFilter { person: Some(_), .. } => "calls_person",
        CallFilter { agent: Some(_), status: Some(_), .. } => "calls_agent_status",
        CallFilter { agent: Some(_), .. } => "calls_agent",
        CallFilter { direction: Some(_), status: Some(_), .. } => "calls_direction_status",
        CallFilter { status: Some(_), .. } => "calls_status",
        CallFilter { direction: Some(_), .. } => "calls_direction",
        _ => "calls_company",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written_and_nothing_else_is() {
        let created_at = Timestamp::from_millisecond(1_800_000_000_123).expect("in range");
        let cursor = CallCursor { created_at, id: CallId::generate() };
        let text = cursor.to_string();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(text.parse(), Ok(cursor));
        let upper = text.to_uppercase();
        for bad in ["", "x", &text[1..], &format!("{text}0"), &upper, &"é".repeat(22)] {
            assert_eq!(bad.parse::<CallCursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
