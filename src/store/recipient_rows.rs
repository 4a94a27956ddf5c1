//! Recipients as they are stored, claimed, settled and shown.

use std::time::Duration;

use actors::call::CallEnd;
use actors::campaign::{Recipient, RecipientState};
use actors::ids::{AgentId, CallId, CallSid, CampaignId, PhoneNumber};
use actors::machine::AnsweredBy;
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::rows::{NodeId, Row};
use crate::secrets::Place;

/// A recipient to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecipient {
    /// Place in the upload, from 1.
    pub seq: u32,
    /// As it was given, where it is none.
    pub number: String,
    /// Its own template variables, as a JSON object.
    pub context: Option<String>,
    /// Its own zone, in IANA's words.
    pub timezone: Option<String>,
    /// The higher, the sooner.
    pub priority: i32,
    /// Not dialled before.
    pub not_before: Option<Timestamp>,
    /// `Waiting`, or why it is not called at all.
    pub state: RecipientState,
    /// What is wrong with it.
    pub detail: Option<String>,
}

/// What a scheduler needs of a recipient, and what tells its zone.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledRecipient {
    /// Place, priority, attempts; the group is yet to be found.
    pub recipient: Recipient,
    /// Who is called.
    pub number: String,
    /// Its own zone.
    pub timezone: Option<String>,
    /// Its call, which is under way.
    pub call: Option<CallId>,
}

/// What came of the wish to call a recipient.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// Its call is stored; dial now.
    Yes {
        /// Who is called.
        number: PhoneNumber,
        /// Its own template variables, as a JSON object.
        context: Option<String>,
    },
    /// It does not want to be called. Nothing was changed.
    DoNotCall,
    /// The campaign is paused, over, or no longer this node's. Nothing was changed.
    NotRunning,
    /// Somebody else has claimed it, or it is done with.
    Gone,
}

/// How a recipient stands after an attempt.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Place in the upload.
    pub seq: u32,
    /// How it stands; `Waiting` when it is dialled again.
    pub state: RecipientState,
    /// How often it was dialled.
    pub attempts: u8,
    /// Not dialled again before.
    pub due: Option<Timestamp>,
    /// How its latest call ended; `None` where there was none.
    pub end: Option<SettledCall>,
}

/// A call of a campaign that is over.
#[derive(Clone, Debug)]
pub struct SettledCall {
    /// Twilio's id, where Twilio had accepted it.
    pub call_sid: Option<CallSid>,
    /// The agent's socket; stored only where the answer to an upload needs it.
    pub join_url: Option<SecretString>,
    /// Why it is over, in one word.
    pub reason: String,
    /// What a person would ask for next, where it failed.
    pub detail: Option<String>,
    /// Who took it, where Twilio was to find out.
    pub answered_by: Option<AnsweredBy>,
    /// From answer to end.
    pub duration: Option<Duration>,
}

/// A stored recipient. `Debug` hides the join URL.
#[derive(Clone, Debug)]
pub struct RecipientRow {
    /// Place in the upload, from 1.
    pub seq: u32,
    /// Who is called; as it was given, where it is no number.
    pub number: String,
    /// Its own template variables, as a JSON object.
    pub context: Option<String>,
    /// Its own zone.
    pub timezone: Option<String>,
    /// The higher, the sooner.
    pub priority: i32,
    /// How it stands.
    pub state: RecipientState,
    /// How often it was dialled.
    pub attempts: u8,
    /// Not dialled before.
    pub due: Option<Timestamp>,
    /// Our id of its latest call.
    pub call: Option<CallId>,
    /// Twilio's id of it.
    pub call_sid: Option<String>,
    /// Its agent's socket.
    pub join_url: Option<SecretString>,
    /// Why it is over.
    pub reason: Option<String>,
    /// What a person would ask for next.
    pub detail: Option<String>,
    /// Who took it.
    pub answered_by: Option<String>,
    /// From answer to end.
    pub duration: Option<Duration>,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// The call a recipient is claimed for.
#[derive(Clone, Debug)]
pub struct ClaimedCall {
    /// Our id.
    pub id: CallId,
    /// The node that dials.
    pub node: NodeId,
    /// The company's number.
    pub from: PhoneNumber,
    /// Which of our agents takes it.
    pub agent: Option<AgentId>,
    /// Now.
    pub at: Timestamp,
}

#[derive(FromRow)]
pub(super) struct RawScheduled {
    pub(super) seq: i64,
    pub(super) number: String,
    pub(super) timezone: Option<String>,
    pub(super) priority: i64,
    pub(super) attempts: i64,
    pub(super) due_at: Option<i64>,
    pub(super) call_id: Option<String>,
}

#[derive(FromRow)]
pub(super) struct RawClaim {
    pub(super) number: String,
    pub(super) context: Option<String>,
    pub(super) state: String,
    pub(super) call_id: Option<String>,
}

impl RawClaim {
    pub(super) fn claimed(self, campaign: &str) -> Result<Claimed, StoreError> {
        let row = Row { kind: "recipient of campaign", id: campaign };
        let number = row.parse("number", &self.number)?;
        Ok(Claimed::Yes { number, context: self.context })
    }
}

/// How a recipient stands when a call claims it.
pub(super) enum Standing {
    NotRunning,
    Gone,
    /// This very call has it.
    Claimed(RawClaim),
    /// Nobody has it; the company is to call it.
    Waiting(i64, RawClaim),
}

impl Standing {
    pub(super) fn of(company: Option<i64>, found: Option<RawClaim>, call: &str) -> Self {
        let Some(company) = company else { return Standing::NotRunning };
        let Some(found) = found else { return Standing::Gone };
        match found.state.parse() {
            Ok(RecipientState::Waiting) => Standing::Waiting(company, found),
            Ok(RecipientState::Calling) if found.call_id.as_deref() == Some(call) => {
                Standing::Claimed(found)
            }
            _ => Standing::Gone,
        }
    }
}

#[derive(FromRow)]
pub(super) struct RawEnd {
    id: String,
    status: String,
    end_reason: String,
    detail: Option<String>,
    duration_ms: Option<i64>,
    answered_by: Option<String>,
    call_sid: Option<String>,
}

impl RawEnd {
    pub(super) fn read(self) -> Result<(CallId, CallEnd, Option<CallSid>), StoreError> {
        let row = Row { kind: "call", id: &self.id };
        let end = CallEnd {
            status: row.parse("status", &self.status)?,
            reason: super::rows::read_end_reason(&row, &self.end_reason)?,
            detail: self.detail,
            duration: self.duration_ms.map(milliseconds),
            answered_by: self.answered_by.as_deref().map(AnsweredBy::from),
        };
        let sid = self.call_sid.map(|sid| row.parse("call_sid", &sid)).transpose()?;
        Ok((row.parse("id", &self.id)?, end, sid))
    }
}

#[derive(FromRow)]
pub(super) struct RawRecipient {
    seq: i64,
    number: String,
    context: Option<String>,
    timezone: Option<String>,
    priority: i64,
    state: String,
    attempts: i64,
    due_at: Option<i64>,
    call_id: Option<String>,
    call_sid: Option<String>,
    join_url: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
    answered_by: Option<String>,
    duration_ms: Option<i64>,
    updated_at: i64,
}

impl RawRecipient {
    pub(super) fn read(
        self,
        store: &Store,
        campaign: CampaignId,
    ) -> Result<RecipientRow, StoreError> {
        let id = format!("{} of campaign {campaign}", self.seq);
        let row = Row { kind: "recipient", id: &id };
        let seq = small(self.seq);
        let join_url = self.join_url.as_deref().and_then(|sealed| {
            let opened = store.sealer.open(&join_url_of(campaign, seq), sealed);
            opened.inspect_err(|error| tracing::warn!("{id}: {error}")).ok()
        });
        Ok(RecipientRow {
            seq,
            number: self.number,
            context: self.context,
            timezone: self.timezone,
            priority: i32::try_from(self.priority).unwrap_or_default(),
            state: row.parse("state", &self.state)?,
            attempts: u8::try_from(self.attempts).unwrap_or(u8::MAX),
            due: self.due_at.map(|ms| row.time("due_at", ms)).transpose()?,
            call: self.call_id.map(|id| row.parse("call_id", &id)).transpose()?,
            call_sid: self.call_sid,
            join_url,
            reason: self.reason,
            detail: self.detail,
            answered_by: self.answered_by,
            duration: self.duration_ms.map(milliseconds),
            updated_at: row.time("updated_at", self.updated_at)?,
        })
    }
}

pub(super) fn join_url_of(campaign: CampaignId, seq: u32) -> Place {
    Place::new("campaign_calls", "join_url", format_args!("{campaign}/{seq}"))
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// A place in an upload, which no upload exceeds.
pub(super) fn small(seq: i64) -> u32 {
    u32::try_from(seq).unwrap_or(u32::MAX)
}
