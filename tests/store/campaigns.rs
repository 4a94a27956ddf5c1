//! Campaigns and who runs them. One function a promise; `main.rs` runs each on both engines.

use actors::ids::{AgentId, CampaignId, CompanyId};
use callspan::store::{CallCursor, CampaignRow, CampaignState, NewCampaign, NodeId, Store};
use jiff::Timestamp;

use crate::db::{COMPANY, Db, at};

/// A campaign that is about to be filled.
pub(crate) fn new_campaign(node: NodeId, ms: i64) -> NewCampaign {
    NewCampaign {
        id: CampaignId::generate(),
        company: COMPANY,
        agent: None,
        name: "Reminders".to_owned(),
        settings: r#"{"max_concurrent_calls":5}"#.to_owned(),
        node,
        at: at(ms),
    }
}

/// A campaign that runs.
pub(crate) async fn running(store: &Store, node: NodeId, ms: i64) -> CampaignId {
    let new = new_campaign(node, ms);
    store.insert_campaign(&new).await.expect("stored");
    assert!(store.open_campaign(new.id, at(ms)).await.expect("stored"));
    new.id
}

pub(crate) async fn row(store: &Store, id: CampaignId) -> CampaignRow {
    store.campaign(id).await.expect("read").expect("is there")
}

pub(crate) async fn a_campaign_is_stored_from_first_to_last(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let agent = AgentId::generate();
    let new = NewCampaign { agent: Some(agent.clone()), ..new_campaign(node, 0) };
    store.insert_campaign(&new).await.expect("stored");
    let loading = row(&store, new.id).await;
    let expected = CampaignRow {
        id: new.id,
        company: COMPANY,
        agent: Some(agent),
        name: new.name.clone(),
        state: CampaignState::Loading,
        cause: None,
        end_calls: false,
        settings: new.settings.clone(),
        node: Some(node),
        recipients: 0,
        pace: 0.0,
        created_at: at(0),
        started_at: None,
        ended_at: None,
        updated_at: at(0),
    };
    assert_eq!(loading, expected);

    assert!(store.open_campaign(new.id, at(1)).await.expect("stored"));
    assert!(!store.open_campaign(new.id, at(2)).await.expect("is open already"));
    store.set_campaign_pace(new.id, 12.5).await.expect("stored");
    let running = row(&store, new.id).await;
    assert_eq!((running.state, running.started_at), (CampaignState::Running, Some(at(1))));
    assert_eq!((running.pace, running.updated_at), (12.5, at(1)));
    assert_eq!(store.campaign(CampaignId::generate()).await.expect("read"), None);
}

pub(crate) async fn a_campaign_moves_only_where_it_may(db: Db) {
    let store = db.store_with_company().await;
    let id = running(&store, NodeId::generate(), 0).await;
    let go = async |from: &[CampaignState], to, cause, ms| {
        store.move_campaign(id, from, to, cause, at(ms)).await.expect("stored")
    };
    use CampaignState::{Canceled, Canceling, Completed, Paused, Running};
    assert!(go(&[Running], Paused, Some("Twilio refuses the key"), 1).await);
    let paused = row(&store, id).await;
    assert_eq!((paused.state, paused.updated_at), (Paused, at(1)));
    assert_eq!(paused.cause.as_deref(), Some("Twilio refuses the key"));
    assert!(!go(&[Running], Paused, None, 2).await, "it is paused already");
    assert!(go(&[Paused], Running, None, 3).await);
    assert_eq!(row(&store, id).await.cause, None, "what was wrong is over");
    assert!(go(&[Running, Paused, Canceling], Completed, None, 4).await);
    let completed = row(&store, id).await;
    assert_eq!((completed.state, completed.ended_at), (Completed, Some(at(4))));
    assert!(!go(&[Running, Paused, Canceling], Canceled, None, 5).await);
    assert!(!go(&[], Running, None, 5).await, "from nowhere");
}

pub(crate) async fn a_cancel_may_be_said_again_and_only_adds(db: Db) {
    let store = db.store_with_company().await;
    let id = running(&store, NodeId::generate(), 0).await;
    let cancel =
        async |end_calls, ms| store.cancel_campaign(id, end_calls, at(ms)).await.expect("ok");
    assert!(cancel(false, 1).await);
    let canceling = row(&store, id).await;
    assert_eq!((canceling.state, canceling.end_calls), (CampaignState::Canceling, false));
    assert!(cancel(true, 2).await);
    assert!(cancel(false, 3).await);
    assert!(row(&store, id).await.end_calls, "it was said once");
    let (from, to) = ([CampaignState::Canceling], CampaignState::Canceled);
    assert!(store.move_campaign(id, &from, to, None, at(4)).await.expect("stored"));
    assert!(!cancel(true, 5).await);

    let loading = new_campaign(NodeId::generate(), 0);
    store.insert_campaign(&loading).await.expect("stored");
    assert!(!store.cancel_campaign(loading.id, false, at(1)).await.expect("is being filled"));
    assert!(!store.cancel_campaign(CampaignId::generate(), false, at(1)).await.expect("is none"));
}

pub(crate) async fn rules_change_only_in_the_place_of_those_that_were_seen(db: Db) {
    let store = db.store_with_company().await;
    let id = running(&store, NodeId::generate(), 0).await;
    let seen = row(&store, id).await.settings;
    let set = async |name: Option<&str>, seen: &str, settings: &str, ms| {
        store.set_campaign_settings(id, name, seen, settings, at(ms)).await.expect("stored")
    };
    assert!(set(None, &seen, "{\"a\":1}", 1).await);
    assert!(!set(None, &seen, "{\"a\":2}", 2).await, "somebody was faster");
    assert!(set(Some("Later"), "{\"a\":1}", "{\"a\":2}", 3).await);
    let changed = row(&store, id).await;
    assert_eq!((changed.name.as_str(), changed.settings.as_str()), ("Later", "{\"a\":2}"));
    assert_eq!(changed.updated_at, at(3));
    let (from, to) = ([CampaignState::Running], CampaignState::Completed);
    assert!(store.move_campaign(id, &from, to, None, at(4)).await.expect("stored"));
    assert!(!set(None, "{\"a\":2}", "{\"a\":3}", 5).await, "it is over");
}

pub(crate) async fn campaigns_are_listed_newest_first_by_state(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(CompanyId(2), &Default::default(), at(0)).await.expect("stored");
    let node = NodeId::generate();
    let mut ids = Vec::new();
    for ms in [1, 1, 2, 3] {
        ids.push(running(&store, node, ms).await);
    }
    ids[..2].sort();
    ids.reverse();
    let (from, paused) = ([CampaignState::Running], CampaignState::Paused);
    assert!(store.move_campaign(ids[1], &from, paused, None, at(9)).await.expect("stored"));
    let list = async |state, after: Option<&CampaignRow>, limit| -> Vec<CampaignRow> {
        let cursor = after.map(|row| CallCursor {
            created_at: row.created_at,
            id: row.id.to_string().parse().expect("both are UUIDs"),
        });
        store.campaigns(COMPANY, state, cursor.as_ref(), limit).await.expect("read")
    };
    let of = |rows: &[CampaignRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let all = list(None, None, 10).await;
    assert_eq!(of(&all), ids);
    assert_eq!(of(&list(None, Some(&all[0]), 2).await), ids[1..3]);
    assert_eq!(of(&list(None, Some(&all[2]), 2).await), ids[3..]);
    assert_eq!(of(&list(Some(paused), None, 10).await), ids[1..2]);
    let running = list(Some(CampaignState::Running), Some(&all[0]), 10).await;
    assert_eq!(of(&running), ids[2..]);
    assert!(store.campaigns(CompanyId(2), None, None, 10).await.expect("read").is_empty());
}

pub(crate) async fn campaigns_of_a_node_that_is_gone_go_to_one_other(db: Db) {
    let store = db.store_with_company().await;
    let (gone, alive, other) = (NodeId::generate(), NodeId::generate(), NodeId::generate());
    store.register(gone, at(0)).await.expect("stored");
    let ids = [running(&store, gone, 0).await, running(&store, gone, 1).await];
    let over = running(&store, gone, 2).await;
    let (from, to) = ([CampaignState::Running], CampaignState::Completed);
    assert!(store.move_campaign(over, &from, to, None, at(3)).await.expect("stored"));
    let of_node = async |node| {
        let mut ids: Vec<CampaignId> = store
            .campaigns_of_node(node)
            .await
            .expect("read")
            .iter()
            .map(|campaign| campaign.id)
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(of_node(gone).await, ids);

    store.register(alive, at(60_000)).await.expect("stored");
    store.register(other, at(60_000)).await.expect("stored");
    if db.is_postgres() {
        let taken = store.take_campaigns(alive, at(-1)).await.expect("read");
        assert_eq!(taken, 0, "its heart beat not long ago");
    }
    assert_eq!(store.take_campaigns(alive, at(30_000)).await.expect("stored"), 2);
    assert_eq!((of_node(alive).await, of_node(gone).await), (ids.to_vec(), vec![]));
    assert_eq!(row(&store, over).await.node, Some(gone), "what is over is nobody's business");
    if db.is_postgres() {
        assert_eq!(store.take_campaigns(other, at(30_000)).await.expect("read"), 0);
    }

    store.release_campaign(ids[0], gone).await.expect("is not its");
    assert_eq!(of_node(alive).await.len(), 2);
    store.release_campaign(ids[0], alive).await.expect("stored");
    assert_eq!(row(&store, ids[0]).await.node, None);
    assert!(store.take_campaigns(other, at(0)).await.expect("stored") >= 1);
    assert_eq!(row(&store, ids[0]).await.node, Some(other));
}

pub(crate) async fn a_draft_goes_and_a_campaign_stays(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let draft = new_campaign(node, 0);
    store.insert_campaign(&draft).await.expect("stored");
    let opened = running(&store, node, 0).await;
    for id in [draft.id, opened, CampaignId::generate()] {
        store.delete_draft(id, Timestamp::now()).await.expect("stored");
    }
    assert_eq!(store.campaign(draft.id).await.expect("read"), None);
    assert_eq!(row(&store, opened).await.state, CampaignState::Running);
    assert!(!store.open_campaign(draft.id, at(1)).await.expect("is gone"));
}
