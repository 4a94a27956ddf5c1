//! Writing about calls without making them wait.
//!
//! [`Journal`] takes what actors have to say and returns at once. One task writes it, in order and
//! in batches. While the database is away it keeps trying, so an outage costs no call anything; an
//! entry that can never be written is logged and left out, so that it blocks nothing behind it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::call::{CallEvent, CallUpdate};
use actors::ids::{CallId, CallSid};
use actors::ports::CallLog;
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::{Change, Entry, Store, StoreError};

/// A thousand calls with a line a second each ride out a minute without a database; at some 200
/// bytes a line that is 13 MB. Lines that come when it is full are refused and counted. Everything
/// else is never refused: a call has a handful of updates and at most one wish not to be called,
/// and no new call starts without a database, so their number is bounded by the calls that are live.
const MAX_QUEUED_EVENTS: usize = 65_536;

/// Entries of one transaction: enough that its commit costs little per entry, few enough that it
/// is over in milliseconds and others get their turn.
const BATCH: usize = 256;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The way to the database that never waits. Cheap to clone; the writer stops when the last clone
/// is gone and everything is written.
#[derive(Clone)]
pub struct Journal {
    queue: Arc<Queue>,
    store: Store,
    _open: Arc<CloseOnDrop>,
}

struct Queue {
    state: Mutex<State>,
    /// Something was queued, or the last handle is gone.
    changed: Notify,
    /// How many entries have been dealt with, ever.
    done: watch::Sender<u64>,
    /// The last attempt to write failed because the database was away.
    away: AtomicBool,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    events: usize,
    /// How many entries were accepted, ever.
    accepted: u64,
    /// Lines refused because the queue was full.
    refused: u64,
    /// Entries left out because they can never be written.
    skipped: u64,
    closed: bool,
}

struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_one();
    }
}

impl Journal {
    /// A journal and its writer, which is to be spawned.
    pub fn new(store: Store) -> (Journal, impl Future<Output = ()> + Send + 'static) {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            changed: Notify::new(),
            done: watch::Sender::new(0),
            away: AtomicBool::new(false),
        });
        let writer = Writer { queue: queue.clone(), store: store.clone() };
        let _open = Arc::new(CloseOnDrop(queue.clone()));
        (Journal { queue, store, _open }, writer.run())
    }

    /// A journal whose writer runs on the current tokio runtime.
    pub fn spawn(store: Store) -> Journal {
        let (journal, writer) = Journal::new(store);
        tokio::spawn(writer);
        journal
    }

    /// Waits until everything queued so far is written. False when that took too long.
    pub async fn flush(&self, timeout: Duration) -> bool {
        let target = self.queue.state().accepted;
        let mut done = self.queue.done.subscribe();
        let written = done.wait_for(|done| *done >= target);
        tokio::time::timeout(timeout, written).await.is_ok_and(|result| result.is_ok())
    }

    /// How many entries are not written yet.
    pub fn backlog(&self) -> u64 {
        self.queue.state().accepted - *self.queue.done.borrow()
    }

    /// Whether the last attempt to write found the database away. New calls are better refused.
    pub fn database_away(&self) -> bool {
        self.queue.away.load(Ordering::Relaxed)
    }

    /// How many lines of timelines were refused because the queue was full.
    pub fn refused(&self) -> u64 {
        self.queue.state().refused
    }

    /// How many entries were left out because they could never be written.
    pub fn skipped(&self) -> u64 {
        self.queue.state().skipped
    }

    fn push(&self, call: CallId, change: Change) {
        let entry = Entry { call, at: Timestamp::now(), change };
        let mut state = self.queue.state();
        if matches!(entry.change, Change::Event(_)) {
            if state.events >= MAX_QUEUED_EVENTS {
                state.refused += 1;
                let first = state.refused == 1;
                drop(state);
                if first {
                    tracing::error!("the database is too far behind: lines of timelines are lost");
                }
                return;
            }
            state.events += 1;
        }
        state.accepted += 1;
        state.entries.push_back(entry);
        drop(state);
        self.queue.changed.notify_one();
    }
}

#[async_trait]
impl CallLog for Journal {
    fn record(&self, id: CallId, update: CallUpdate) {
        self.push(id, Change::Update(update));
    }

    fn event(&self, id: CallId, event: CallEvent) {
        self.push(id, Change::Event(event));
    }

    fn do_not_call(&self, id: CallId) {
        self.push(id, Change::DoNotCall);
    }

    async fn unclaimed(&self, sids: Vec<CallSid>) -> Result<Vec<CallSid>, String> {
        // What is queued may claim one of them; a claim that is not written would be missed.
        if !self.flush(UNCLAIMED_PATIENCE).await {
            return Err("the journal is behind: its claims are not all known".to_owned());
        }
        self.store.unclaimed(&sids).await.map_err(|error| error.to_string())
    }
}

/// As long as any single question to the database may take.
const UNCLAIMED_PATIENCE: Duration = Duration::from_secs(10);

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and a queue is sound after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next entries; `None` when there will be none.
    async fn next_batch(&self) -> Option<Vec<Entry>> {
        loop {
            {
                let mut state = self.state();
                if !state.entries.is_empty() {
                    let count = state.entries.len().min(BATCH);
                    let batch: Vec<Entry> = state.entries.drain(..count).collect();
                    let is_event = |entry: &&Entry| matches!(entry.change, Change::Event(_));
                    state.events -= batch.iter().filter(is_event).count();
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

struct Writer {
    queue: Arc<Queue>,
    store: Store,
}

impl Writer {
    async fn run(self) {
        while let Some(batch) = self.queue.next_batch().await {
            if let Err(error) = self.write(&batch).await {
                tracing::debug!(%error, "writing one by one, to leave out what cannot be written");
                for entry in &batch {
                    if let Err(error) = self.write(std::slice::from_ref(entry)).await {
                        self.queue.state().skipped += 1;
                        tracing::error!(call.id = %entry.call, "lost an entry: {error}");
                    }
                }
            }
            self.queue.done.send_modify(|done| *done += batch.len() as u64);
        }
    }

    /// Writes, as often as it takes while the database is away. The error is one that will stay.
    async fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut pause = FIRST_RETRY;
        loop {
            match self.store.write(entries).await {
                Err(error) if error.is_unavailable() => {
                    if !self.queue.away.swap(true, Ordering::Relaxed) {
                        tracing::warn!("calls go on, their state is written later: {error}");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_RETRY);
                }
                result => {
                    if self.queue.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("the database is back");
                    }
                    return result.map(drop);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine;
    use secrecy::SecretString;

    use super::*;
    use crate::secrets::Sealer;

    async fn store_in(folder: &Path) -> Store {
        let key = base64::engine::general_purpose::STANDARD.encode([1; 32]);
        let sealer = Sealer::from_keys(&SecretString::from(key)).expect("a good key");
        let url = format!("sqlite://{}?mode=rwc", folder.join("calls.db").display());
        Store::connect(&url, sealer).await.expect("opens")
    }

    #[tokio::test]
    async fn a_full_queue_refuses_lines_but_never_updates() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _not_running) = Journal::new(store_in(folder.path()).await);
        let call = CallId::generate();
        for _ in 0..MAX_QUEUED_EVENTS + 3 {
            journal.event(call, CallEvent::Ringing);
        }
        journal.record(call, CallUpdate::Status(actors::call::CallStatus::Ringing));
        assert_eq!(journal.refused(), 3);
        assert_eq!(journal.backlog(), MAX_QUEUED_EVENTS as u64 + 1);
    }

    #[tokio::test]
    async fn the_writer_ends_with_the_last_handle() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, writer) = Journal::new(store_in(folder.path()).await);
        let second = journal.clone();
        second.event(CallId::generate(), CallEvent::Ringing);
        drop(journal);
        drop(second);
        writer.await;
    }
}
