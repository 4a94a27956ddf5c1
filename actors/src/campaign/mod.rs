//! What a campaign is: whom to dial next, and when.
//!
//! Nothing here awaits, opens a socket or reads a clock.

mod breaker;
mod pace;
mod refusal;
mod scheduler;
mod terms;

pub use refusal::Refusal;
pub use scheduler::{Action, Hours, Input, OnBreak, Opening, Rules, Scheduler};
pub use terms::{Limits, Outcome, Recipient, RecipientState, RetryRules, UnknownState};
