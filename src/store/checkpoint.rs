//! Moves what SQLite has only in its log into the database, beside those who read and write.
//!
//! Left to itself, SQLite does that in whichever commit makes the log too long, and everybody who
//! writes waits while the disk does. Done every second by a reader's connection nobody waits, and a
//! machine that loses its power loses at most that second.

use std::time::Duration;

use tracing::{info, warn};

use super::error::StoreError;
use super::pools::Pools;
use super::{Store, in_time};

const EVERY: Duration = Duration::from_secs(1);

/// Waits for nobody and keeps nobody waiting; what somebody still reads stays for the next time.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

impl Store {
    /// Moves what is in SQLite's log into its database and waits until both are on the disk. Does
    /// nothing on PostgreSQL, which does so by itself.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let Pools::Sqlite { reader, .. } = &self.pools else { return Ok(()) };
        in_time(async {
            sqlx::query(CHECKPOINT).execute(reader).await?;
            Ok(())
        })
        .await
    }

    /// Does so every second, for as long as it is polled.
    pub(crate) async fn keep_log_short(self) {
        let Pools::Sqlite { .. } = &self.pools else { return };
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut fails = false;
        loop {
            ticks.tick().await;
            let done = self.checkpoint().await;
            match &done {
                Ok(()) if fails => info!("the log of the database is written into it again"),
                Err(error) if !fails => {
                    warn!(%error, "the log of the database grows: it cannot be written into it");
                }
                _ => {}
            }
            fails = done.is_err();
        }
    }
}
