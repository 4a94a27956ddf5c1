//! What the metrics routes tell: totals that survive a restart, and the newest events and
//! requests.
//!
//! A company's newest thousand are kept of each, and of what is nobody's. A transaction that
//! counts does so last and in the order of companies, so that no two wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actors::ids::{AgentId, CallId, CallSid, CompanyId};
use jiff::Timestamp;
use sqlx::QueryBuilder;

use super::error::StoreError;
use super::pools::{in_transaction, on_pool};
use super::stat_rows::{EventKind, PastEvent, RawApiCall, RawPastEvent};
use super::{Store, calls::live};

/// How many events, and how many requests, are kept of each company: as many as can be asked for.
pub const KEPT: u32 = 1000;

/// Requests of one statement; seven values each, and SQLite takes 32,766.
const INSERTED_AT_ONCE: usize = 1000;

/// What belongs to no company, such as a request without a key.
const NOBODY: i64 = 0;

/// Something that happened, to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// To whom.
    pub company: CompanyId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The agent it concerns.
    pub agent: Option<AgentId>,
    /// The call it concerns, as Twilio names it.
    pub call_sid: Option<CallSid>,
    /// The call it concerns.
    pub call: Option<CallId>,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// In whose name; `None` for an admin, and for whoever showed no key.
    pub company: Option<CompanyId>,
    /// When it came.
    pub at: Timestamp,
    /// Such as `POST`.
    pub method: String,
    /// Its path.
    pub endpoint: String,
    /// The status it was answered with.
    pub status: u16,
    /// How long that took, kept to the microsecond.
    pub duration: Duration,
}

/// Whose numbers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all companies, and of nobody.
    All,
    /// Those of one company.
    Company(CompanyId),
}

/// Everything that was ever counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered with a status below 400.
    pub requests_success: u64,
    /// Requests answered with 400 or above.
    pub requests_errors: u64,
    /// Calls, those that are live among them.
    pub calls_total: u64,
    /// Calls that are over and were answered.
    pub calls_successful: u64,
    /// Calls that are over and came to nothing.
    pub calls_failed: u64,
}

pub(super) const CALLS_SUCCESSFUL: &str = "calls_successful";
pub(super) const CALLS_FAILED: &str = "calls_failed";
const REQUESTS_SUCCESS: &str = "requests_success";
const REQUESTS_ERRORS: &str = "requests_errors";
const LIVE: &str = "live";

const INSERT_EVENT: &str = "INSERT INTO events (company_id, at, kind, agent_id, call_sid, call_id) \
     VALUES ($1, $2, $3, $4, $5, $6)";
const INSERT_REQUESTS: &str =
    "INSERT INTO api_calls (company_id, at, method, endpoint, status, duration_us) ";
pub(super) const PRUNE_EVENTS: &str = "DELETE FROM events WHERE company_id = $1 AND id <= \
     (SELECT id FROM events WHERE company_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
const PRUNE_REQUESTS: &str = "DELETE FROM api_calls WHERE company_id = $1 AND id <= \
     (SELECT id FROM api_calls WHERE company_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
pub(super) const COUNT: &str = "INSERT INTO totals (company_id, name, count) VALUES ($1, $2, $3) \
     ON CONFLICT (company_id, name) DO UPDATE SET count = totals.count + excluded.count";

const EVENTS: &str = "SELECT at, kind, agent_id, call_sid, call_id FROM events \
     WHERE company_id = $1 ORDER BY id DESC LIMIT $2";
const ALL_EVENTS: &str = "SELECT at, kind, agent_id, call_sid, call_id FROM events \
     ORDER BY id DESC LIMIT $1";
const REQUESTS: &str = "SELECT company_id, at, method, endpoint, status, duration_us \
     FROM api_calls WHERE company_id = $1 ORDER BY id DESC LIMIT $2";
const ALL_REQUESTS: &str = "SELECT company_id, at, method, endpoint, status, duration_us \
     FROM api_calls ORDER BY id DESC LIMIT $1";
const DURATIONS: &str =
    "SELECT duration_us FROM api_calls WHERE company_id = $1 ORDER BY id DESC LIMIT $2";
const ALL_DURATIONS: &str = "SELECT duration_us FROM api_calls ORDER BY id DESC LIMIT $1";
/// Of one moment, so that a call that ends is counted once: as live, or as over.
const TOTALS: &str = concat!(
    "SELECT name, count FROM totals WHERE company_id = $1 UNION ALL \
     SELECT 'live', count(*) FROM calls WHERE company_id = $1 AND ",
    live!()
);
const ALL_TOTALS: &str = concat!(
    "SELECT name, CAST(sum(count) AS BIGINT) FROM totals GROUP BY name UNION ALL \
     SELECT 'live', count(*) FROM calls WHERE ",
    live!()
);

#[cfg(test)]
pub(super) const ALL: &[&str] =
    &[PRUNE_EVENTS, PRUNE_REQUESTS, COUNT, EVENTS, REQUESTS, DURATIONS, TOTALS];
/// These stop at their limit.
#[cfg(test)]
pub(super) const NEWEST: &[&str] = &[ALL_EVENTS, ALL_REQUESTS, ALL_DURATIONS];

/// What a transaction has to add to the totals, in the order in which to add it.
pub(super) type Counts = BTreeMap<(i64, &'static str), i64>;

/// The end of a transaction that counts: keeps the newest of each company, then adds to totals.
macro_rules! settle {
    ($tx:ident, $prune:expr, $companies:expr, $counts:expr) => {
        for company in $companies {
            let query = sqlx::query($prune).bind(company).bind(i64::from($crate::store::KEPT));
            query.execute(&mut *$tx).await?;
        }
        for ((company, name), count) in $counts {
            let query = sqlx::query($crate::store::stats::COUNT).bind(company).bind(*name);
            query.bind(count).execute(&mut *$tx).await?;
        }
    };
}
pub(super) use settle;

impl Store {
    /// Stores and counts requests that were answered; all of them or none.
    pub async fn record_requests(&self, requests: &[ApiCall]) -> Result<(), StoreError> {
        let owner = |request: &ApiCall| request.company.map_or(NOBODY, |company| company.0);
        let companies: BTreeSet<i64> = requests.iter().map(owner).collect();
        let mut counts = Counts::new();
        for request in requests {
            let name = if request.status < 400 { REQUESTS_SUCCESS } else { REQUESTS_ERRORS };
            *counts.entry((owner(request), name)).or_default() += 1;
        }
        // PostgreSQL has no texts with a zero in them, and a path may be anything.
        let clean = |text: &str| text.replace('\0', "");
        in_transaction!(self, |tx| {
            for some in requests.chunks(INSERTED_AT_ONCE) {
                let mut insert = QueryBuilder::new(INSERT_REQUESTS);
                insert.push_values(some, |mut row, request| {
                    let us = i64::try_from(request.duration.as_micros()).unwrap_or(i64::MAX);
                    row.push_bind(owner(request))
                        .push_bind(request.at.as_millisecond())
                        .push_bind(clean(&request.method))
                        .push_bind(clean(&request.endpoint))
                        .push_bind(i64::from(request.status))
                        .push_bind(us);
                });
                insert.build().persistent(false).execute(&mut *tx).await?;
            }
            settle!(tx, PRUNE_REQUESTS, &companies, &counts);
        })
    }

    /// Stores something that happened.
    pub async fn record_event(&self, event: &NewEvent) -> Result<(), StoreError> {
        self.record_events(std::slice::from_ref(event)).await
    }

    /// Stores what happened, in the order given; all of it or nothing.
    pub async fn record_events(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        let companies: BTreeSet<i64> = events.iter().map(|event| event.company.0).collect();
        in_transaction!(self, |tx| {
            for event in events {
                let query = sqlx::query(INSERT_EVENT).bind(event.company.0);
                let query = query.bind(event.at.as_millisecond()).bind(event.kind.as_str());
                let query = query.bind(event.agent.as_ref().map(AgentId::as_str));
                let query = query.bind(event.call_sid.as_ref().map(CallSid::as_str));
                let query = query.bind(event.call.map(|call| call.to_string()));
                query.execute(&mut *tx).await?;
            }
            settle!(tx, PRUNE_EVENTS, &companies, &Counts::new());
        })
    }

    /// What happened last, the newest first.
    pub async fn recent_events(
        &self,
        scope: Scope,
        limit: u32,
    ) -> Result<Vec<PastEvent>, StoreError> {
        let raw: Vec<RawPastEvent> = on_pool!(self.reader, |db| {
            let query = match scope {
                Scope::All => sqlx::query_as(ALL_EVENTS),
                Scope::Company(company) => sqlx::query_as(EVENTS).bind(company.0),
            };
            Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
        })?;
        let events: Result<Vec<PastEvent>, _> = raw.into_iter().map(RawPastEvent::read).collect();
        let mut events = events?;
        // They are written a little later than they happen, by more than one hand.
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        Ok(events)
    }

    /// The requests that were answered last, the newest first.
    pub async fn recent_api_calls(
        &self,
        scope: Scope,
        limit: u32,
    ) -> Result<Vec<ApiCall>, StoreError> {
        let raw: Vec<RawApiCall> = on_pool!(self.reader, |db| {
            let query = match scope {
                Scope::All => sqlx::query_as(ALL_REQUESTS),
                Scope::Company(company) => sqlx::query_as(REQUESTS).bind(company.0),
            };
            Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
        })?;
        let requests: Result<Vec<ApiCall>, _> = raw.into_iter().map(RawApiCall::read).collect();
        let mut requests = requests?;
        requests.sort_by_key(|request| std::cmp::Reverse(request.at));
        Ok(requests)
    }

    /// How long the last thousand answers took, the newest first.
    pub async fn response_times(&self, scope: Scope) -> Result<Vec<Duration>, StoreError> {
        let us: Vec<i64> = on_pool!(self.reader, |db| {
            let query = match scope {
                Scope::All => sqlx::query_scalar(ALL_DURATIONS),
                Scope::Company(company) => sqlx::query_scalar(DURATIONS).bind(company.0),
            };
            Ok(query.bind(i64::from(KEPT)).fetch_all(db).await?)
        })?;
        Ok(us.into_iter().map(|us| Duration::from_micros(us.unsigned_abs())).collect())
    }

    /// Everything that was ever counted.
    pub async fn totals(&self, scope: Scope) -> Result<Totals, StoreError> {
        let counts: Vec<(String, i64)> = on_pool!(self.reader, |db| {
            let query = match scope {
                Scope::All => sqlx::query_as(ALL_TOTALS),
                Scope::Company(company) => sqlx::query_as(TOTALS).bind(company.0),
            };
            Ok(query.fetch_all(db).await?)
        })?;
        let of = |wanted: &str| {
            let found = counts.iter().find(|(name, _)| name == wanted);
            found.map_or(0, |(_, count)| count.unsigned_abs())
        };
        let (calls_successful, calls_failed) = (of(CALLS_SUCCESSFUL), of(CALLS_FAILED));
        Ok(Totals {
            requests_success: of(REQUESTS_SUCCESS),
            requests_errors: of(REQUESTS_ERRORS),
            calls_total: calls_successful + calls_failed + of(LIVE),
            calls_successful,
            calls_failed,
        })
    }
}

/// Whose a row is; the owner of what is nobody's is stored as a number too.
pub(super) fn owner(company_id: i64) -> Option<CompanyId> {
    (company_id != NOBODY).then_some(CompanyId(company_id))
}
