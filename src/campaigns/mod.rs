//! Campaigns as the service runs them.
//!
//! The rules of a campaign and its recipients are in the database; [`Campaigns`] runs those that
//! belong to this node, each by an actor of its own, and takes over those of nodes that are gone.

mod book;
pub(crate) mod intake;
mod settings;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor as _, Addr};
use actix_web::web;
use actors::bulk_campaign::{BulkCampaign, Look};
use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::recovery::DEAD_AFTER;
use crate::startup::Context;
use crate::store::{CampaignRow, CampaignState, StoreError};

use book::{Book, BookError};
pub use settings::{CampaignSettings, Origin, Retries};

/// How often this node's campaigns are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often campaigns are taken over: every so many looks.
const TAKE_EVERY: u32 = 5;

/// The campaigns this node runs.
#[derive(Default)]
pub struct Campaigns {
    running: Mutex<HashMap<CampaignId, Addr<BulkCampaign>>>,
    /// Those that this node is filling.
    loading: Mutex<HashSet<CampaignId>>,
    changed: Notify,
}

impl Campaigns {
    /// Looks at a campaign now: its row has changed, or it is new. Another node looks at its own
    /// every second.
    pub fn poke(&self, id: CampaignId) {
        if let Some(campaign) = lock(&self.running).get(&id) {
            // When its mailbox is full it is about to look.
            let _ = campaign.try_send(Look);
        }
        self.changed.notify_one();
    }

    /// Says that this node fills a campaign, which is forgotten when the guard is dropped before it
    /// was opened.
    pub fn filling(self: &Arc<Self>, id: CampaignId) -> Filling {
        lock(&self.loading).insert(id);
        Filling { campaigns: Arc::clone(self), id }
    }

    /// Waits until every campaign has stored what there is, and is left to others.
    pub(crate) async fn emptied(&self) {
        while lock(&self.running).values().any(Addr::connected) {
            self.changed.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Keeps a campaign that is being filled from being taken for abandoned.
pub struct Filling {
    campaigns: Arc<Campaigns>,
    id: CampaignId,
}

impl Drop for Filling {
    fn drop(&mut self) {
        lock(&self.campaigns.loading).remove(&self.id);
    }
}

/// Runs this node's campaigns, for as long as the service does.
pub(crate) async fn run(context: web::Data<Context>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if looks.is_multiple_of(TAKE_EVERY) && !context.registry.is_draining() {
                    take(&context).await;
                }
                looks = looks.wrapping_add(1);
            }
            () = context.campaigns.changed.notified() => {}
        }
        if let Err(error) = look(&context).await {
            warn!(%error, "campaigns could not be looked at");
        }
    }
}

/// Takes over the campaigns of nodes that are gone.
async fn take(context: &Context) {
    let dead_before = Timestamp::now() - DEAD_AFTER;
    match context.store.take_campaigns(context.node, dead_before).await {
        Ok(0) => {}
        Ok(taken) => info!(taken, "{taken} campaigns are this node's now"),
        Err(error) => warn!(%error, "campaigns could not be taken over"),
    }
}

async fn look(context: &web::Data<Context>) -> Result<(), StoreError> {
    let campaigns = &context.campaigns;
    lock(&campaigns.running).retain(|_, campaign| campaign.connected());
    for row in context.store.campaigns_of_node(context.node).await? {
        if lock(&campaigns.running).contains_key(&row.id) {
            continue;
        }
        match row.state {
            CampaignState::Loading if lock(&campaigns.loading).contains(&row.id) => {}
            CampaignState::Loading => {
                let id = row.id;
                info!(campaign.id = %id, "campaign {id} was never filled, and is forgotten");
                context.store.delete_draft(id, Timestamp::now()).await?;
            }
            CampaignState::Paused if !is_calling(context, row.id).await? => {}
            _ if context.registry.is_draining() => {
                context.store.release_campaign(row.id, context.node).await?;
            }
            _ => start(context, row).await,
        }
    }
    let active = lock(&campaigns.running).len();
    context.metrics.campaigns_active.set(i64::try_from(active).unwrap_or(i64::MAX));
    Ok(())
}

/// Whether calls of a campaign are under way, which somebody has to see to their end.
async fn is_calling(context: &Context, id: CampaignId) -> Result<bool, StoreError> {
    Ok(context.store.campaign_counts(id).await?.of(RecipientState::Calling) > 0)
}

async fn start(context: &web::Data<Context>, row: CampaignRow) {
    let (id, state) = (row.id, row.state);
    match Book::open(context.clone(), row).await {
        Ok((book, loaded)) => {
            let (waiting, calling) = (loaded.waiting.len(), loaded.calling.len());
            info!(campaign.id = %id, waiting, calling, "campaign {id} is {state} here");
            let registry = Arc::clone(&context.registry);
            let campaign = BulkCampaign::new(id, loaded, Arc::new(book), registry).start();
            lock(&context.campaigns.running).insert(id, campaign);
        }
        Err(BookError::Store(error)) => {
            warn!(campaign.id = %id, %error, "campaign {id} could not be opened");
        }
        Err(unreadable) => {
            error!(campaign.id = %id, "{unreadable}");
            let (from, to) = (&[CampaignState::Running], CampaignState::Paused);
            let (cause, now) = (unreadable.to_string(), Timestamp::now());
            let paused = context.store.move_campaign(id, from, to, Some(&cause), now).await;
            if let Err(error) = paused {
                warn!(campaign.id = %id, %error, "campaign {id} could not be paused");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are never left half changed, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
