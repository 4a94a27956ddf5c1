//! What must outlive the process: companies, keys, calls and their timelines.
//!
//! One [`Store`] with one behaviour over two engines. Every query is written once; the few that
//! cannot be the same say so. Ids, statuses and phone numbers are parsed when they are read, so a
//! caller never sees a raw row. Secrets are sealed on the way in and opened on the way out.
//!
//! Calls write through the [`Journal`], which lets them go on while the database is away.

mod agents;
mod api_keys;
mod call_lists;
mod calls;
mod campaigns;
mod check;
mod checkpoint;
mod companies;
mod dialling;
mod directory;
mod do_not_call;
mod error;
mod events;
mod idempotency;
mod inbound;
mod journal;
mod nodes;
#[cfg(test)]
mod plans;
mod pools;
mod recipient_rows;
mod recipients;
mod removal;
mod reseal;
mod rows;
mod stat_rows;
mod stats;
mod vendors;
mod write;

use std::sync::Arc;

use crate::secrets::Sealer;
pub use agents::{AgentConfig, AgentCounts, AgentRow, AgentStatus, NewAgent, UnknownAgentStatus};
pub use api_keys::{ApiKey, KeyHash, KeyRow, NewApiKey};
pub use call_lists::{CallCursor, CallFilter, InvalidCursor};
pub use campaigns::{
    CampaignCounts, CampaignRow, CampaignState, NewCampaign, UnknownCampaignState,
};
pub use check::{SchemaState, database_file};
pub use companies::{CompanyPatch, CompanySettings, TwilioSettings, UltravoxSettings};
pub use dialling::{DialSlot, TakenSlot};
pub use directory::{CompanyRow, InboundRoute, NumberRoute, TwilioView, UltravoxView};
pub use do_not_call::{Added, DncRow, DncSource, NewDoNotCall, UnknownDncSource};
pub use error::StoreError;
pub use idempotency::{Claim, IDEMPOTENCY_LIFE, IdempotentRequest};
pub use journal::Journal;
use pools::{Pools, in_time, on_pool};
pub use recipient_rows::{
    Claimed, ClaimedCall, NewRecipient, RecipientRow, ScheduledRecipient, SettledCall, Settlement,
};
pub use removal::Removed;
pub use rows::{CallRow, Direction, EventRow, InvalidNodeId, Medium, NewCall, NodeId};
pub use stat_rows::{EventKind, PastEvent, UnknownEventKind};
pub use stats::{ApiCall, KEPT, NewEvent, Scope, Totals};
pub use vendors::{Configured, UltravoxConfig};
pub use write::{Change, Entry};

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    sealer: Arc<Sealer>,
}

impl Store {
    /// Opens the database named by a `sqlite://` or `postgres://` URL and brings its schema up to
    /// date.
    pub async fn connect(url: &str, sealer: Sealer) -> Result<Store, StoreError> {
        let pools = Pools::connect(url).await?;
        pools.migrate().await?;
        Ok(Store { pools, sealer: Arc::new(sealer) })
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_pool!(self.reader, |db| {
            sqlx::query("SELECT 1").execute(db).await?;
            Ok(())
        })
    }

    /// Closes all connections, once those in use are given back.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = match self.pools {
            Pools::Sqlite { .. } => "SQLite",
            Pools::Postgres(_) => "PostgreSQL",
        };
        f.debug_struct("Store").field("engine", &engine).finish_non_exhaustive()
    }
}
