//! Whom a company must not call.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use actors::ids::{CompanyId, PhoneNumber};
use jiff::Timestamp;
use sqlx::{FromRow, QueryBuilder};

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::Row;

/// Numbers of one statement, which is a transaction of its own: five values each, and SQLite takes
/// 32,766. A longer one would keep calls waiting for their turn to write.
const INSERTED_AT_ONCE: usize = 1000;

const INSERT: &str = "INSERT INTO do_not_call (company_id, number, source, note, created_at) ";
const KEEP_THE_FIRST: &str = " ON CONFLICT (company_id, number) DO NOTHING";
const DELETE: &str = "DELETE FROM do_not_call WHERE company_id = $1 AND number = $2";
const FIND: &str = "SELECT number, source, note, created_at FROM do_not_call \
     WHERE company_id = $1 AND number = $2";
/// `$2` is the last number of the page before, or empty, which comes before all numbers.
pub(super) const LIST: &str = "SELECT number, source, note, created_at FROM do_not_call \
     WHERE company_id = $1 AND number > $2 ORDER BY number LIMIT $3";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[DELETE, FIND, LIST];

/// How a number came to be on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DncSource {
    /// By a request that named it.
    Api,
    /// In a file.
    Upload,
    /// The person said so in a call.
    Agent,
    /// By the command line.
    Cli,
}

/// A word that is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown source of a do-not-call entry: {0:?}")]
pub struct UnknownDncSource(String);

impl DncSource {
    /// All of them.
    pub const ALL: [DncSource; 4] =
        [DncSource::Api, DncSource::Upload, DncSource::Agent, DncSource::Cli];

    /// As stored, and as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            DncSource::Api => "api",
            DncSource::Upload => "upload",
            DncSource::Agent => "agent",
            DncSource::Cli => "cli",
        }
    }
}

impl FromStr for DncSource {
    type Err = UnknownDncSource;

    fn from_str(raw: &str) -> Result<Self, UnknownDncSource> {
        let known = DncSource::ALL.into_iter().find(|source| source.as_str() == raw);
        known.ok_or_else(|| UnknownDncSource(raw.chars().take(80).collect()))
    }
}

impl fmt::Display for DncSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A number that is not to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDoNotCall {
    /// Whose.
    pub number: PhoneNumber,
    /// How it came.
    pub source: DncSource,
    /// What somebody wrote beside it; without U+0000.
    pub note: Option<String>,
}

/// What became of numbers that were to be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// How many are new on the list.
    pub added: u64,
    /// How many were on it before, or were named twice. They stay as they were.
    pub known: u64,
}

/// A number that is not to be called, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DncRow {
    /// Whose.
    pub number: PhoneNumber,
    /// How it came.
    pub source: DncSource,
    /// What somebody wrote beside it.
    pub note: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct RawDnc {
    number: String,
    source: String,
    note: Option<String>,
    created_at: i64,
}

impl RawDnc {
    fn read(self) -> Result<DncRow, StoreError> {
        let row = Row { kind: "do-not-call entry of", id: "a number" };
        let number: PhoneNumber = row.parse("number", &self.number)?;
        let shown = number.to_string();
        let row = Row { id: &shown, ..row };
        let source = row.parse("source", &self.source)?;
        let created_at = row.time("created_at", self.created_at)?;
        Ok(DncRow { number, source, note: self.note, created_at })
    }
}

impl Store {
    /// Puts numbers on a company's list; one that is there stays as it is. Of many, some may be
    /// stored when the rest fail: to add them again does no harm.
    pub async fn add_do_not_call(
        &self,
        company: CompanyId,
        numbers: &[NewDoNotCall],
        now: Timestamp,
    ) -> Result<Added, StoreError> {
        let mut done = Added::default();
        for some in numbers.chunks(INSERTED_AT_ONCE) {
            // In one order, whoever adds: two who add the same must not wait for each other.
            let mut once: BTreeMap<&str, &NewDoNotCall> = BTreeMap::new();
            for new in some {
                once.entry(new.number.as_str()).or_insert(new);
            }
            let added = on_pool!(self.writer, |db| {
                let mut insert = QueryBuilder::new(INSERT);
                insert.push_values(&once, |mut row, (number, new)| {
                    row.push_bind(company.0)
                        .push_bind(*number)
                        .push_bind(new.source.as_str())
                        .push_bind(new.note.as_deref())
                        .push_bind(now.as_millisecond());
                });
                insert.push(KEEP_THE_FIRST);
                Ok(insert.build().persistent(false).execute(db).await?.rows_affected())
            })?;
            done.added += added;
            done.known += u64::try_from(some.len()).unwrap_or(u64::MAX) - added;
        }
        Ok(done)
    }

    /// Takes a number off a company's list. False when it was not on it.
    pub async fn remove_do_not_call(
        &self,
        company: CompanyId,
        number: &PhoneNumber,
    ) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(DELETE).bind(company.0).bind(number.as_str());
            Ok(query.execute(db).await?.rows_affected() == 1)
        })
    }

    /// What a company's list says of a number; nothing when it may be called.
    pub async fn is_do_not_call(
        &self,
        company: CompanyId,
        number: &PhoneNumber,
    ) -> Result<Option<DncRow>, StoreError> {
        let raw: Option<RawDnc> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(FIND).bind(company.0).bind(number.as_str());
            Ok(query.fetch_optional(db).await?)
        })?;
        raw.map(RawDnc::read).transpose()
    }

    /// A page of a company's list, by number, after the one that is named when one is.
    pub async fn do_not_call(
        &self,
        company: CompanyId,
        after: Option<&PhoneNumber>,
        limit: u32,
    ) -> Result<Vec<DncRow>, StoreError> {
        let after = after.map(PhoneNumber::as_str).unwrap_or_default();
        let raw: Vec<RawDnc> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(LIST).bind(company.0).bind(after).bind(i64::from(limit));
            Ok(query.fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawDnc::read).collect()
    }
}
