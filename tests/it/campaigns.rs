//! Campaigns that place calls.

mod control;
mod kills;
mod lives;
mod nodes;

use actors::campaign::RecipientState;
use actors::ids::{CampaignId, CompanyId};
use callspan::campaigns::{CampaignSettings, Origin, Retries};
use callspan::store::{CampaignRow, CampaignState, NewCampaign, NewRecipient, NodeId, Store};
use jiff::Timestamp;
use serde_json::Map;

use crate::harness::{TestApp, soon};

/// Rules that place as many calls as there are, at once.
fn settings() -> CampaignSettings {
    CampaignSettings {
        origin: Origin::Campaign,
        max_concurrent_calls: 50,
        max_cps: None,
        max_call_seconds: None,
        ring_timeout_seconds: None,
        retries: Retries::default(),
        time_to_live_seconds: None,
        hours: None,
        answering_machine: None,
        template_context: Map::new(),
        twiml_url: None,
    }
}

fn number(n: usize) -> String {
    format!("+1212555{n:04}")
}

/// Stores a campaign of company 1 for so many numbers.
async fn fill(
    store: &Store,
    id: CampaignId,
    node: NodeId,
    settings: &CampaignSettings,
    people: usize,
) {
    let now = Timestamp::now();
    let new = NewCampaign {
        id,
        company: CompanyId(1),
        agent: None,
        name: "spring".to_owned(),
        settings: serde_json::to_string(settings).expect("JSON"),
        node,
        at: now,
    };
    store.insert_campaign(&new).await.expect("stored");
    let recipient = |(seq, n)| NewRecipient {
        seq,
        number: number(n),
        context: None,
        timezone: None,
        priority: 0,
        not_before: None,
        state: RecipientState::Waiting,
        detail: None,
    };
    let recipients: Vec<NewRecipient> = (1..).zip(0..people).map(recipient).collect();
    store.add_recipients(id, &recipients, now).await.expect("stored");
    assert!(store.open_campaign(id, now).await.expect("stored"));
}

impl TestApp {
    /// Stores a campaign of company 1 for so many numbers, and lets it begin.
    async fn campaign(&self, settings: &CampaignSettings, people: usize) -> CampaignId {
        let id = CampaignId::generate();
        let _filling = self.app.campaigns().filling(id);
        fill(self.app.store(), id, self.app.node(), settings, people).await;
        self.app.campaigns().poke(id);
        id
    }

    async fn campaign_row(&self, id: CampaignId) -> CampaignRow {
        self.app.store().campaign(id).await.expect("a database").expect("it is stored")
    }

    /// Waits until a campaign is in this state.
    async fn campaign_is(&self, id: CampaignId, state: CampaignState) -> CampaignRow {
        let reached = async {
            loop {
                let row = self.campaign_row(id).await;
                if row.state == state {
                    return row;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon(&format!("campaign to be {state}"), reached).await
    }

    /// How many recipients are in a state.
    async fn campaign_count(&self, id: CampaignId, state: RecipientState) -> u64 {
        self.app.store().campaign_counts(id).await.expect("a database").of(state)
    }
}
