//! Looking at a database without changing it, for whoever wants to know whether it is in order.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnectOptions;

use super::error::StoreError;
use super::pools::{Pools, in_transaction, on_pool};
use super::{Sealer, Store};

/// How the schema compares with the one this program was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// Older: this many migrations are missing, which the next start or `callspan migrate` runs.
    Behind(usize),
    /// Written by a newer program.
    Ahead,
}

/// The file of an SQLite database; `None` for any other.
pub fn database_file(url: &str) -> Option<PathBuf> {
    let options =
        SqliteConnectOptions::from_str(url).ok().filter(|_| url.starts_with("sqlite:"))?;
    Some(options.get_filename().to_owned())
}

impl Store {
    /// Opens the database and leaves its schema as it is.
    pub async fn open_as_it_is(url: &str, sealer: Sealer) -> Result<Store, StoreError> {
        Ok(Store { pools: Pools::connect(url).await?, sealer: Arc::new(sealer) })
    }

    /// Compares the schema with this program's.
    pub async fn schema(&self) -> Result<SchemaState, StoreError> {
        let applied: Result<Vec<(i64,)>, StoreError> = on_pool!(self.reader, |db| {
            let sql = "SELECT version FROM _sqlx_migrations WHERE success";
            Ok(sqlx::query_as(sql).fetch_all(db).await?)
        });
        let applied = match applied {
            Ok(rows) => rows.into_iter().map(|(version,)| version).collect(),
            // An empty database has no such table yet.
            Err(StoreError::Query(sqlx::Error::Database(error))) if is_no_table(&*error) => {
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        Ok(compare(&self.pools.versions(), &applied))
    }

    /// Takes the right to write, changes nothing, and gives it back.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        in_transaction!(self, |tx| {
            sqlx::query("UPDATE companies SET name = name WHERE id < 0").execute(&mut *tx).await?;
        })
    }
}

/// PostgreSQL has a code for it, SQLite words alone.
fn is_no_table(error: &dyn DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

fn compare(ours: &BTreeSet<i64>, applied: &BTreeSet<i64>) -> SchemaState {
    if !applied.is_subset(ours) {
        return SchemaState::Ahead;
    }
    match ours.difference(applied).count() {
        0 => SchemaState::Current,
        missing => SchemaState::Behind(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_current_older_or_newer() {
        let set = |versions: &[i64]| versions.iter().copied().collect::<BTreeSet<i64>>();
        assert_eq!(compare(&set(&[1, 2]), &set(&[1, 2])), SchemaState::Current);
        assert_eq!(compare(&set(&[1, 2, 3]), &set(&[1])), SchemaState::Behind(2));
        assert_eq!(compare(&set(&[1]), &set(&[])), SchemaState::Behind(1));
        assert_eq!(compare(&set(&[1]), &set(&[1, 2])), SchemaState::Ahead);
    }

    #[test]
    fn only_sqlite_has_a_file() {
        let file = |url| database_file(url).map(|path| path.display().to_string());
        assert_eq!(
            file("sqlite:///var/lib/calls.db?mode=rwc").as_deref(),
            Some("/var/lib/calls.db")
        );
        assert_eq!(file("postgres://localhost/calls"), None);
    }
}
