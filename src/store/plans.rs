//! No query walks a table that grows with every call.

use base64::Engine;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Row};

use super::{Pools, Store, calls, events, nodes, reseal, write};
use crate::secrets::Sealer;

#[tokio::test]
async fn no_query_walks_all_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = base64::engine::general_purpose::STANDARD.encode([1; 32]);
    let sealer = Sealer::from_keys(&SecretString::from(key)).expect("a good key");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("calls.db").display());
    let store = Store::connect(&url, sealer).await.expect("opens");
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };

    let reseal = reseal::COLUMNS[2].list;
    let queries = calls::ALL.iter().chain(write::ALL).chain(events::ALL);
    for sql in queries.chain(&[nodes::TAKE_SQLITE, reseal]) {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).fetch_all(writer).await.expect("is good SQL");
        for step in steps {
            let step: String = step.get("detail");
            // Walking the index of live calls is walking the calls that are live.
            let good = step.contains("calls_live") || !step.starts_with("SCAN");
            assert!(good, "{step}: {sql}");
        }
    }
}
