//! What a campaign is: whom to dial next, and when.
//!
//! [`scheduler`] decides from limits, retries, priorities and outcomes. [`hours`] says when a
//! campaign may call, [`zones`] where a phone number is at home, and [`zone_groups`] puts the two
//! together for a hundred thousand recipients at once.
//!
//! Nothing here does I/O or reads a clock: time is an argument.

mod breaker;
pub mod hours;
mod pace;
mod refusal;
pub mod scheduler;
mod terms;
mod verdict;
pub mod zone_groups;
pub mod zones;

pub use refusal::Refusal;
pub use terms::{Limits, Outcome, Recipient, RecipientState, RetryRules, UnknownState};
pub(crate) use verdict::verdict;
