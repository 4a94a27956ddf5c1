//! The line in which a company's calls wait to be dialled.
//!
//! Calls somebody waits for go before those of campaigns; among equals, who came first goes first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::ports::Urgency;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::slots::{Pace, Slots};
use super::{Turn, TurnError};

/// Whom a turn, or the reason why there is none, is told. Its queue is bounded by the calls that are
/// live: each waits in it at most once.
pub(super) type Waiter = oneshot::Sender<Result<Turn, TurnError>>;

/// One company's line.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// A slot was given back.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) slots: Slots,
    /// Whether it is known what became of slots before this process.
    pub(super) is_begun: bool,
    /// The company's pace, and when it was read.
    pub(super) pace: Option<(Pace, Instant)>,
    singles: VecDeque<Waiter>,
    campaigns: VecDeque<Waiter>,
    /// Whether a task gives turns to those who wait.
    is_served: bool,
    /// Single calls that were let in and are not placed yet.
    pub(super) expected: usize,
    /// Single calls that hold a slot.
    singles_in_use: usize,
}

impl Line {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets somebody wait. True when nobody serves the line yet: then the caller has to.
    pub(super) fn join(&mut self, urgency: Urgency, waiter: Waiter) -> bool {
        match urgency {
            Urgency::Single => self.singles.push_back(waiter),
            Urgency::Campaign => self.campaigns.push_back(waiter),
        }
        !std::mem::replace(&mut self.is_served, true)
    }

    /// Who is next, of those who still wait.
    pub(super) fn next(&mut self) -> Option<(Urgency, Waiter)> {
        let next = |waiters: &mut VecDeque<Waiter>| {
            std::iter::from_fn(|| waiters.pop_front()).find(|waiter| !waiter.is_closed())
        };
        let single = next(&mut self.singles).map(|waiter| (Urgency::Single, waiter));
        single.or_else(|| next(&mut self.campaigns).map(|waiter| (Urgency::Campaign, waiter)))
    }

    /// Whether nobody waits any more; nobody serves the line then.
    pub(super) fn is_left(&mut self) -> bool {
        self.singles.retain(|waiter| !waiter.is_closed());
        self.campaigns.retain(|waiter| !waiter.is_closed());
        self.is_served = !(self.singles.is_empty() && self.campaigns.is_empty());
        !self.is_served
    }

    /// Somebody's turn has come.
    pub(super) fn begin(&mut self, urgency: Urgency) {
        self.singles_in_use += usize::from(urgency == Urgency::Single);
    }

    /// Somebody's turn is over.
    pub(super) fn end(&mut self, urgency: Urgency, is_used: bool, now: Instant) {
        self.singles_in_use -= usize::from(urgency == Urgency::Single);
        match is_used {
            true => self.slots.give_back(now),
            false => self.slots.put_back(),
        }
    }

    /// How long a single call that comes now waits about. Campaigns' calls in line do not count: it
    /// goes before them.
    pub(super) fn estimate(&self, pace: Pace, now: Instant) -> Duration {
        let in_line = self.singles.iter().filter(|waiter| !waiter.is_closed()).count();
        let before = self.expected.max(in_line + self.singles_in_use);
        // Single calls that hold a slot are among those before it.
        let others = self.slots.in_use().saturating_sub(self.singles_in_use);
        self.slots.wait(before + 1, others, pace, now)
    }
}
