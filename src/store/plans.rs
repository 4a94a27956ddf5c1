//! No query walks a table that grows with every call.

use actors::call::CallStatus;
use actors::ids::{AgentId, CallId, CompanyId};
use base64::Engine;
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row, Sqlite};

use super::{
    CallCursor, CallFilter, Direction, Pools, Store, agents, call_lists, calls, events, nodes,
    reseal, write,
};
use crate::secrets::Sealer;

async fn store_in(folder: &std::path::Path) -> Store {
    let key = base64::engine::general_purpose::STANDARD.encode([1; 32]);
    let sealer = Sealer::from_keys(&SecretString::from(key)).expect("a good key");
    let url = format!("sqlite://{}?mode=rwc", folder.join("calls.db").display());
    Store::connect(&url, sealer).await.expect("opens")
}

/// How SQLite goes about a query, a line a step.
async fn plan(store: &Store, sql: &str) -> Vec<String> {
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
    let writer: &SqlitePool = writer;
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps = sqlx::query(explain).fetch_all(writer).await.expect("is good SQL");
    steps.into_iter().map(|step| step.get("detail")).collect()
}

#[tokio::test]
async fn no_query_walks_all_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(folder.path()).await;
    let reseal = reseal::COLUMNS[2].list;
    let queries = calls::ALL.iter().chain(write::ALL).chain(events::ALL).chain(agents::ALL);
    for sql in queries.chain(&[nodes::TAKE_SQLITE, reseal]) {
        for step in plan(&store, sql).await {
            // Walking the index of live calls is walking the calls that are live.
            let good = step.contains("calls_live") || !step.starts_with("SCAN");
            assert!(good, "{step}: {sql}");
        }
    }
}

#[tokio::test]
async fn every_list_of_calls_is_read_in_the_order_of_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(folder.path()).await;
    let now = Timestamp::UNIX_EPOCH;
    let cursor = CallCursor { created_at: now, id: CallId::generate() };
    for conditions in 0..1 << 7 {
        let is_given = |bit: u32| conditions >> bit & 1 == 1;
        let filter = CallFilter {
            company: CompanyId(1),
            status: is_given(0).then_some(CallStatus::Completed),
            agent: is_given(1).then(AgentId::generate),
            direction: is_given(2).then_some(Direction::Outbound),
            person: is_given(3).then(|| "+12125550123".to_owned()),
            created_after: is_given(4).then_some(now),
            created_before: is_given(5).then_some(now),
        };
        let after = is_given(6).then_some(&cursor);
        let query = call_lists::list::<Sqlite>(&filter, after, 20);
        for step in plan(&store, query.sql().as_ref()).await {
            assert!(step.starts_with("SEARCH calls USING INDEX calls_"), "{step}: {filter:?}");
        }
    }
}
