//! Puts the calls of the past into a database.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor, SqliteConnection};

use super::history::{History, Known};
use crate::database::Home;

/// Puts a history into a database whose schema is there already.
pub(super) async fn fill(home: &Home, calls: u32, agent: &str) -> Known {
    let history = History::new(calls, agent);
    match &home.server {
        None => {
            let mut database = SqliteConnection::connect(&home.url).await.expect("opens");
            execute_all(&mut database, &history).await;
            // What was just written is not to be on its way to the disk during the measurement.
            let home = "PRAGMA wal_checkpoint(TRUNCATE)";
            database.execute(home).await.expect("nobody else uses it");
        }
        Some(_) => {
            let mut database = PgConnection::connect(&home.url).await.expect("connects");
            execute_all(&mut database, &history).await;
            // The server does so by itself, within a minute.
            database.execute("ANALYZE").await.expect("may analyze");
        }
    }
    history.known()
}

/// In one transaction, so that it takes seconds.
async fn execute_all<C>(database: &mut C, history: &History)
where
    for<'c> &'c mut C: Executor<'c>,
{
    database.execute("BEGIN").await.expect("begins");
    for sql in history.statements() {
        database.execute(AssertSqlSafe(sql)).await.expect("is good SQL");
    }
    database.execute("COMMIT").await.expect("commits");
}
