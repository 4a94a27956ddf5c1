//! Remembers requests of the API for the metrics routes, beside the requests themselves.
//!
//! A request leaves a line in a bounded queue and goes on; once a second the lines are written in
//! one transaction. When the queue is full, lines are lost and counted: no request ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::store::{ApiCall, Store};

/// Lines that may wait: a node answers fewer in the time the database is given.
const QUEUE: usize = 10_000;
/// Lines of one transaction.
const BATCH: usize = 1_000;
/// How long lines are collected.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Takes lines.
pub(crate) struct Recorder {
    lines: mpsc::Sender<ApiCall>,
    lost: Arc<AtomicU64>,
    flush: mpsc::Sender<oneshot::Sender<()>>,
}

impl Recorder {
    /// Starts the task that writes.
    pub(crate) fn spawn(store: Store) -> Self {
        let (lines, queue) = mpsc::channel(QUEUE);
        let (flush, flushes) = mpsc::channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        actix_web::rt::spawn(write(store, queue, Arc::clone(&lost), flushes));
        Recorder { lines, lost, flush }
    }

    /// Remembers a request, unless too many wait already.
    pub(crate) fn record(&self, call: ApiCall) {
        if self.lines.try_send(call).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything recorded so far is written, or could not be.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.flush.send(done).await.is_ok() {
            // A writer that is gone has nothing left to write.
            let _ = written.await;
        }
    }
}

async fn write(
    store: Store,
    mut queue: mpsc::Receiver<ApiCall>,
    lost: Arc<AtomicU64>,
    mut flushes: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut ticks = tokio::time::interval(WRITE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let flushed = tokio::select! {
            _ = ticks.tick() => None,
            flush = flushes.recv() => match flush {
                Some(done) => Some(done),
                None => return,
            },
        };
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Ok(line) = queue.try_recv()
            {
                batch.push(line);
            }
            if batch.is_empty() {
                break;
            }
            if let Err(error) = store.record_requests(&batch).await {
                lost.fetch_add(u64::try_from(batch.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                warn!(%error, "requests of the API are not remembered");
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!(lost, "{lost} requests are missing from the list of API calls");
        }
        if let Some(done) = flushed {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }
}
