//! The stored rows, as the rest of the service sees them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use actors::call::Direction;
use actors::call::{CallEvent, CallStatus, EndReason};
use actors::ids::{AgentId, CallId, CallSid, CompanyId, Party, StreamSid};
use actors::machine::AnsweredBy;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::FromRow;
use uuid::Uuid;

use super::error::StoreError;
use crate::secrets::{Place, Sealer};

/// One run of the service: who holds the sockets of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Uuid);

/// A string that is no node id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node id")]
pub struct InvalidNodeId;

impl NodeId {
    /// A new id (UUID version 7).
    pub fn generate() -> Self {
        NodeId(Uuid::now_v7())
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(raw: &str) -> Result<Self, InvalidNodeId> {
        Uuid::parse_str(raw).map(NodeId).map_err(|_| InvalidNodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who carries the audio of a company's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// We bridge Twilio's stream and Ultravox's socket.
    ServerWebSocket,
    /// Ultravox speaks Twilio's protocol; frames are relayed unopened.
    Twilio,
}

impl Medium {
    /// As stored, and as Ultravox names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Medium::ServerWebSocket => "serverWebSocket",
            Medium::Twilio => "twilio",
        }
    }
}

/// A call that is about to be placed, or has just come in.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Our id.
    pub id: CallId,
    /// Whose call it is.
    pub company: CompanyId,
    /// The node that looks after it.
    pub node: NodeId,
    /// Who is called.
    pub to: Party,
    /// Who calls.
    pub from: Party,
    /// Who called whom.
    pub direction: Direction,
    /// Which of our agents takes it; `None` when the company's configuration says all.
    pub agent: Option<AgentId>,
    /// When it was asked for.
    pub at: Timestamp,
}

/// A stored call. `Debug` hides the join URL and the middle of the numbers.
#[derive(Clone, Debug)]
pub struct CallRow {
    /// Our id.
    pub id: CallId,
    /// Whose call it is.
    pub company: CompanyId,
    /// The node that looks after it, or did last.
    pub node: NodeId,
    /// Who called whom.
    pub direction: Direction,
    /// Who is called.
    pub to: Party,
    /// Who calls.
    pub from: Party,
    /// Which of our agents takes it; `None` when the company's configuration says all.
    pub agent: Option<AgentId>,
    /// Twilio's id, once Twilio has accepted the call.
    pub call_sid: Option<CallSid>,
    /// Twilio's id of the latest stream.
    pub stream_sid: Option<StreamSid>,
    /// Ultravox's id of the latest agent.
    pub ultravox_call_id: Option<String>,
    /// The latest agent's socket; gone when the call is over, or when it cannot be opened with the
    /// keys at hand.
    pub join_url: Option<SecretString>,
    /// How far it has come.
    pub status: CallStatus,
    /// Why it is over.
    pub end_reason: Option<EndReason>,
    /// What a person would ask for next, where it failed.
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From answer to end.
    pub duration: Option<Duration>,
    /// Who or what took it, where Twilio was asked to find out and has.
    pub answered_by: Option<AnsweredBy>,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// One line of a call's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Counts the lines of one call, from 1.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: CallEvent,
}

/// A row of `calls` as both engines give it.
#[derive(FromRow)]
pub(super) struct RawCall {
    id: String,
    company_id: i64,
    node_id: String,
    direction: String,
    to_number: String,
    from_number: String,
    agent_id: Option<String>,
    call_sid: Option<String>,
    stream_sid: Option<String>,
    ultravox_call_id: Option<String>,
    join_url: Option<String>,
    status: String,
    end_reason: Option<String>,
    detail: Option<String>,
    created_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    duration_ms: Option<i64>,
    answered_by: Option<String>,
    updated_at: i64,
}

impl RawCall {
    pub(super) fn read(self, sealer: &Sealer) -> Result<CallRow, StoreError> {
        let row = Row { kind: "call", id: &self.id };
        let optional_time = |column, ms: Option<i64>| ms.map(|ms| row.time(column, ms)).transpose();
        let join_url = self.join_url.as_deref().and_then(|sealed| {
            // A call can go on without it, by way of a continuation; a list of calls must not fail
            // for one row.
            sealer
                .open(&join_url_of(&self.id), sealed)
                .inspect_err(|error| tracing::warn!(call.id = %self.id, "{error}"))
                .ok()
        });
        Ok(CallRow {
            id: row.parse("id", &self.id)?,
            company: CompanyId(self.company_id),
            node: row.parse("node_id", &self.node_id)?,
            direction: match self.direction.as_str() {
                "inbound" => Direction::Inbound,
                "outbound" => Direction::Outbound,
                other => return Err(row.unreadable("direction", format!("{other:?}"))),
            },
            to: row.parse("to_number", &self.to_number)?,
            from: row.parse("from_number", &self.from_number)?,
            agent: self.agent_id.map(|id| row.parse("agent_id", &id)).transpose()?,
            call_sid: self.call_sid.map(|sid| row.parse("call_sid", &sid)).transpose()?,
            stream_sid: self.stream_sid.map(|sid| row.parse("stream_sid", &sid)).transpose()?,
            ultravox_call_id: self.ultravox_call_id,
            join_url,
            status: row.parse("status", &self.status)?,
            end_reason: self.end_reason.map(|raw| read_end_reason(&row, &raw)).transpose()?,
            detail: self.detail,
            created_at: row.time("created_at", self.created_at)?,
            answered_at: optional_time("answered_at", self.answered_at)?,
            ended_at: optional_time("ended_at", self.ended_at)?,
            duration: self
                .duration_ms
                .map(|ms| u64::try_from(ms).map(Duration::from_millis))
                .transpose()
                .map_err(|error| row.unreadable("duration_ms", error))?,
            answered_by: self.answered_by.as_deref().map(AnsweredBy::from),
            updated_at: row.time("updated_at", self.updated_at)?,
        })
    }
}

/// A row of `call_events` as both engines give it.
#[derive(FromRow)]
pub(super) struct RawEvent {
    seq: i64,
    at: i64,
    detail: String,
}

impl RawEvent {
    pub(super) fn read(self, call: CallId) -> Result<EventRow, StoreError> {
        let id = format!("{call}, line {}", self.seq);
        let row = Row { kind: "call", id: &id };
        Ok(EventRow {
            seq: self.seq,
            at: row.time("at", self.at)?,
            // Only where the trouble is: the message could quote what was said.
            event: serde_json::from_str(&self.detail).map_err(|error| {
                row.unreadable("detail", format!("not an event, at column {}", error.column()))
            })?,
        })
    }
}

/// Names a row in errors.
pub(super) struct Row<'a> {
    pub(super) kind: &'static str,
    pub(super) id: &'a str,
}

impl Row<'_> {
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        column: &'static str,
        raw: &str,
    ) -> Result<T, StoreError> {
        raw.parse().map_err(|error| self.unreadable(column, error))
    }

    pub(super) fn time(&self, column: &'static str, ms: i64) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(ms).map_err(|error| self.unreadable(column, error))
    }

    pub(super) fn unreadable(&self, column: &'static str, cause: impl fmt::Display) -> StoreError {
        let row = format!("{} {}", self.kind, self.id);
        StoreError::Unreadable { column, row, cause: cause.to_string() }
    }
}

pub(super) fn join_url_of(call: impl fmt::Display) -> Place {
    Place::new("calls", "join_url", call)
}

pub(super) fn read_end_reason(row: &Row<'_>, raw: &str) -> Result<EndReason, StoreError> {
    let word: StrDeserializer<'_, ValueError> = raw.into_deserializer();
    EndReason::deserialize(word).map_err(|error| row.unreadable("end_reason", error))
}
