//! Stored events and requests, as the metrics routes see them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actors::ids::{AgentId, CallId, CallSid};
use jiff::Timestamp;
use sqlx::FromRow;

use super::error::StoreError;
use super::rows::Row;
use super::stats::{ApiCall, owner};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Twilio accepted a call, or brought one.
    CallInitiated,
    /// Somebody picked up.
    CallAnswered,
    /// A call that was answered is over.
    CallCompleted,
    /// A call came to nothing.
    CallFailed,
    /// A client made an agent.
    AgentCreated,
    /// A client changed an agent.
    AgentUpdated,
    /// A client deleted an agent.
    AgentDeleted,
}

/// A word that is no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of event {0:?}")]
pub struct UnknownEventKind(String);

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 7] = [
        EventKind::CallInitiated,
        EventKind::CallAnswered,
        EventKind::CallCompleted,
        EventKind::CallFailed,
        EventKind::AgentCreated,
        EventKind::AgentUpdated,
        EventKind::AgentDeleted,
    ];

    /// As stored, and as clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::CallInitiated => "call_initiated",
            EventKind::CallAnswered => "call_answered",
            EventKind::CallCompleted => "call_completed",
            EventKind::CallFailed => "call_failed",
            EventKind::AgentCreated => "agent_created",
            EventKind::AgentUpdated => "agent_updated",
            EventKind::AgentDeleted => "agent_deleted",
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(raw: &str) -> Result<Self, UnknownEventKind> {
        let found = EventKind::ALL.into_iter().find(|kind| kind.as_str() == raw);
        found.ok_or_else(|| UnknownEventKind(raw.chars().take(40).collect()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
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

#[derive(FromRow)]
pub(super) struct RawPastEvent {
    at: i64,
    kind: String,
    agent_id: Option<String>,
    call_sid: Option<String>,
    call_id: Option<String>,
}

impl RawPastEvent {
    pub(super) fn read(self) -> Result<PastEvent, StoreError> {
        let id = format!("at {}", self.at);
        let row = Row { kind: "event", id: &id };
        Ok(PastEvent {
            at: row.time("at", self.at)?,
            kind: row.parse("kind", &self.kind)?,
            agent: self.agent_id.map(|id| row.parse("agent_id", &id)).transpose()?,
            call_sid: self.call_sid.map(|sid| row.parse("call_sid", &sid)).transpose()?,
            call: self.call_id.map(|id| row.parse("call_id", &id)).transpose()?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct RawApiCall {
    company_id: i64,
    at: i64,
    method: String,
    endpoint: String,
    status: i64,
    duration_us: i64,
}

impl RawApiCall {
    pub(super) fn read(self) -> Result<ApiCall, StoreError> {
        let id = format!("at {}", self.at);
        let row = Row { kind: "request", id: &id };
        Ok(ApiCall {
            company: owner(self.company_id),
            at: row.time("at", self.at)?,
            method: self.method,
            endpoint: self.endpoint,
            status: u16::try_from(self.status).map_err(|error| row.unreadable("status", error))?,
            duration: Duration::from_micros(self.duration_us.unsigned_abs()),
        })
    }
}
