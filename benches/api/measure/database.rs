//! A database of its own for each measurement.

use std::fmt;

use callspan::store::NodeId;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use url::Url;

use super::history::{History, Known};

/// Which engine.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// A file in a temporary folder.
    Sqlite,
    /// A database made on the server with this URL.
    Postgres(String),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Sqlite => "SQLite",
            Database::Postgres(_) => "PostgreSQL",
        })
    }
}

impl Database {
    pub(super) async fn make(&self) -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        let (url, server) = match self {
            Database::Sqlite => {
                (format!("sqlite://{}?mode=rwc", folder.path().join("calls.db").display()), None)
            }
            Database::Postgres(server) => {
                let name = format!("bench_{}", NodeId::generate().to_string().replace('-', ""));
                administer(server, format!("CREATE DATABASE {name}")).await;
                let mut url: Url = server.parse().expect("a URL of PostgreSQL");
                url.set_path(&name);
                (url.to_string(), Some((server.clone(), name)))
            }
        };
        Home { url, folder, server }
    }
}

/// Where one service keeps its things.
pub(super) struct Home {
    /// Of the database.
    pub(super) url: String,
    pub(super) folder: TempDir,
    /// The server and the name of the database, where it has to be deleted.
    server: Option<(String, String)>,
}

impl Home {
    /// Puts a history into the database, whose schema is there already.
    pub(super) async fn fill(&self, calls: u32, agent: &str) -> Known {
        let history = History::new(calls, agent);
        match &self.server {
            None => {
                let mut database = SqliteConnection::connect(&self.url).await.expect("opens");
                execute_all(&mut database, &history).await;
                // What was just written is not to be on its way to the disk during the measurement.
                let home = "PRAGMA wal_checkpoint(TRUNCATE)";
                database.execute(home).await.expect("nobody else uses it");
            }
            Some(_) => {
                let mut database = PgConnection::connect(&self.url).await.expect("connects");
                execute_all(&mut database, &history).await;
                // The server does so by itself, within a minute.
                database.execute("ANALYZE").await.expect("may analyze");
            }
        }
        history.known()
    }

    /// The service must have stopped.
    pub(super) async fn delete(self) {
        if let Some((server, name)) = &self.server {
            administer(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn administer(server: &str, sql: String) {
    let mut admin = PgConnection::connect(server).await.expect("the server answers");
    admin.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
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
