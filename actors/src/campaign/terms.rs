//! What a campaign promises about the calls it places, in plain data.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::{CallStatus, EndReason};

use super::zone_groups::ZoneGroup;

/// How many calls a campaign may have at a time, and how fast it may place them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls that are dialled, ring or talk at the same time. One is strictly one after another.
    pub max_concurrent_calls: u32,
    /// Calls begun in a second. Below one: one call in so many seconds.
    pub max_cps: f64,
}

/// Which outcomes are tried again, how often and when.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryRules {
    /// How often a recipient is dialled at most. One is never again.
    pub max_attempts: u8,
    /// The outcomes that are tried again, of those that [`Outcome::state`] names.
    pub on: Vec<RecipientState>,
    /// From the end of the first attempt to the second.
    pub backoff: Duration,
    /// How much longer each further wait is than the one before.
    pub factor: f64,
}

impl RetryRules {
    /// Everybody is dialled once.
    pub fn never() -> Self {
        RetryRules { max_attempts: 1, on: Vec::new(), backoff: Duration::ZERO, factor: 1.0 }
    }

    /// How long to wait after so many attempts, the last of which ended like this. `None` when
    /// nothing is tried again.
    pub fn wait(&self, attempts: u8, state: RecipientState) -> Option<Duration> {
        if attempts >= self.max_attempts || !self.on.contains(&state) {
            return None;
        }
        let doublings = i32::from(attempts.saturating_sub(1));
        let seconds = self.backoff.as_secs_f64() * self.factor.max(1.0).powi(doublings);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
    }
}

/// A retry is never further away than this.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// How a recipient of a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipientState {
    /// Will be dialled, or dialled again.
    Waiting,
    /// Is being dialled, rings or talks.
    Calling,
    /// Was reached.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Could not be connected.
    Failed,
    /// Taken back before it was answered.
    Canceled,
    /// An answering machine took the call, which was to end then.
    Machine,
    /// Is no number that can be called.
    Invalid,
    /// Stands in the upload a second time; the first one counts.
    Duplicate,
    /// Does not want to be called.
    DoNotCall,
    /// Its time was over before it could be dialled.
    Expired,
    /// The campaign was canceled before it was dialled.
    Skipped,
}

/// A word that is no state of a recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown recipient state {0:?}")]
pub struct UnknownState(String);

impl RecipientState {
    /// Every state.
    pub const ALL: [RecipientState; 13] = [
        RecipientState::Waiting,
        RecipientState::Calling,
        RecipientState::Completed,
        RecipientState::Busy,
        RecipientState::NoAnswer,
        RecipientState::Failed,
        RecipientState::Canceled,
        RecipientState::Machine,
        RecipientState::Invalid,
        RecipientState::Duplicate,
        RecipientState::DoNotCall,
        RecipientState::Expired,
        RecipientState::Skipped,
    ];

    /// What an attempt can end in and be tried again for.
    pub const RETRIABLE: [RecipientState; 5] = [
        RecipientState::Busy,
        RecipientState::NoAnswer,
        RecipientState::Failed,
        RecipientState::Canceled,
        RecipientState::Machine,
    ];

    /// As stored, and as clients know it.
    pub fn as_str(self) -> &'static str {
        match self {
            RecipientState::Waiting => "waiting",
            RecipientState::Calling => "calling",
            RecipientState::Completed => "completed",
            RecipientState::Busy => "busy",
            RecipientState::NoAnswer => "no-answer",
            RecipientState::Failed => "failed",
            RecipientState::Canceled => "canceled",
            RecipientState::Machine => "machine",
            RecipientState::Invalid => "invalid",
            RecipientState::Duplicate => "duplicate",
            RecipientState::DoNotCall => "do-not-call",
            RecipientState::Expired => "expired",
            RecipientState::Skipped => "skipped",
        }
    }

    /// True when nothing comes after it.
    pub fn is_final(self) -> bool {
        !matches!(self, RecipientState::Waiting | RecipientState::Calling)
    }
}

impl FromStr for RecipientState {
    type Err = UnknownState;

    fn from_str(raw: &str) -> Result<Self, UnknownState> {
        let known = RecipientState::ALL.into_iter().find(|state| state.as_str() == raw);
        known.ok_or_else(|| UnknownState(raw.chars().take(40).collect()))
    }
}

impl fmt::Display for RecipientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one attempt ended at the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Reached.
    Completed,
    /// Busy.
    Busy,
    /// Not answered.
    NoAnswer,
    /// Could not be connected, for this cause.
    Failed(EndReason),
    /// Taken back before it was answered.
    Canceled,
    /// An answering machine took it.
    Machine,
}

impl Outcome {
    /// What the end of a call means to the campaign.
    pub fn of(status: CallStatus, reason: EndReason) -> Self {
        match (status, reason) {
            (_, EndReason::Machine) => Outcome::Machine,
            (CallStatus::Completed, _) => Outcome::Completed,
            (CallStatus::Busy, _) => Outcome::Busy,
            (CallStatus::NoAnswer, _) => Outcome::NoAnswer,
            (CallStatus::Canceled, _) => Outcome::Canceled,
            (_, reason) => Outcome::Failed(reason),
        }
    }

    /// The state it leaves the recipient in, unless it is tried again.
    pub fn state(&self) -> RecipientState {
        match self {
            Outcome::Completed => RecipientState::Completed,
            Outcome::Busy => RecipientState::Busy,
            Outcome::NoAnswer => RecipientState::NoAnswer,
            Outcome::Failed(_) => RecipientState::Failed,
            Outcome::Canceled => RecipientState::Canceled,
            Outcome::Machine => RecipientState::Machine,
        }
    }

    /// Whether it may be tried again, if the rules say so. What may have been placed, and was not
    /// found, never is.
    pub fn may_be_retried(&self) -> bool {
        *self != Outcome::Failed(EndReason::DialOutcomeUnknown)
    }
}

/// Somebody to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Place in the upload, from 1.
    pub seq: u32,
    /// The higher, the sooner.
    pub priority: i32,
    /// Whose calling hours count.
    pub group: ZoneGroup,
    /// How often it was dialled.
    pub attempts: u8,
    /// Not dialled before.
    pub due: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in RecipientState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("asleep".parse::<RecipientState>().is_err());
    }

    #[test]
    fn waits_grow_and_end() {
        let rules = RetryRules {
            max_attempts: 4,
            on: vec![RecipientState::Busy],
            backoff: Duration::from_secs(60),
            factor: 2.0,
        };
        let waits: Vec<_> = (1..=4).map(|n| rules.wait(n, RecipientState::Busy)).collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(waits, [seconds(60), seconds(120), seconds(240), None]);
        assert_eq!(rules.wait(1, RecipientState::NoAnswer), None);
        assert_eq!(RetryRules::never().wait(1, RecipientState::Busy), None);
    }

    #[test]
    fn what_may_have_been_dialled_is_not_dialled_again() {
        let lost = Outcome::of(CallStatus::Failed, EndReason::DialOutcomeUnknown);
        assert!(!lost.may_be_retried());
        assert!(Outcome::of(CallStatus::Failed, EndReason::PhoneFailed).may_be_retried());
    }
}
