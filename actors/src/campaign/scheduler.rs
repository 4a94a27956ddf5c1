//! Whom to dial next, and when.
//!
//! Promises: never more calls at a time, nor begun in a second, than the limits say; never a
//! recipient dialled more often than its attempts; every recipient ends in one final state; one
//! after another, in order of priority and then of the upload, when the limit is one. What was
//! refused before anybody's phone rang is no attempt.
//!
//! Nothing here does I/O or reads a clock: `BulkCampaign` feeds it and performs its actions.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::breaker::Breaker;
use super::hours::Opening;
use super::pace::Pace;
use super::refusal::Refusal;
use super::terms::{Limits, Outcome, Recipient, RecipientState, RetryRules};
use super::zone_groups::{ZoneGroup, ZoneGroups};

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

/// When recipients may be called, by group.
pub trait Hours {
    /// Whether this group may be called now.
    fn opening(&mut self, group: ZoneGroup, now: Timestamp) -> Opening;
}

impl Hours for ZoneGroups {
    fn opening(&mut self, group: ZoneGroup, now: Timestamp) -> Opening {
        ZoneGroups::opening(self, group, now)
    }
}

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
    /// Those who may be dialled when their group is open, by group.
    ready: HashMap<ZoneGroup, BTreeSet<(Reverse<i32>, u32)>>,
    ready_count: usize,
    /// Those who may be dialled later.
    delayed: BinaryHeap<Reverse<(Timestamp, u32)>>,
    waiting: HashMap<u32, Recipient>,
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
            ready: HashMap::new(),
            ready_count: 0,
            delayed: BinaryHeap::new(),
            waiting: HashMap::new(),
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
                recipients.into_iter().for_each(|recipient| self.wait(now, recipient));
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
    pub fn calling(&self) -> impl Iterator<Item = u32> + '_ {
        self.in_flight.keys().copied()
    }

    /// How many recipients are still to be dialled.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn wait(&mut self, now: Timestamp, recipient: Recipient) {
        let Recipient { seq, priority, group, due, .. } = recipient;
        if self.waiting.insert(seq, recipient).is_some() {
            return;
        }
        match due {
            Some(due) if due > now => self.delayed.push(Reverse((due, seq))),
            _ => {
                self.ready.entry(group).or_default().insert((Reverse(priority), seq));
                self.ready_count += 1;
            }
        }
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
            self.wait(now, Recipient { due, ..recipient });
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
        if self.rules.expires_at.is_some_and(|at| at <= now) && !self.waiting.is_empty() {
            self.drop_waiting(RecipientState::Expired, None);
        }
    }

    /// Everybody who waits has ended like this.
    fn drop_waiting(&mut self, state: RecipientState, detail: Option<String>) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting.clear();
        self.ready.clear();
        self.ready_count = 0;
        self.delayed.clear();
        self.actions.push_back(Action::SettleWaiting { state, detail });
    }

    fn complete(&mut self) {
        if self.waiting.is_empty() && self.in_flight.is_empty() {
            self.is_complete = true;
            self.wake = None;
            self.actions.push_back(Action::Complete);
        }
    }

    /// Begins as many calls as may be, and works out when the next one may.
    fn dispatch(&mut self, now: Timestamp) {
        self.wake = None;
        if self.mode != Mode::Running || self.waiting.is_empty() {
            return;
        }
        self.wake_at(self.rules.expires_at);
        while let Some(&Reverse((due, seq))) = self.delayed.peek() {
            if due > now {
                self.wake_at(Some(due));
                break;
            }
            self.delayed.pop();
            if let Some(Recipient { priority, group, .. }) = self.waiting.get(&seq).copied() {
                self.ready.entry(group).or_default().insert((Reverse(priority), seq));
                self.ready_count += 1;
            }
        }
        while self.ready_count > 0 && self.has_room() {
            let next = self.hold_until.map_or(now, |until| until.max(self.pace.next(now)));
            let next = next.max(self.pace.next(now));
            if next > now {
                return self.wake_at(Some(next));
            }
            let Some(seq) = self.first_ready(now) else { return };
            let Some(mut recipient) = self.waiting.remove(&seq) else { continue };
            recipient.attempts += 1;
            recipient.due = None;
            self.in_flight.insert(seq, Flight { recipient, placed: false });
            self.unplaced += 1;
            self.pace.begin(now);
            self.actions.push_back(Action::Dial { seq, attempt: recipient.attempts });
        }
    }

    fn has_room(&self) -> bool {
        let ahead = f64::from(self.unplaced) < (self.limits.max_cps * SECONDS_AHEAD).max(2.0);
        let limit = usize::try_from(self.limits.max_concurrent_calls).unwrap_or(usize::MAX);
        ahead && self.in_flight.len() < limit
    }

    /// Takes the first of those who may be called now. Wakes when a closed group opens.
    fn first_ready(&mut self, now: Timestamp) -> Option<u32> {
        let mut best: Option<((Reverse<i32>, u32), ZoneGroup)> = None;
        let mut opens: Option<Timestamp> = None;
        let mut never = Vec::new();
        for (&group, ready) in &self.ready {
            let Some(&first) = ready.first() else { continue };
            match self.hours.opening(group, now) {
                Opening::Open { .. } => {
                    if best.is_none_or(|(other, _)| first < other) {
                        best = Some((first, group));
                    }
                }
                Opening::Closed { until: Some(at) } => opens = earliest(opens, Some(at)),
                Opening::Closed { until: None } => never.push(group),
            }
        }
        for group in never {
            self.expire_group(group);
        }
        self.wake_at(opens);
        let (key, group) = best?;
        let ready = self.ready.get_mut(&group)?;
        ready.remove(&key);
        self.ready_count -= 1;
        if ready.is_empty() {
            self.ready.remove(&group);
        }
        Some(key.1)
    }

    /// There is no hour at which these may be called.
    fn expire_group(&mut self, group: ZoneGroup) {
        for (_, seq) in self.ready.remove(&group).unwrap_or_default() {
            self.ready_count -= 1;
            let Some(Recipient { attempts, .. }) = self.waiting.remove(&seq) else { continue };
            let state = RecipientState::Expired;
            self.actions.push_back(Action::Settle { seq, state, attempts, due: None });
        }
    }

    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.wake = earliest(self.wake, at);
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
