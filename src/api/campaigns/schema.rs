//! Campaigns as they are written in requests and answers.

use std::collections::BTreeMap;

use actors::campaign::RecipientState;
use actors::machine::AnsweredBy;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, Object, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::{IntoParams, ToSchema};

use crate::api::agents::word;
use crate::api::error::ApiError;
use crate::api::time::milliseconds;
use crate::campaigns::intake::{Accepted, Rejected};
use crate::campaigns::{CampaignSettings, Origin, Retries};
use crate::store::{CampaignCounts, CampaignRow, CampaignState, StoreError};

use super::order;

/// The id of a campaign.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("id"))]
pub(crate) struct CampaignIdParam(
    /// The campaign's id (a UUID)
    #[expect(dead_code, reason = "only described")]
    String,
);

/// A campaign, without how its recipients stand.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignHead)]
pub(crate) struct HeadBody {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// The agent that takes its calls; null when the company's own configuration does.
    agent_id: Option<String>,
    /// Which route made it: `campaign`, `bulk_sequential`, `bulk` or `intelligent_bulk`.
    #[schema(value_type = String)]
    origin: Origin,
    /// How it stands.
    #[schema(schema_with = any_state)]
    state: &'static str,
    /// Why it is paused, when nobody asked for that.
    cause: Option<String>,
    /// Recipients of the upload, those that are not called among them.
    total: u64,
    /// Recipients that were done with in the last minute.
    rate_per_minute: f64,
    /// When it was asked for (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
    /// When its first call could be placed.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it was over.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

impl HeadBody {
    pub(super) fn new(row: &CampaignRow, settings: &CampaignSettings) -> Self {
        HeadBody {
            id: row.id.to_string(),
            name: row.name.clone(),
            agent_id: row.agent.as_ref().map(|id| id.as_str().to_owned()),
            origin: settings.origin,
            state: row.state.as_str(),
            cause: row.cause.clone(),
            total: row.recipients,
            rate_per_minute: row.pace,
            created_at: milliseconds(row.created_at),
            started_at: row.started_at.map(milliseconds),
            ended_at: row.ended_at.map(milliseconds),
        }
    }
}

/// The rules of a stored campaign.
pub(super) fn settings_of(row: &CampaignRow) -> Result<CampaignSettings, ApiError> {
    serde_json::from_str(&row.settings).map_err(|error| {
        StoreError::Unreadable {
            column: "settings",
            row: format!("campaign {}", row.id),
            cause: error.to_string(),
        }
        .into()
    })
}

/// How the recipients of a campaign stand.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CampaignProgress)]
pub(crate) struct ProgressBody {
    /// How many recipients are in each state.
    #[schema(schema_with = counts_by_state)]
    counts: BTreeMap<&'static str, u64>,
    /// Who took the calls, where Twilio was to find out.
    #[schema(schema_with = counts_by_answer)]
    answered_by: BTreeMap<&'static str, u64>,
    /// Recipients whose call is under way.
    in_flight: u64,
    /// Recipients that are done with.
    finished: u64,
    /// When it will be over if it goes on like this, in seconds; null when it does not run, or
    /// nobody can say.
    eta_seconds: Option<u64>,
}

impl ProgressBody {
    pub(super) fn new(row: &CampaignRow, counts: &CampaignCounts) -> Self {
        let states = RecipientState::ALL.map(|state| (state.as_str(), counts.of(state)));
        let answers = AnsweredBy::ALL.map(|who| {
            let count = counts.answered_by.get(who.as_str()).copied();
            (who.as_str(), count.unwrap_or_default())
        });
        let finished = counts.finished();
        ProgressBody {
            counts: states.into(),
            answered_by: answers.into(),
            in_flight: counts.of(RecipientState::Calling),
            finished,
            eta_seconds: eta_seconds(row, row.recipients.saturating_sub(finished)),
        }
    }
}

fn eta_seconds(row: &CampaignRow, left: u64) -> Option<u64> {
    let is_known = row.state == CampaignState::Running && row.pace > 0.0;
    let left = f64::from(u32::try_from(left).unwrap_or(u32::MAX));
    // Written and read again: that is a cast whose edges are known.
    is_known.then(|| format!("{:.0}", (left / row.pace * 60.0).ceil()).parse().ok()).flatten()
}

/// A campaign.
#[derive(Serialize, ToSchema)]
#[schema(as = Campaign)]
pub(crate) struct CampaignBody {
    #[schema(inline)]
    #[serde(flatten)]
    head: HeadBody,
    #[schema(inline)]
    #[serde(flatten)]
    progress: ProgressBody,
    /// Whether its live calls were ended when it was canceled.
    end_live_calls: bool,
    /// Its rules.
    settings: SettingsBody,
}

impl CampaignBody {
    pub(super) fn new(row: &CampaignRow, counts: &CampaignCounts) -> Result<Self, ApiError> {
        let settings = settings_of(row)?;
        Ok(CampaignBody {
            head: HeadBody::new(row, &settings),
            progress: ProgressBody::new(row, counts),
            end_live_calls: row.end_calls,
            settings: SettingsBody::new(settings),
        })
    }
}

/// The rules of a campaign.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignSettings)]
pub(crate) struct SettingsBody {
    /// Calls at the same time.
    max_concurrent_calls: u32,
    /// Calls begun in a second; null for the company's limit.
    max_cps: Option<f64>,
    /// How long a call may last; null for the service's limit.
    max_call_seconds: Option<u32>,
    /// How long a phone rings; null for the service's limit.
    ring_timeout_seconds: Option<u32>,
    /// Who is dialled again.
    #[schema(value_type = Object)]
    retries: Retries,
    /// Nobody is dialled later than this after the campaign began; null for no end.
    time_to_live_seconds: Option<u64>,
    /// When people may be called; null for always.
    #[schema(value_type = Option<Object>)]
    hours: Option<Value>,
    /// What is done about answering machines; null when they are not told from people.
    #[schema(value_type = Option<Object>)]
    answering_machine: Option<Value>,
    /// Template variables of everybody.
    #[schema(value_type = Object)]
    template_context: serde_json::Map<String, Value>,
}

impl SettingsBody {
    fn new(settings: CampaignSettings) -> Self {
        SettingsBody {
            max_concurrent_calls: settings.max_concurrent_calls,
            max_cps: settings.max_cps,
            max_call_seconds: settings.max_call_seconds,
            ring_timeout_seconds: settings.ring_timeout_seconds,
            retries: settings.retries,
            time_to_live_seconds: settings.time_to_live_seconds,
            hours: settings.hours.map(Value::from),
            answering_machine: settings.answering_machine.as_ref().map(order::written),
            template_context: settings.template_context,
        }
    }
}

/// What became of an upload.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedUpload)]
pub(crate) struct AcceptedBody {
    /// Rows that are called.
    accepted: u32,
    /// Rows that cannot be called.
    invalid: u32,
    /// Rows whose number stood above.
    duplicates: u32,
    /// The first hundred rows that are not called.
    rejected: Vec<RejectedBody>,
    /// What else should be known of the file.
    note: Option<String>,
}

impl AcceptedBody {
    pub(super) fn new(accepted: Accepted, note: Option<String>) -> Self {
        AcceptedBody {
            accepted: accepted.accepted,
            invalid: accepted.invalid,
            duplicates: accepted.duplicates,
            rejected: accepted.rejected.into_iter().map(RejectedBody::from).collect(),
            note,
        }
    }
}

/// A row that is not called.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedRecipient)]
pub(crate) struct RejectedBody {
    /// Its line in the file, or its place in the list, from 1.
    line: u64,
    /// What stands in the place of its number.
    phone_number: String,
    /// Why it is not called.
    reason: String,
}

impl From<Rejected> for RejectedBody {
    fn from(rejected: Rejected) -> Self {
        let Rejected { line, number, reason } = rejected;
        RejectedBody { line, phone_number: number, reason }
    }
}

/// A campaign that has just begun.
#[derive(Serialize, ToSchema)]
#[schema(as = NewCampaign)]
pub(crate) struct CreatedBody {
    #[schema(inline)]
    #[serde(flatten)]
    pub(super) campaign: CampaignBody,
    #[schema(inline)]
    #[serde(flatten)]
    pub(super) accepted: AcceptedBody,
}

/// A page of campaigns.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignPage {
    /// Newest first.
    pub(super) campaigns: Vec<HeadBody>,
    /// Asks for the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

pub(super) fn any_state() -> Object {
    word(CampaignState::ALL.map(CampaignState::as_str))
}

pub(super) fn any_recipient_state() -> Object {
    word(RecipientState::ALL.map(RecipientState::as_str))
}

fn counts_by_state() -> Object {
    counts(&RecipientState::ALL.map(RecipientState::as_str))
}

fn counts_by_answer() -> Object {
    counts(&AnsweredBy::ALL.map(AnsweredBy::as_str))
}

/// A number for each of these names.
fn counts(names: &[&str]) -> Object {
    let number = || {
        let kind = SchemaType::Type(Type::Integer);
        ObjectBuilder::new().schema_type(kind).minimum(Some(0)).build()
    };
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let object =
        names.iter().fold(object, |object, name| object.property(*name, number()).required(*name));
    object.build()
}
