//! An account, and its place in the queue of calls to dial.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::call::lock;
use super::options::AccountOptions;

/// An account of the simulated Twilio.
pub(crate) struct Account {
    pub(crate) options: AccountOptions,
    /// When the next call may be dialled.
    next_dial: Mutex<Option<Instant>>,
}

impl Account {
    pub(crate) fn new(options: AccountOptions) -> Self {
        Account { options, next_dial: Mutex::new(None) }
    }

    /// Takes a place in the queue; says how long the wait is.
    pub(crate) fn take_turn(&self) -> Duration {
        let Some(cps) = self.options.cps.filter(|cps| *cps > 0.0) else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let mut next = lock(&self.next_dial);
        let turn = next.unwrap_or(now).max(now);
        *next = Some(turn + Duration::from_secs_f64(1.0 / cps));
        turn - now
    }
}
