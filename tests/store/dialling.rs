//! How fast a company dials: slots that nodes share, and what a pace is read from.

use std::time::Duration;

use actors::ids::CompanyId;
use callspan::store::{CompanySettings, DialSlot, NodeId, Store, TakenSlot, TwilioSettings};

use crate::db::{COMPANY, Db, at, insert_call};

/// Longer than any test takes.
const REST: Duration = Duration::from_secs(600);

async fn take(store: &Store, slots: u32) -> Option<DialSlot> {
    match store.take_dial_slot(COMPANY, slots, REST).await.expect("asked") {
        TakenSlot::Yes(slot) => Some(slot),
        TakenSlot::NotYet(_) => None,
    }
}

/// Lets all slots rest as long as they must.
async fn rested(db: &Db) {
    db.execute("UPDATE dial_slots SET used_at = used_at - 600000").await;
}

pub(crate) async fn a_slot_is_held_then_rests(db: Db) {
    let store = db.store_with_company().await;
    let first = take(&store, 2).await.expect("free");
    let second = take(&store, 2).await.expect("free");
    assert_ne!(first, second);
    assert_eq!(take(&store, 2).await, None);
    // Held, it is not free however long one waits, but for the minute of a node that died.
    db.execute("UPDATE dial_slots SET used_at = used_at + 600000 - 30000").await;
    rested(&db).await;
    assert_eq!(take(&store, 2).await, None);
    db.execute("UPDATE dial_slots SET used_at = used_at + 30000").await;

    store.free_dial_slot(&first, true).await.expect("freed");
    let TakenSlot::NotYet(wait) = store.take_dial_slot(COMPANY, 2, REST).await.expect("asked")
    else {
        panic!("it rests");
    };
    assert!(wait > Duration::ZERO && wait <= REST + Duration::from_secs(1), "{wait:?}");
    store.free_dial_slot(&second, false).await.expect("freed");
    let again = take(&store, 2).await.expect("nobody was asked with it, so it need not rest");
    assert_eq!(take(&store, 2).await, None);
    store.free_dial_slot(&again, true).await.expect("freed");
    rested(&db).await;
    assert!(take(&store, 2).await.is_some() && take(&store, 2).await.is_some());
}

pub(crate) async fn another_number_of_slots_counts_at_once(db: Db) {
    let store = db.store_with_company().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(take(&store, 3).await.expect("free"));
    }
    assert_eq!(take(&store, 3).await, None);
    held.push(take(&store, 4).await.expect("there are more now"));
    assert_eq!(take(&store, 4).await, None);
    for slot in &held {
        store.free_dial_slot(slot, false).await.expect("freed");
    }
    assert!(take(&store, 1).await.is_some());
    assert_eq!(take(&store, 1).await, None, "there are fewer now");
}

pub(crate) async fn a_dead_nodes_slot_frees_itself_and_stays_the_next_ones(db: Db) {
    let store = db.store_with_company().await;
    let lost = take(&store, 1).await.expect("free");
    // Its minute is over, and its rest.
    db.execute("UPDATE dial_slots SET used_at = used_at - 660001").await;
    let next = take(&store, 1).await.expect("free again");
    // The first node was only slow, and frees what is no longer its own.
    store.free_dial_slot(&lost, false).await.expect("asked");
    assert_eq!(take(&store, 1).await, None);
    store.free_dial_slot(&next, false).await.expect("freed");
    assert!(take(&store, 1).await.is_some());
}

pub(crate) async fn nodes_that_race_for_slots_share_them(db: Db) {
    const SLOTS: u32 = 7;
    let store = db.store_with_company().await;
    let other = db.store().await;
    for round in 0..5 {
        let mut takers = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            takers.spawn(async move { take(&store, SLOTS).await });
        }
        let taken: Vec<DialSlot> = takers.join_all().await.into_iter().flatten().collect();
        assert!(taken.len() <= 7, "round {round}: {taken:?}");
        // One may have looked while another had a slot locked; it finds it when it looks again.
        let mut all = taken;
        while let Some(slot) = take(&other, SLOTS).await {
            all.push(slot);
        }
        assert_eq!(all.len(), 7, "round {round}");
        for slot in &all {
            store.free_dial_slot(slot, round % 2 == 0).await.expect("freed");
        }
        rested(&db).await;
    }
}

pub(crate) async fn slots_are_a_companys_own_and_go_with_it(db: Db) {
    let store = db.store_with_company().await;
    let second = CompanyId(2);
    store.upsert_company(second, &CompanySettings::default(), at(0)).await.expect("stored");
    assert!(take(&store, 1).await.is_some());
    let taken = store.take_dial_slot(second, 1, REST).await.expect("asked");
    assert!(matches!(taken, TakenSlot::Yes(_)));
    let nobody = store.take_dial_slot(CompanyId(9), 1, REST).await.expect("asked");
    assert_eq!(nobody, TakenSlot::NotYet(Duration::ZERO), "there is no such company");
    db.execute("DELETE FROM companies WHERE id = 1").await;
    let left = db.text("SELECT CAST(count(*) AS TEXT) FROM dial_slots").await;
    assert_eq!(left.as_deref(), Some("1"));
}

pub(crate) async fn a_companys_pace_is_read_as_it_stands(db: Db) {
    let store = db.store_with_company().await;
    assert_eq!(store.max_cps(COMPANY).await.expect("read"), None);
    let twilio = TwilioSettings {
        account_sid: Some("AC00000000000000000000000000000001".parse().expect("a sid")),
        auth_token: Some("token".into()),
        phone_number: Some("+12125550199".parse().expect("a number")),
        max_cps: Some(Some(2.5)),
        ..TwilioSettings::default()
    };
    let settings = CompanySettings { twilio: Some(twilio), ..CompanySettings::default() };
    store.upsert_company(COMPANY, &settings, at(0)).await.expect("stored");
    assert_eq!(store.max_cps(COMPANY).await.expect("read"), Some(2.5));
    assert_eq!(store.max_cps(CompanyId(9)).await.expect("read"), None);

    assert!(!store.has_calls_before(COMPANY, at(1)).await.expect("read"));
    insert_call(&store, NodeId::generate()).await;
    assert!(store.has_calls_before(COMPANY, at(1)).await.expect("read"));
    assert!(!store.has_calls_before(COMPANY, at(0)).await.expect("read"));
}
