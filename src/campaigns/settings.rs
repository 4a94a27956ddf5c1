//! The rules of a campaign as they are stored.

use actors::campaign::hours::CallingHours;
use actors::campaign::scheduler::OnBreak;
use actors::campaign::{RecipientState, RetryRules};
use actors::machine::MachineDetection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// The rules of a campaign. What is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// Who asked for it, and how it is answered.
    #[serde(default)]
    pub origin: Origin,
    /// Calls at the same time.
    pub max_concurrent_calls: u32,
    /// Calls begun in a second; without it the company's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cps: Option<f64>,
    /// How long a call may last, in seconds; without it the service's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_call_seconds: Option<u32>,
    /// How long a phone rings, in seconds; without it the service's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_timeout_seconds: Option<u32>,
    /// Who is dialled again.
    #[serde(default)]
    pub retries: Retries,
    /// Nobody is dialled later than this after the campaign began, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live_seconds: Option<u64>,
    /// When people may be called; without it always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<CallingHours>,
    /// What is done about answering machines; without it they are not told from people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answering_machine: Option<MachineDetection>,
    /// Template variables of everybody; a recipient's own go before them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub template_context: Map<String, Value>,
    /// TwiML of somebody else's that Twilio follows: the calls are tracked, not bridged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twiml_url: Option<String>,
}

/// Who asked for a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The campaigns of the API.
    #[default]
    Campaign,
    /// `bulk-calls-sequential`.
    BulkSequential,
    /// `bulk-calls`.
    Bulk,
    /// `intelligent-bulk-calls`.
    IntelligentBulk,
}

impl Origin {
    /// Whether somebody may wait for the answer, which names every call's join URL.
    pub fn is_bulk(self) -> bool {
        self != Origin::Campaign
    }

    /// What happens when nobody can be called: whoever waits for an answer is given one.
    pub fn on_break(self) -> OnBreak {
        if self.is_bulk() { OnBreak::Fail } else { OnBreak::Pause }
    }
}

/// Who is dialled again, how often and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// How often a recipient is dialled at most.
    pub max_attempts: u8,
    /// The outcomes that are tried again.
    pub on: Vec<RecipientState>,
    /// From the end of the first attempt to the second.
    pub backoff_seconds: u64,
    /// How much longer each further wait is than the one before.
    pub backoff_factor: f64,
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            max_attempts: 1,
            on: vec![RecipientState::Busy, RecipientState::NoAnswer],
            backoff_seconds: 900,
            backoff_factor: 2.0,
        }
    }
}

impl From<&Retries> for RetryRules {
    fn from(retries: &Retries) -> Self {
        RetryRules {
            max_attempts: retries.max_attempts,
            on: retries.on.clone(),
            backoff: Duration::from_secs(retries.backoff_seconds),
            factor: retries.backoff_factor,
        }
    }
}
