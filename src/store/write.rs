//! Changes of calls and lines of their timelines.
//!
//! A call only moves forward, and that is decided in the statement itself: two nodes, a late
//! callback and a repeated one may all write at once, and the row comes out right. For the same
//! reason what is counted of calls is counted here, in the same transaction: once each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actors::call::{CallEvent, CallStatus, CallUpdate};
use actors::ids::CallId;
use jiff::Timestamp;
use sqlx::QueryBuilder;

use super::error::StoreError;
use super::pools::in_transaction;
use super::rows::join_url_of;
use super::stat_rows::EventKind;
use super::stats::{CALLS_FAILED, CALLS_SUCCESSFUL, Counts, PRUNE_EVENTS, settle};
use super::{Store, calls::live};

/// Something to be written about a call.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which call.
    pub call: CallId,
    /// When it happened.
    pub at: Timestamp,
    /// What to write.
    pub change: Change,
}

/// What to write about a call.
#[derive(Clone, Debug)]
pub enum Change {
    /// A change of its row.
    Update(CallUpdate),
    /// A line of its timeline.
    Event(CallEvent),
    /// Its person is not to be called any more.
    DoNotCall,
}

impl Store {
    /// Applies one change to a call's row. False when it came too late to change anything: the
    /// call is further on, over, or already has what was to be set.
    pub async fn apply(
        &self,
        call: CallId,
        update: CallUpdate,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let entry = Entry { call, at, change: Change::Update(update) };
        self.write(std::slice::from_ref(&entry)).await.map(|changed| changed == 1)
    }

    /// Adds lines to the timelines of calls, in the order given; all of them or none.
    pub async fn append_events(
        &self,
        events: &[(CallId, Timestamp, CallEvent)],
    ) -> Result<(), StoreError> {
        let entries: Vec<Entry> = events
            .iter()
            .map(|(call, at, event)| Entry {
                call: *call,
                at: *at,
                change: Change::Event(event.clone()),
            })
            .collect();
        self.write(&entries).await.map(drop)
    }

    /// Writes all entries or none; says how many rows of calls changed.
    ///
    /// The order is kept for each call. Calls are taken in the order of their ids, so that two
    /// nodes writing about the same calls cannot block each other.
    pub async fn write(&self, entries: &[Entry]) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let mut calls: BTreeMap<CallId, PerCall<'_>> = BTreeMap::new();
        for entry in entries {
            let of_call = calls.entry(entry.call).or_default();
            match &entry.change {
                Change::Update(update) => {
                    of_call.updates.push(self.statement(entry.call, update, entry.at)?);
                }
                Change::Event(event) => of_call.events.push((entry.at, event)),
                Change::DoNotCall => of_call.unwanted_since = Some(entry.at.as_millisecond()),
            }
        }
        in_transaction!(self, |tx| {
            let mut changed = 0;
            let mut companies: BTreeSet<i64> = BTreeSet::new();
            let mut counts = Counts::new();
            for (call, of_call) in &calls {
                for update in &of_call.updates {
                    let mut query = sqlx::query(update.sql).bind(call.to_string()).bind(update.at);
                    for text in &update.texts {
                        query = query.bind(text.as_deref());
                    }
                    if let Some(number) = update.duration_ms {
                        query = query.bind(number);
                    }
                    let rows = query.execute(&mut *tx).await?.rows_affected();
                    changed += rows;
                    if rows == 1
                        && let Some(kind) = update.tells
                    {
                        let query = sqlx::query_scalar(TELL).bind(call.to_string());
                        let query = query.bind(update.at).bind(kind.as_str());
                        companies.insert(query.fetch_one(&mut *tx).await?);
                    }
                }
                if let Some(at) = of_call.unwanted_since {
                    let query = sqlx::query(DO_NOT_CALL).bind(call.to_string()).bind(at);
                    query.execute(&mut *tx).await?;
                }
                if let Some(ended_at) = of_call.may_end_at() {
                    let tally = sqlx::query_as(TALLY).bind(call.to_string());
                    let ended: Option<(i64, String)> = tally.fetch_optional(&mut *tx).await?;
                    if let Some((company, status)) = ended {
                        let (kind, count) = how_it_counts(&status);
                        let query = sqlx::query_scalar(TELL).bind(call.to_string());
                        let query = query.bind(ended_at).bind(kind.as_str());
                        companies.insert(query.fetch_one(&mut *tx).await?);
                        *counts.entry((company, count)).or_default() += 1;
                    }
                }
                if of_call.events.is_empty() {
                    continue;
                }
                let count = of_call.events.len() as i64;
                let last: Option<i64> = sqlx::query_scalar(RESERVE_LINES)
                    .bind(call.to_string())
                    .bind(count)
                    .fetch_optional(&mut *tx)
                    .await?;
                let before = last.ok_or(StoreError::UnknownCall(*call))? - count;
                let lines = (before + 1..).zip(&of_call.events);
                let mut insert = QueryBuilder::new(INSERT_LINES);
                insert.push_values(lines, |mut row, (seq, (at, event))| {
                    let (kind, detail) = as_json(event);
                    row.push_bind(call.to_string())
                        .push_bind(seq)
                        .push_bind(at.as_millisecond())
                        .push_bind(kind)
                        .push_bind(detail);
                });
                insert.build().persistent(false).execute(&mut *tx).await?;
            }
            settle!(tx, PRUNE_EVENTS, &companies, &counts);
            changed
        })
    }

    /// The statement of one update; `$1` is the call and `$2` the time.
    fn statement(
        &self,
        call: CallId,
        update: &CallUpdate,
        at: Timestamp,
    ) -> Result<Statement, StoreError> {
        let text = |text: &str| Some(text.to_owned());
        let (sql, texts, duration_ms) = match update {
            CallUpdate::AgentReady(agent) => {
                let join_url = self.sealer.seal(&join_url_of(call), &agent.join_url);
                (AGENT_READY, vec![text(&agent.ultravox_call_id), Some(join_url)], None)
            }
            CallUpdate::Placed(sid) => (PLACED, vec![text(sid.as_str())], None),
            CallUpdate::AnsweredBy(by) => (ANSWERED_BY, vec![text(by.as_str())], None),
            CallUpdate::StreamStarted(sid) => (STREAM_STARTED, vec![text(sid.as_str())], None),
            CallUpdate::Status(status) => {
                let sql = match status {
                    status if status.is_final() => OVER,
                    CallStatus::InProgress => ANSWERED,
                    _ => NOT_YET_ANSWERED,
                };
                (sql, with_predecessors(*status), None)
            }
            CallUpdate::Ended { status, reason, detail, duration } => {
                if !status.is_final() {
                    return Err(StoreError::NotAnEnd { call, status: *status });
                }
                let mut texts = with_predecessors(*status);
                texts.push(text(reason.as_str()));
                texts.push(detail.clone());
                (ENDED, texts, Some(duration.map(milliseconds)))
            }
        };
        let tells = match update {
            CallUpdate::Placed(_) => Some(EventKind::CallInitiated),
            CallUpdate::Status(CallStatus::InProgress) => Some(EventKind::CallAnswered),
            _ => None,
        };
        let may_end = match update {
            CallUpdate::Status(status) => status.is_final(),
            CallUpdate::Ended { .. } => true,
            _ => false,
        };
        Ok(Statement { sql, at: at.as_millisecond(), texts, duration_ms, tells, may_end })
    }
}

#[derive(Default)]
struct PerCall<'a> {
    updates: Vec<Statement>,
    events: Vec<(Timestamp, &'a CallEvent)>,
    /// Since when its person is not to be called any more.
    unwanted_since: Option<i64>,
}

impl PerCall<'_> {
    /// When the call ended, if one of its updates is such that it may have.
    fn may_end_at(&self) -> Option<i64> {
        self.updates.iter().find(|update| update.may_end).map(|update| update.at)
    }
}

struct Statement {
    sql: &'static str,
    at: i64,
    texts: Vec<Option<String>>,
    duration_ms: Option<Option<i64>>,
    /// What has happened if it changes the row.
    tells: Option<EventKind>,
    /// Whether the call may be over after it.
    may_end: bool,
}

const AGENT_READY: &str = concat!(
    "UPDATE calls SET updated_at = $2, ultravox_call_id = $3, join_url = CASE WHEN ",
    live!(),
    " THEN $4 ELSE NULL END WHERE id = $1 AND end_reason IS NULL"
);

const PLACED: &str =
    "UPDATE calls SET updated_at = $2, call_sid = $3 WHERE id = $1 AND call_sid IS NULL";

const STREAM_STARTED: &str =
    concat!("UPDATE calls SET updated_at = $2, stream_sid = $3 WHERE id = $1 AND ", live!());

const ANSWERED_BY: &str =
    "UPDATE calls SET updated_at = $2, answered_by = $3 WHERE id = $1 AND answered_by IS NULL";

/// `$3` is the new status, `$4` to `$6` those it may follow.
const NOT_YET_ANSWERED: &str =
    "UPDATE calls SET updated_at = $2, status = $3 WHERE id = $1 AND status IN ($4, $5, $6)";

const ANSWERED: &str = "UPDATE calls SET updated_at = $2, status = $3, \
     answered_at = coalesce(answered_at, $2) WHERE id = $1 AND status IN ($4, $5, $6)";

const OVER: &str = "UPDATE calls SET updated_at = $2, status = $3, join_url = NULL, \
     ended_at = coalesce(ended_at, $2) WHERE id = $1 AND status IN ($4, $5, $6)";

/// The status may be final already, by a callback that came first; the reason is still missing
/// then. `$7` is the reason, `$8` the detail, `$9` the duration. A call that lasted was answered,
/// even when no callback said so.
const ENDED: &str = "UPDATE calls SET updated_at = $2, \
     status = CASE WHEN status IN ($4, $5, $6) THEN $3 ELSE status END, \
     end_reason = $7, detail = $8, duration_ms = $9, join_url = NULL, \
     ended_at = coalesce(ended_at, $2), answered_at = coalesce(answered_at, $2 - $9) \
     WHERE id = $1 AND end_reason IS NULL";

/// Whoever was put on the list before stays there as they were. A caller who hides has no number to
/// be kept.
const DO_NOT_CALL: &str = "INSERT INTO do_not_call (company_id, number, source, note, created_at) \
     SELECT company_id, person_number, 'agent', 'said in call ' || id, $2 FROM calls \
     WHERE id = $1 AND person_number LIKE '+%' ON CONFLICT (company_id, number) DO NOTHING";

/// Counts the end of a call, once.
const TALLY: &str = concat!(
    "UPDATE calls SET tallied = 1 WHERE id = $1 AND tallied = 0 AND NOT (",
    live!(),
    ") RETURNING company_id, status"
);

/// Says that something happened to a call, at `$2`; `$3` is the kind.
const TELL: &str = "INSERT INTO events (company_id, at, kind, agent_id, call_sid, call_id) \
     SELECT company_id, $2, $3, agent_id, call_sid, id FROM calls WHERE id = $1 \
     RETURNING company_id";

/// Takes the next numbers of a call's timeline and locks the call until they are written.
const RESERVE_LINES: &str = "UPDATE calls SET last_event_seq = last_event_seq + $2 \
     WHERE id = $1 RETURNING last_event_seq";

const INSERT_LINES: &str = "INSERT INTO call_events (call_id, seq, at, kind, detail) ";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    AGENT_READY,
    PLACED,
    STREAM_STARTED,
    ANSWERED_BY,
    NOT_YET_ANSWERED,
    ANSWERED,
    OVER,
    ENDED,
    DO_NOT_CALL,
    TALLY,
    TELL,
    RESERVE_LINES,
];

/// A status and the up to three it may follow; the rule is the type's.
fn with_predecessors(status: CallStatus) -> Vec<Option<String>> {
    let before = CallStatus::ALL.into_iter().filter(|before| before.may_become(status));
    let mut texts = vec![Some(status.as_str().to_owned())];
    texts.extend(before.map(|before| Some(before.as_str().to_owned())));
    assert!(texts.len() <= 4, "there are three statuses of a live call");
    texts.resize(4, None);
    texts
}

/// The event and the total of a call that is over.
fn how_it_counts(status: &str) -> (EventKind, &'static str) {
    if status == CallStatus::Completed.as_str() {
        (EventKind::CallCompleted, CALLS_SUCCESSFUL)
    } else {
        (EventKind::CallFailed, CALLS_FAILED)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The event's kind, and the whole as JSON.
fn as_json(event: &CallEvent) -> (String, String) {
    let value = serde_json::to_value(event).expect("an event is plain data");
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    (kind, value.to_string())
}
