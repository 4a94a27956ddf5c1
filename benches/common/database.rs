//! A database of its own for each measurement.

use std::fmt;

use callspan::store::NodeId;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use url::Url;

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
    pub(crate) async fn make(&self) -> Home {
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
pub(crate) struct Home {
    /// Of the database.
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    /// The server and the name of the database, where it has to be deleted.
    pub(crate) server: Option<(String, String)>,
}

impl Home {
    /// The service must have stopped.
    pub(crate) async fn delete(self) {
        if let Some((server, name)) = &self.server {
            administer(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn administer(server: &str, sql: String) {
    let mut admin = PgConnection::connect(server).await.expect("the server answers");
    admin.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
}
