//! No query walks a table that grows with every call.

use actors::call::CallStatus;
use actors::ids::{AgentId, CallId, CompanyId};
use base64::Engine;
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row, Sqlite};

use super::{
    CallCursor, CallFilter, Direction, Pools, Store, agents, call_lists, calls, campaigns,
    dialling, directory, do_not_call, events, idempotency, nodes, recipients, removal, reseal,
    stats, write,
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
    let of_calls = calls::ALL.iter().chain(write::ALL).chain(events::ALL);
    let of_others = agents::ALL.iter().chain(idempotency::ALL).chain(stats::ALL);
    let of_companies = directory::ALL.iter().chain(removal::ALL).chain(do_not_call::ALL);
    let of_campaigns = campaigns::ALL.iter().chain(recipients::ALL).chain(dialling::ALL);
    let of_nodes = [nodes::TAKE_SQLITE, reseal];
    let all = of_calls.chain(of_others).chain(of_companies).chain(of_campaigns);
    for sql in all.chain(&of_nodes) {
        for step in plan(&store, sql).await {
            // Walking the index of live calls is walking the calls that are live.
            let good = step.contains("calls_live") || !step.starts_with("SCAN");
            assert!(good, "{step}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_newest_of_all_companies_are_the_last_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(folder.path()).await;
    for sql in stats::NEWEST {
        // By the row's number, and to the limit: nothing is sorted.
        let steps = plan(&store, sql).await;
        assert!(steps == ["SCAN events"] || steps == ["SCAN api_calls"], "{steps:?}: {sql}");
    }
}

#[tokio::test]
async fn a_page_of_the_do_not_call_list_is_read_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(folder.path()).await;
    let steps = plan(&store, do_not_call::LIST).await;
    let [step] = steps.as_slice() else { panic!("it is sorted: {steps:?}") };
    assert!(step.contains("(company_id=? AND number>?)"), "{step}");
}

#[tokio::test]
async fn every_list_of_calls_is_read_in_the_order_of_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(folder.path()).await;
    let now = Timestamp::UNIX_EPOCH;
    let cursor = CallCursor { created_at: now, id: CallId::generate() };
    for conditions in 0..1 << 8 {
        let is_given = |bit: u32| conditions >> bit & 1 == 1;
        let status = if is_given(7) { CallStatus::Ringing } else { CallStatus::Completed };
        let filter = CallFilter {
            company: CompanyId(1),
            status: is_given(0).then_some(status),
            agent: is_given(1).then(AgentId::generate),
            direction: is_given(2).then_some(Direction::Outbound),
            person: is_given(3).then(|| "+12125550123".to_owned()),
            created_after: is_given(4).then_some(now),
            created_before: is_given(5).then_some(now),
        };
        let after = is_given(6).then_some(&cursor);
        let query = call_lists::list::<Sqlite>(&filter, after, 20);
        let steps = plan(&store, query.sql().as_ref()).await;
        let [step] = steps.as_slice() else { panic!("it is sorted: {steps:?}, {filter:?}") };
        // An index of the conditions that were given: of a person's, which are few, or of two.
        assert!(step.starts_with("SEARCH calls USING INDEX calls_"), "{step}: {filter:?}");
        let (person, two) = (is_given(3), is_given(0) && (is_given(1) || is_given(2)));
        let any = (0..4).any(is_given);
        let columns = step.matches("=?").count();
        let wanted = if person || !two { 1 + usize::from(any) } else { 3 };
        assert_eq!(columns, wanted, "{step}: {filter:?}");
    }
}
