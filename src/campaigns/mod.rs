//! Campaigns as the service runs them.
//!
//! The rules of a campaign and its recipients are in the database; [`Campaigns`] runs those that
//! belong to this node, each by an actor of its own.

mod settings;

use std::sync::Arc;

use actors::ids::CampaignId;

pub use settings::{CampaignSettings, Origin, Retries};

/// The campaigns this node runs.
#[derive(Debug, Default)]
pub struct Campaigns {
    _todo: Arc<()>,
}

impl Campaigns {
    /// Looks at a campaign now: its row has changed, or it is new. Does nothing for one that
    /// another node runs, which looks every second.
    pub fn poke(&self, _id: CampaignId) {}
}
