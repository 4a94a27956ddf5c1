//! Connections to either engine, and the macros that let one query serve both.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor};

use super::error::StoreError;

/// How long a request waits for a free connection. Longer than a healthy pool ever needs, short
/// enough that a client hears of a dead database before it gives up by itself.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long SQLite waits for another process's write (a command line beside the service).
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A whole operation. A network that swallows packets without a word shows itself only here.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads of SQLite run beside each other and beside the one writer; one of them may be a checkpoint.
const SQLITE_READERS: u32 = 5;

/// How many pages of 4 KiB SQLite's log may have before a commit waits until they are in the
/// database: 64 MiB. It comes to that only when checkpoints never find a moment without a commit.
const SQLITE_LOG_PAGES: &str = "16384";

/// Per node. A request holds a connection for a few milliseconds, so this is some thousand
/// requests a second, and ten nodes still fit PostgreSQL's default of 100 connections.
const POSTGRES_CONNECTIONS: u32 = 10;

static SQLITE_SCHEMA: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_SCHEMA: Migrator = sqlx::migrate!("migrations/postgres");

#[derive(Clone)]
pub(super) enum Pools {
    /// SQLite has one writer at a time in any case: with one connection for it, writers queue here
    /// in order, where waiting is cheap, and never fail as busy among themselves.
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
    },
    Postgres(PgPool),
}

/// Runs one body on the pool of either engine: `on_pool!(self.reader, |db| …)`. The body is an
/// expression of type `Result<_, StoreError>`.
macro_rules! on_pool {
    ($store:ident . reader, |$db:ident| $body:expr) => {
        $crate::store::in_time(async {
            match &$store.pools {
                $crate::store::Pools::Sqlite { reader: $db, .. } => $body,
                $crate::store::Pools::Postgres($db) => $body,
            }
        })
        .await
    };
    ($store:ident . writer, |$db:ident| $body:expr) => {
        $crate::store::in_time(async {
            match &$store.pools {
                $crate::store::Pools::Sqlite { writer: $db, .. } => $body,
                $crate::store::Pools::Postgres($db) => $body,
            }
        })
        .await
    };
}
pub(super) use on_pool;

/// Runs one body in a transaction of either engine, committed when it is done and rolled back on
/// `?`. The body is an expression; its value is the transaction's.
macro_rules! in_transaction {
    ($store:ident, |$tx:ident| $body:expr) => {
        $crate::store::in_time(async {
            match &$store.pools {
                $crate::store::Pools::Sqlite { writer, .. } => {
                    // A deferred transaction that writes after it has read may fail as busy.
                    let mut $tx = writer.begin_with("BEGIN IMMEDIATE").await?;
                    let done = $body;
                    $tx.commit().await?;
                    Ok(done)
                }
                $crate::store::Pools::Postgres(pool) => {
                    let mut $tx = pool.begin().await?;
                    let done = $body;
                    $tx.commit().await?;
                    Ok(done)
                }
            }
        })
        .await
    };
}
pub(super) use in_transaction;

/// A query whose rows stay as they are until the end of the transaction. SQLite has one writer at a
/// time, so there nothing needs to be said.
#[derive(Clone, Copy)]
pub(super) struct Locking {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// A [`Locking`] of a query and PostgreSQL's word for the lock.
macro_rules! locking {
    ($sql:expr, $lock:literal) => {
        $crate::store::pools::Locking { sqlite: $sql, postgres: concat!($sql, " ", $lock) }
    };
}
pub(super) use locking;

impl Locking {
    /// As this engine writes it.
    pub(super) fn on(self, pools: &Pools) -> &'static str {
        match pools {
            Pools::Sqlite { .. } => self.sqlite,
            Pools::Postgres(_) => self.postgres,
        }
    }
}

/// Gives an operation its time and no more.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(OPERATION_TIMEOUT, work)
        .await
        .unwrap_or(Err(StoreError::TimedOut { waited: OPERATION_TIMEOUT }))
}

impl Pools {
    pub(super) async fn connect(url: &str) -> Result<Pools, StoreError> {
        if url.starts_with("sqlite:") {
            connect_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            connect_postgres(url).await
        } else {
            Err(StoreError::Url { cause: "must start with sqlite:// or postgres://".to_owned() })
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Pools::Sqlite { writer, .. } => {
                SQLITE_SCHEMA.run(writer).await.map_err(StoreError::Migrate)
            }
            Pools::Postgres(pool) => POSTGRES_SCHEMA.run(pool).await.map_err(StoreError::Migrate),
        }
    }

    /// The versions of the schema this program knows.
    pub(super) fn versions(&self) -> BTreeSet<i64> {
        let schema = match self {
            Pools::Sqlite { .. } => &SQLITE_SCHEMA,
            Pools::Postgres(_) => &POSTGRES_SCHEMA,
        };
        schema.iter().map(|migration| migration.version).collect()
    }

    pub(super) async fn close(&self) {
        match self {
            Pools::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

async fn connect_sqlite(url: &str) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| StoreError::Url { cause: format!("cannot be read: {error}") })?;
    let file = options.get_filename().display().to_string();
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(StoreError::Url {
            cause: "must name a file: a database in memory forgets every call".to_owned(),
        });
    }
    // Values of queries must not reach the log, whatever its level.
    let options = options
        .disable_statement_logging()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", SQLITE_LOG_PAGES)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT);
    let failed = |source| StoreError::Connect { database: file.clone(), source };
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await
        .map_err(failed)?;
    let reader = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA query_only = on").await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Pools::Sqlite { writer, reader })
}

async fn connect_postgres(url: &str) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| StoreError::Url { cause: format!("cannot be read: {error}") })?
        .application_name("callspan")
        .disable_statement_logging();
    let database = format!(
        "postgres://{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| StoreError::Connect { database, source })?;
    Ok(Pools::Postgres(pool))
}
