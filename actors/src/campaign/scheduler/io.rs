//! What passes between a scheduler and its owner.

use jiff::Timestamp;

use crate::campaign::refusal::Refusal;
use crate::campaign::terms::{Limits, Outcome, Recipient, RecipientState, RetryRules};

/// What a campaign is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// More recipients.
    Recipients(Vec<Recipient>),
    /// Its phone is being called.
    Placed(u32),
    /// Its call is over on both legs.
    Ended(u32, Outcome),
    /// It came to no call.
    Refused(u32, Refusal),
    /// Other limits from now on.
    Limits(Limits),
    /// No new calls until [`Input::Resume`].
    Pause,
    /// On again.
    Resume,
    /// No new calls at all.
    Cancel,
    /// A deadline may have passed.
    Tick,
}

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Dial this one now.
    Dial {
        /// Which.
        seq: u32,
        /// Counts its attempts, from 1.
        attempt: u8,
    },
    /// Store how a recipient stands.
    Settle {
        /// Which.
        seq: u32,
        /// How it stands; `Waiting` when it is dialled again.
        state: RecipientState,
        /// How often it was dialled.
        attempts: u8,
        /// Not dialled again before.
        due: Option<Timestamp>,
    },
    /// Store that everybody who waits has ended like this.
    SettleWaiting {
        /// Like this.
        state: RecipientState,
        /// Why, for people.
        detail: Option<String>,
    },
    /// No new calls: store that the campaign is paused, and why.
    Pause {
        /// For people.
        cause: String,
    },
    /// Everybody has a final state. The last action.
    Complete,
}

/// What happens when nobody can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreak {
    /// The campaign waits for somebody.
    Pause,
    /// Everybody left has failed: somebody waits for the answer.
    Fail,
}

/// The rules of a campaign that do not change.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Who is tried again.
    pub retries: RetryRules,
    /// Nobody is dialled later.
    pub expires_at: Option<Timestamp>,
    /// What happens when nobody can be called.
    pub on_break: OnBreak,
}
