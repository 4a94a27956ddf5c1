//! Removing a company and everything of it.

use actors::ids::CompanyId;

use super::Store;
use super::calls::live;
use super::error::StoreError;
use super::pools::in_transaction;

/// What became of a wish to remove a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, and everything of it.
    Removed,
    /// There was none.
    Unknown,
    /// Somebody is talking: nothing was changed.
    HasLiveCalls,
}

const IS_THERE: &str = "SELECT id FROM companies WHERE id = $1";
const LIVE_CALL: &str =
    concat!("SELECT id FROM calls WHERE company_id = $1 AND ", live!(), " LIMIT 1");
/// What names a company without going with it. What it counted stays counted, as nobody's.
const REMOVE_TRACES: [&str; 6] = [
    "DELETE FROM calls WHERE company_id = $1",
    "DELETE FROM events WHERE company_id = $1",
    "DELETE FROM api_calls WHERE company_id = $1",
    "DELETE FROM idempotency_keys WHERE company_id = $1",
    "INSERT INTO totals (company_id, name, count) \
     SELECT 0, name, count FROM totals WHERE company_id = $1 \
     ON CONFLICT (company_id, name) DO UPDATE SET count = totals.count + excluded.count",
    "DELETE FROM totals WHERE company_id = $1",
];
const REMOVE: &str = "DELETE FROM companies WHERE id = $1";
/// So that its number is not given to the next one.
const KEEP_NUMBER_USED: &str =
    "INSERT INTO totals (company_id, name, count) VALUES ($1, 'removed', 1)";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    LIVE_CALL,
    REMOVE_TRACES[0],
    REMOVE_TRACES[1],
    REMOVE_TRACES[2],
    REMOVE_TRACES[3],
    REMOVE_TRACES[4],
    REMOVE_TRACES[5],
    REMOVE,
];

impl Store {
    /// Removes a company with its keys, agents, calls and everything else, unless one of its calls
    /// is live.
    pub async fn remove_company(&self, company: CompanyId) -> Result<Removed, StoreError> {
        let removed = in_transaction!(self, |tx| {
            let mut found = Vec::new();
            for sql in [IS_THERE, LIVE_CALL] {
                let query = sqlx::query(sql).bind(company.0);
                found.push(query.fetch_optional(&mut *tx).await?.is_some());
            }
            match found.as_slice() {
                [true, false] => {
                    for sql in REMOVE_TRACES.into_iter().chain([REMOVE, KEEP_NUMBER_USED]) {
                        sqlx::query(sql).bind(company.0).execute(&mut *tx).await?;
                    }
                    Removed::Removed
                }
                [true, true] => Removed::HasLiveCalls,
                _ => Removed::Unknown,
            }
        });
        match removed {
            // A call was stored since we looked; it keeps its company, and all was rolled back.
            Err(StoreError::Query(sqlx::Error::Database(error)))
                if error.is_foreign_key_violation() =>
            {
                Ok(Removed::HasLiveCalls)
            }
            other => other,
        }
    }
}
