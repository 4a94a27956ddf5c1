//! Whom to dial next, and when.
//!
//! Promises: never more calls at a time, nor begun in a second, than the limits say; never a
//! recipient dialled more often than its attempts; every recipient ends in one final state; one
//! after another, in order of priority and then of the upload, when the limit is one. What was
//! refused before anybody's phone rang is no attempt.
//!
//! Nothing here does I/O or reads a clock: `BulkCampaign` feeds it and performs its actions.

mod io;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::breaker::Breaker;
use super::pace::Pace;
use super::refusal::Refusal;
use super::terms::{Limits, Outcome, Recipient, RecipientState};

pub use io::{Action, Input, OnBreak, Rules};
pub use queue::Hours;
use queue::Queue;

/// The first wait after a vendor was busy or away and did not say for how long. Doubles.
const FIRST_HOLD: SignedDuration = SignedDuration::from_secs(1);
/// The longest of these waits.
const LONGEST_HOLD: SignedDuration = SignedDuration::from_secs(60);
/// So many waits without a call in between, and somebody has to look.
const MOST_HOLDS: u32 = 8;
/// How long a node without room is left alone.
const NO_ROOM_HOLD: SignedDuration = SignedDuration::from_millis(500);
/// So many seconds of calls may be begun and not placed yet. Their agents wait meanwhile.
const SECONDS_AHEAD: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Running,
    Paused,
    Canceled,
}

/// The scheduler of one campaign.
#[derive(Debug)]
pub struct Scheduler<H> {
    hours: H,
    limits: Limits,
    rules: Rules,
    mode: Mode,
    pace: Pace,
    breaker: Breaker,
    hold_until: Option<Timestamp>,
    holds: u32,
    queue: Queue,
    in_flight: HashMap<u32, Flight>,
    /// How many of `in_flight` are not placed yet.
    unplaced: u32,
    wake: Option<Timestamp>,
    is_complete: bool,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    recipient: Recipient,
    placed: bool,
}

impl<H: Hours> Scheduler<H> {
    /// A campaign without recipients, running.
    pub fn new(hours: H, limits: Limits, rules: Rules) -> Self {
        Scheduler {
            hours,
            pace: Pace::new(limits.max_cps),
            limits,
            rules,
            mode: Mode::Running,
            breaker: Breaker::default(),
            hold_until: None,
            holds: 0,
            queue: Queue::default(),
            in_flight: HashMap::new(),
            unplaced: 0,
            wake: None,
            is_complete: false,
            actions: VecDeque::new(),
        }
    }

    /// Places no calls until [`Input::Resume`]. For a campaign that goes on where it was stored.
    pub fn begin_paused(&mut self) {
        self.pause();
    }

    /// Counts a call that is under way already, since before this scheduler was made.
    pub fn resume_call(&mut self, recipient: Recipient) {
        self.in_flight.insert(recipient.seq, Flight { recipient, placed: true });
    }

    /// Takes one input. Nothing has an effect after [`Action::Complete`].
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.is_complete {
            return;
        }
        match input {
            Input::Recipients(recipients) => {
                self.queue.make_room(recipients.len());
                recipients.into_iter().for_each(|recipient| self.queue.push(now, recipient));
            }
            Input::Placed(seq) => self.placed(seq),
            Input::Ended(seq, outcome) => self.ended(now, seq, &outcome),
            Input::Refused(seq, refusal) => self.refused(now, seq, refusal),
            Input::Limits(limits) => {
                self.limits = limits;
                self.pace.set_max_cps(limits.max_cps);
            }
            Input::Pause => self.pause(),
            Input::Resume => self.resume(now),
            Input::Cancel => self.cancel(),
            Input::Tick => {}
        }
        self.expire(now);
        self.dispatch(now);
        self.complete();
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.wake
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whose calls are under way.
    #[cfg(test)]
    fn calling(&self) -> impl Iterator<Item = u32> + '_ {
        self.in_flight.keys().copied()
    }

    fn placed(&mut self, seq: u32) {
        let Some(flight) = self.in_flight.get_mut(&seq) else { return };
        if !std::mem::replace(&mut flight.placed, true) {
            self.unplaced -= 1;
        }
        self.holds = 0;
    }

    fn land(&mut self, seq: u32) -> Option<Recipient> {
        let flight = self.in_flight.remove(&seq)?;
        self.unplaced -= u32::from(!flight.placed);
        Some(flight.recipient)
    }

    fn ended(&mut self, now: Timestamp, seq: u32, outcome: &Outcome) {
        let Some(recipient) = self.land(seq) else { return };
        self.holds = 0;
        let retry = match outcome.may_be_retried() {
            true => self.retry(now, recipient, outcome.state()),
            false => None,
        };
        self.settle(now, recipient, outcome.state(), retry);
        let cause = match outcome {
            Outcome::Failed(reason) => Some(reason.to_string()),
            _ => None,
        };
        self.note(cause);
    }

    fn refused(&mut self, now: Timestamp, seq: u32, refusal: Refusal) {
        let Some(recipient) = self.land(seq) else { return };
        let untried = Recipient { attempts: recipient.attempts.saturating_sub(1), ..recipient };
        let again = |scheduler: &mut Self| {
            scheduler.settle(now, untried, RecipientState::Waiting, untried.due);
        };
        match refusal {
            Refusal::NotNow { cause, retry_after } => {
                again(self);
                self.hold(now, cause, retry_after);
            }
            Refusal::NoRoom => {
                again(self);
                self.hold_for(now, NO_ROOM_HOLD);
            }
            Refusal::NotDialled => again(self),
            Refusal::Hopeless { cause } => {
                again(self);
                self.give_up(cause);
            }
            Refusal::NotThisOne(state) => self.settle(now, untried, state, None),
            Refusal::Failed { cause } => {
                let retry = self.retry(now, recipient, RecipientState::Failed);
                self.settle(now, recipient, RecipientState::Failed, retry);
                self.note(Some(cause));
            }
        }
    }

    /// When a recipient is dialled again.
    fn retry(
        &self,
        now: Timestamp,
        recipient: Recipient,
        state: RecipientState,
    ) -> Option<Timestamp> {
        let wait = self.rules.retries.wait(recipient.attempts, state)?;
        let due = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let in_time = self.rules.expires_at.is_none_or(|expires| due < expires);
        (in_time && self.mode != Mode::Canceled).then_some(due)
    }

    /// Stores how a recipient stands: with a time to be dialled again it waits.
    fn settle(
        &mut self,
        now: Timestamp,
        recipient: Recipient,
        state: RecipientState,
        due: Option<Timestamp>,
    ) {
        let waits = state == RecipientState::Waiting || due.is_some();
        let state = match (waits, self.mode) {
            (true, Mode::Canceled) => RecipientState::Skipped,
            (true, _) => RecipientState::Waiting,
            (false, _) => state,
        };
        let Recipient { seq, attempts, .. } = recipient;
        self.actions.push_back(Action::Settle { seq, state, attempts, due });
        if state == RecipientState::Waiting {
            self.queue.push(now, Recipient { due, ..recipient });
        }
    }

    fn note(&mut self, cause: Option<String>) {
        if let Some(cause) = self.breaker.note(cause) {
            self.give_up(format!("most of the latest calls failed for one cause: {cause}"));
        }
    }

    fn hold(&mut self, now: Timestamp, cause: String, asked: Option<std::time::Duration>) {
        // Calls that were begun together are refused together: that is one refusal.
        if self.hold_until.is_none_or(|until| until <= now) {
            self.holds += 1;
            self.pace.ramp(now);
        }
        if self.holds > MOST_HOLDS {
            return self.give_up(cause);
        }
        let doublings = 1 << self.holds.saturating_sub(1).min(10);
        let backoff = (FIRST_HOLD * doublings).min(LONGEST_HOLD);
        let asked = asked.and_then(|asked| SignedDuration::try_from(asked).ok());
        self.hold_for(now, asked.unwrap_or(backoff));
    }

    fn hold_for(&mut self, now: Timestamp, hold: SignedDuration) {
        let until = now.saturating_add(hold).unwrap_or(Timestamp::MAX);
        self.hold_until = self.hold_until.max(Some(until));
        // The ramp begins when the wait is over.
        self.pace.ramp(until);
    }

    fn give_up(&mut self, cause: String) {
        if self.mode != Mode::Running {
            return;
        }
        match self.rules.on_break {
            OnBreak::Pause => {
                self.mode = Mode::Paused;
                self.actions.push_back(Action::Pause { cause });
            }
            OnBreak::Fail => self.drop_waiting(RecipientState::Failed, Some(cause)),
        }
    }

    fn pause(&mut self) {
        if self.mode == Mode::Running {
            self.mode = Mode::Paused;
        }
    }

    fn resume(&mut self, now: Timestamp) {
        if self.mode != Mode::Paused {
            return;
        }
        self.mode = Mode::Running;
        self.breaker.reset();
        self.hold_until = None;
        self.holds = 0;
        self.pace.ramp(now);
    }

    fn cancel(&mut self) {
        if self.mode != Mode::Canceled {
            self.mode = Mode::Canceled;
            self.drop_waiting(RecipientState::Skipped, None);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        if self.rules.expires_at.is_some_and(|at| at <= now) {
            self.drop_waiting(RecipientState::Expired, None);
        }
    }

    /// Everybody who waits has ended like this.
    fn drop_waiting(&mut self, state: RecipientState, detail: Option<String>) {
        if self.queue.is_empty() {
            return;
        }
        self.queue.clear();
        self.actions.push_back(Action::SettleWaiting { state, detail });
    }

    fn complete(&mut self) {
        if self.queue.is_empty() && self.in_flight.is_empty() {
            self.is_complete = true;
            self.wake = None;
            self.actions.push_back(Action::Complete);
        }
    }

    /// Begins as many calls as may be, and works out when the next one may.
    fn dispatch(&mut self, now: Timestamp) {
        self.wake = None;
        if self.mode != Mode::Running || self.queue.is_empty() {
            return;
        }
        self.wake_at(self.rules.expires_at);
        let due = self.queue.advance(now);
        self.wake_at(due);
        while self.queue.has_ready() && self.has_room() {
            let next = self.pace.next(now).max(self.hold_until.unwrap_or(now));
            if next > now {
                return self.wake_at(Some(next));
            }
            let turn = self.queue.take(now, &mut self.hours);
            self.wake_at(turn.opens);
            for Recipient { seq, attempts, .. } in turn.never {
                let state = RecipientState::Expired;
                self.actions.push_back(Action::Settle { seq, state, attempts, due: None });
            }
            let Some(mut recipient) = turn.next else { return };
            recipient.attempts += 1;
            recipient.due = None;
            let Recipient { seq, attempts: attempt, .. } = recipient;
            self.in_flight.insert(seq, Flight { recipient, placed: false });
            self.unplaced += 1;
            self.pace.begin(now);
            self.actions.push_back(Action::Dial { seq, attempt });
        }
    }

    fn has_room(&self) -> bool {
        let ahead = f64::from(self.unplaced) < (self.limits.max_cps * SECONDS_AHEAD).max(2.0);
        let limit = usize::try_from(self.limits.max_concurrent_calls).unwrap_or(usize::MAX);
        ahead && self.in_flight.len() < limit
    }

    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.wake = [self.wake, at].into_iter().flatten().min();
    }
}
