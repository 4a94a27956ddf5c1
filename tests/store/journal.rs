//! What the journal promises.

use std::time::Duration;

use actors::call::{CallEvent, CallStatus, CallUpdate};
use actors::ids::{CallId, CallSid};
use actors::ports::CallLog;
use callspan::store::{Journal, NodeId, Store};
use sqlx::Connection;

use crate::db::{Db, insert_call};
use crate::postgres_only::Proxy;

/// Far more than any of these needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn sid(number: u32) -> CallSid {
    format!("CA{number:032x}").parse().expect("a call sid")
}

fn digits(count: u32) -> Vec<CallEvent> {
    (0..count)
        .filter_map(|n| char::from_digit(n % 10, 10))
        .map(|digit| CallEvent::Dtmf { digit })
        .collect()
}

async fn events(store: &Store, call: CallId) -> Vec<CallEvent> {
    store.events(call).await.expect("read").into_iter().map(|line| line.event).collect()
}

async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("happens");
}

pub(crate) async fn the_journal_writes_everything_in_order(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let calls = [insert_call(&store, node).await, insert_call(&store, node).await];
    let journal = Journal::spawn(store.clone());
    let expected = digits(700);
    for event in &expected {
        for call in calls {
            journal.event(call, event.clone());
        }
    }
    for call in calls {
        journal.record(call, CallUpdate::Status(CallStatus::InProgress));
        journal.record(call, CallUpdate::Status(CallStatus::Completed));
    }
    assert!(journal.flush(PATIENCE).await);
    assert_eq!((journal.backlog(), journal.skipped(), journal.refused()), (0, 0, 0));
    for call in calls {
        assert_eq!(events(&store, call).await, expected);
        let row = store.call(call).await.expect("read").expect("is there");
        assert_eq!(row.status, CallStatus::Completed);
        assert!(row.answered_at.is_some() && row.answered_at <= row.ended_at);
    }
}

pub(crate) async fn an_entry_that_cannot_be_written_blocks_nothing(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let (one, two) = (insert_call(&store, node).await, insert_call(&store, node).await);
    let journal = Journal::spawn(store.clone());
    journal.event(one, CallEvent::Initiated);
    journal.event(CallId::generate(), CallEvent::Initiated);
    journal.record(one, CallUpdate::Placed(sid(1)));
    journal.record(two, CallUpdate::Placed(sid(1)));
    journal.event(two, CallEvent::Ringing);
    assert!(journal.flush(PATIENCE).await);
    assert_eq!(journal.skipped(), 2);
    assert!(!journal.database_away());
    assert_eq!(events(&store, one).await, [CallEvent::Initiated]);
    assert_eq!(events(&store, two).await, [CallEvent::Ringing]);
    let claimed = store.call_by_sid(&sid(1)).await.expect("read").expect("is there");
    assert_eq!(claimed.id, one);
}

pub(crate) async fn what_is_queued_counts_as_claimed(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    let journal = Journal::spawn(store);
    journal.record(call, CallUpdate::Placed(sid(1)));
    let unclaimed = journal.unclaimed(vec![sid(1), sid(2)]).await.expect("read");
    assert_eq!(unclaimed, [sid(2)]);
}

/// The database is away for a while: a held lock on SQLite, a dead connection on PostgreSQL.
pub(crate) async fn an_outage_costs_nothing_but_time(db: Db) {
    let (proxy, store) = if db.is_postgres() {
        let proxy = Proxy::start(db.postgres_options()).await;
        db.store_with_company().await.close().await;
        let through = Db::named(proxy.url());
        (Some(proxy), through.store().await)
    } else {
        (None, db.store_with_company().await)
    };
    let call = insert_call(&store, NodeId::generate()).await;
    let journal = Journal::spawn(store.clone());
    let expected = digits(30);
    for event in &expected[..10] {
        journal.event(call, event.clone());
    }
    assert!(journal.flush(PATIENCE).await);

    let mut lock = None;
    match &proxy {
        Some(proxy) => proxy.cut(),
        None => {
            let mut other = sqlx::SqliteConnection::connect(&db.url).await.expect("opens");
            sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("takes the lock");
            lock = Some(other);
        }
    }
    for event in &expected[10..20] {
        journal.event(call, event.clone());
    }
    journal.record(call, CallUpdate::Status(CallStatus::Ringing));
    until(|| journal.database_away()).await;
    for event in &expected[20..] {
        journal.event(call, event.clone());
    }
    journal.record(call, CallUpdate::Status(CallStatus::Completed));
    assert!(!journal.flush(Duration::ZERO).await);
    assert_eq!(journal.backlog(), 22);
    if proxy.is_some() {
        let error = store.ping().await.expect_err("it is away");
        assert!(error.is_unavailable(), "{error}");
    }

    drop(lock);
    if let Some(proxy) = &proxy {
        proxy.mend();
    }
    assert!(journal.flush(PATIENCE).await);
    assert!(!journal.database_away());
    assert_eq!((journal.backlog(), journal.skipped()), (0, 0));
    assert_eq!(events(&store, call).await, expected);
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!(row.status, CallStatus::Completed);
}
