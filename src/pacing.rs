//! How fast a company dials: never more calls in any second than it may, over all its campaigns and
//! single calls, on all nodes.
//!
//! [`Pacer`] gives each call its turn, and [`PacedTelephony`] has every call wait for it. What a
//! turn takes is a slot; `slots` says why that is safe. Nodes that share a database share slots
//! there; a process that has its database to itself keeps them in memory.

mod line;
mod slots;
mod telephony;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::ids::CompanyId;
use actors::ports::Urgency;
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use crate::store::{DialSlot, Store, StoreError, TakenSlot};

use line::Line;
use slots::{Pace, Slots};

pub use telephony::PacedTelephony;

/// How old a company's pace may be: a change acts within this time.
const PACE_LIFE: Duration = Duration::from_millis(900);
/// How often a slot is looked for that another node may free.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The shortest wait between two looks.
const LEAST_WAIT: Duration = Duration::from_millis(2);
/// How long a database that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest a single call may have to wait; whoever asks for one waits too.
const LONGEST_LINE: Duration = Duration::from_secs(10);

/// Why a call gets no turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// Nobody knows whether it may be placed.
    #[error("the database did not say whether the call may be placed now: {0}")]
    Store(String),
    /// The service is stopping.
    #[error("the service stops")]
    Stopped,
}

/// A company's line is so long that nobody should wait at its end.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "this company may place {cps} calls a second and so many are waiting that this one would be \
     placed in about {} s; try again later, or raise its max_cps", wait.as_secs() + 1
)]
pub struct LineTooLong {
    /// How many calls a second the company may place.
    pub cps: f64,
    /// How long a call would wait.
    pub wait: Duration,
}

impl LineTooLong {
    /// When the line may be short enough.
    pub fn retry_after(&self) -> Duration {
        self.wait.saturating_sub(LONGEST_LINE).max(Duration::from_secs(1))
    }
}

/// Where companies' paces are kept, and slots where nodes share them.
#[async_trait]
pub(crate) trait Book: Send + Sync {
    /// Whether other processes may dial for the same companies.
    fn is_shared(&self) -> bool;
    async fn max_cps(&self, company: CompanyId) -> Result<Option<f64>, StoreError>;
    async fn has_calls_before(&self, company: CompanyId, at: Timestamp)
    -> Result<bool, StoreError>;
    async fn take(
        &self,
        company: CompanyId,
        slots: u32,
        rest: Duration,
    ) -> Result<TakenSlot, StoreError>;
    async fn free(&self, slot: &DialSlot, is_used: bool) -> Result<(), StoreError>;
}

#[async_trait]
impl Book for Store {
    fn is_shared(&self) -> bool {
        Store::is_shared(self)
    }

    async fn max_cps(&self, company: CompanyId) -> Result<Option<f64>, StoreError> {
        Store::max_cps(self, company).await
    }

    async fn has_calls_before(
        &self,
        company: CompanyId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        Store::has_calls_before(self, company, at).await
    }

    async fn take(
        &self,
        company: CompanyId,
        slots: u32,
        rest: Duration,
    ) -> Result<TakenSlot, StoreError> {
        self.take_dial_slot(company, slots, rest).await
    }

    async fn free(&self, slot: &DialSlot, is_used: bool) -> Result<(), StoreError> {
        self.free_dial_slot(slot, is_used).await
    }
}

/// Gives calls their turn to be dialled. Cheap to clone.
#[derive(Clone)]
pub struct Pacer {
    inner: Arc<Inner>,
}

struct Inner {
    book: Arc<dyn Book>,
    /// The pace of companies that have none of their own, in calls a second.
    default_cps: f64,
    /// When this process began, by either clock.
    began: (Instant, Timestamp),
    /// A line for every company that has dialled since then: a few hundred bytes each.
    lines: Mutex<HashMap<CompanyId, Arc<Line>>>,
}

/// The turn of one call: Twilio may be asked now. Ends when it is dropped.
pub struct Turn {
    inner: Arc<Inner>,
    line: Arc<Line>,
    urgency: Urgency,
    shared: Option<DialSlot>,
    is_used: bool,
}

/// A single call that was let in. Others are told how long they would wait behind it, until this is
/// dropped.
pub struct Expected {
    line: Arc<Line>,
}

impl Pacer {
    /// Reads paces from the database; `default_cps` is for companies that have none there.
    pub fn new(store: Store, default_cps: f64) -> Self {
        Self::over(Arc::new(store), default_cps)
    }

    fn over(book: Arc<dyn Book>, default_cps: f64) -> Self {
        let began = (Instant::now(), Timestamp::now());
        let lines = Mutex::default();
        Pacer { inner: Arc::new(Inner { book, default_cps, began, lines }) }
    }

    /// Waits for a call's turn. Whoever stops waiting takes no turn.
    pub async fn turn(&self, company: CompanyId, urgency: Urgency) -> Result<Turn, TurnError> {
        let line = self.inner.line(company);
        let (waiter, told) = oneshot::channel();
        if line.lock().join(urgency, waiter) {
            tokio::spawn(Arc::clone(&self.inner).serve(company, line));
        }
        let mut turn = told.await.unwrap_or(Err(TurnError::Stopped))?;
        turn.is_used = true;
        Ok(turn)
    }

    /// How long a single call of this company would wait about, if it came now. Other nodes' lines
    /// are not known here.
    pub async fn estimate(&self, company: CompanyId) -> Result<Duration, StoreError> {
        let line = self.inner.line(company);
        let pace = self.inner.pace(company, &line).await?;
        Ok(line.lock().estimate(pace, Instant::now()))
    }

    /// Lets a single call in, unless it would have to wait too long. The inner result is for the
    /// caller: what came of it.
    pub async fn expect_single(
        &self,
        company: CompanyId,
    ) -> Result<Result<Expected, LineTooLong>, StoreError> {
        let line = self.inner.line(company);
        let pace = self.inner.pace(company, &line).await?;
        {
            let mut state = line.lock();
            let wait = state.estimate(pace, Instant::now());
            if wait > LONGEST_LINE {
                let cps = f64::from(pace.slots) / pace.rest.as_secs_f64();
                return Ok(Err(LineTooLong { cps: (cps * 100.0).round() / 100.0, wait }));
            }
            state.expected += 1;
        }
        Ok(Ok(Expected { line }))
    }
}

impl Inner {
    fn line(&self, company: CompanyId) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(company).or_default())
    }

    /// Gives turns until nobody waits.
    async fn serve(self: Arc<Self>, company: CompanyId, line: Arc<Line>) {
        let mut trouble_since = None;
        while !line.lock().is_left() {
            match self.try_slot(company, &line).await {
                Ok(Ok(shared)) => {
                    trouble_since = None;
                    self.hand_out(&line, shared);
                }
                Ok(Err(wait)) => {
                    trouble_since = None;
                    let wait = wait.clamp(LEAST_WAIT, PACE_LIFE);
                    // A slot that is given back has to rest, or was not used: then it is free now.
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = line.changed.notified() => {}
                    }
                }
                Err(error) => {
                    let since = *trouble_since.get_or_insert_with(Instant::now);
                    if error.is_unavailable() && since.elapsed() < PATIENCE {
                        tokio::time::sleep(LOOK_EVERY).await;
                        continue;
                    }
                    warn!(%company, %error, "calls of company {company} get no turn: {error}");
                    trouble_since = None;
                    let why = TurnError::Store(error.to_string());
                    while let Some((_, waiter)) = { line.lock().next() } {
                        // Who has gone need not know.
                        let _ = waiter.send(Err(why.clone()));
                    }
                }
            }
        }
    }

    /// Takes a slot: here, and where nodes share them, there. Otherwise says when to look again.
    async fn try_slot(
        &self,
        company: CompanyId,
        line: &Line,
    ) -> Result<Result<Option<DialSlot>, Duration>, StoreError> {
        let pace = self.pace(company, line).await?;
        {
            let (mut state, now) = (line.lock(), Instant::now());
            if !state.slots.take(pace, now) {
                return Ok(Err(state.slots.wait(1, state.slots.in_use(), pace, now)));
            }
        }
        if !self.book.is_shared() {
            return Ok(Ok(None));
        }
        let taken = self.book.take(company, pace.slots, pace.rest).await;
        if !matches!(taken, Ok(TakenSlot::Yes(_))) {
            line.lock().slots.put_back();
        }
        match taken? {
            TakenSlot::Yes(slot) => Ok(Ok(Some(slot))),
            TakenSlot::NotYet(wait) => Ok(Err(wait.min(LOOK_EVERY))),
        }
    }

    /// Gives a slot to whoever is next.
    fn hand_out(self: &Arc<Self>, line: &Arc<Line>, shared: Option<DialSlot>) {
        let (urgency, waiter) = {
            let mut state = line.lock();
            let next = state.next();
            let (urgency, waiter) = next.unzip();
            let urgency = urgency.unwrap_or(Urgency::Campaign);
            state.begin(urgency);
            (urgency, waiter)
        };
        let (inner, line) = (Arc::clone(self), Arc::clone(line));
        let turn = Turn { inner, line, urgency, shared, is_used: false };
        if let Some(waiter) = waiter {
            // Of somebody who has just gone, the turn comes back and is dropped.
            let _ = waiter.send(Ok(turn));
        }
    }

    /// How fast a company may dial, as of now or a moment ago.
    async fn pace(&self, company: CompanyId, line: &Line) -> Result<Pace, StoreError> {
        let known = line.lock().pace;
        if let Some((pace, _)) = known.filter(|(_, read_at)| read_at.elapsed() < PACE_LIFE) {
            return Ok(pace);
        }
        let read_at = Instant::now();
        let cps = self.book.max_cps(company).await?.unwrap_or(self.default_cps);
        let (process_began, began_at) = self.began;
        // What the process before this one has just dialled is not known.
        let is_begun = { line.lock().is_begun };
        let is_known = is_begun
            || self.book.is_shared()
            || !self.book.has_calls_before(company, began_at).await?;
        let pace = Pace::of(cps);
        let mut state = line.lock();
        if !state.is_begun && !is_known {
            state.slots = Slots::all_used_at(process_began);
        }
        state.is_begun = true;
        state.pace = Some((pace, read_at));
        Ok(pace)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.lock().end(self.urgency, self.is_used, Instant::now());
        self.line.changed.notify_one();
        if let Some(slot) = self.shared.take() {
            let (book, is_used) = (Arc::clone(&self.inner.book), self.is_used);
            // Nobody waits for it; where it does not come to pass, the slot frees itself.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    if let Err(error) = book.free(&slot, is_used).await {
                        warn!(%error, "a slot for dialling is not freed in time");
                    }
                });
            }
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.line.lock().expected -= 1;
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer")
            .field("default_cps", &self.inner.default_cps)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("urgency", &self.urgency).finish_non_exhaustive()
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").finish_non_exhaustive()
    }
}
