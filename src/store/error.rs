//! What can go wrong with the database, in words for whoever runs the service.

use std::time::Duration;

use actors::ids::{CallId, CompanyId, PhoneNumber};

use crate::secrets::SealError;

/// The database did not do what it was asked. Never carries a password or a stored secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `DATABASE_URL` is of no kind we know, or malformed.
    #[error("DATABASE_URL {cause}")]
    Url {
        /// What is wrong with it.
        cause: String,
    },
    /// It could not be opened at start.
    #[error("the database {database} cannot be opened: {source}")]
    Connect {
        /// Which, without its password.
        database: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the database schema cannot be brought up to date: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A query failed.
    #[error("the database failed: {0}")]
    Query(#[from] sqlx::Error),
    /// A query took too long.
    #[error("the database gave no answer within {} s", waited.as_secs())]
    TimedOut {
        /// How long it was given.
        waited: Duration,
    },
    /// A sealed value does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Stored secrets were sealed under keys that were not given.
    #[error(
        "{rows} stored secrets were sealed under key {}, which {} not among the keys given ({}): \
         give the old key too, after a comma", missing.join(", "),
        if missing.len() == 1 { "is" } else { "are" }, known.join(", ")
    )]
    MissingKeys {
        /// The ids of the missing keys.
        missing: Vec<String>,
        /// The ids of the keys we have.
        known: Vec<String>,
        /// How many values cannot be opened.
        rows: usize,
    },
    /// A stored value cannot be read: written by a newer version, or by hand.
    #[error("the stored {column} of {row} cannot be read: {cause}")]
    Unreadable {
        /// Which column.
        column: &'static str,
        /// Which row.
        row: String,
        /// Why.
        cause: String,
    },
    /// There is no such call.
    #[error("there is no call {0}")]
    UnknownCall(CallId),
    /// A call cannot end in a status that is no end.
    #[error("call {call} cannot end as {status}")]
    NotAnEnd {
        /// Which call.
        call: CallId,
        /// The status.
        status: actors::call::CallStatus,
    },
    /// A number reaches one company only.
    #[error("the phone number {number} belongs to another company")]
    NumberTaken {
        /// Which number; shown without its middle.
        number: PhoneNumber,
    },
    /// A new configuration lacks what it cannot do without.
    #[error("company {company} has no {vendor} configuration yet, so {needed} must be given")]
    Incomplete {
        /// Which company.
        company: CompanyId,
        /// Whose configuration.
        vendor: actors::ports::Vendor,
        /// What it needs.
        needed: &'static str,
    },
}

impl StoreError {
    /// The database is away or overwhelmed: the same request may succeed later. Everything else is
    /// a bug or a bad value, and will fail again.
    pub fn is_unavailable(&self) -> bool {
        match self {
            StoreError::TimedOut { .. } => true,
            StoreError::Query(error) | StoreError::Connect { source: error, .. } => gone(error),
            StoreError::Migrate(
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _),
            ) => gone(error),
            _ => false,
        }
    }
}

fn gone(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // What PostgreSQL sends when it stops in the middle of an answer.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => match database.code() {
            Some(code) if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() => {
                sqlite_is_away(&code)
            }
            Some(code) => postgres_is_away(&code),
            None => false,
        },
        _ => false,
    }
}

/// Primary result codes (the low byte of what SQLite reports) that a later attempt may not meet:
/// busy, locked, read-only, I/O error, disk full, cannot open.
/// See <https://www.sqlite.org/rescode.html>.
fn sqlite_is_away(code: &str) -> bool {
    code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

/// Classes of SQLSTATE that speak of the server and not of the statement: connection, access
/// (a password is being changed), unknown database, rollback (deadlock), resources, operator
/// intervention, system. See appendix A of PostgreSQL's manual.
fn postgres_is_away(code: &str) -> bool {
    const READ_ONLY_TRANSACTION: &str = "25006"; // a standby, in the middle of a failover
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "28" | "3D" | "40" | "53" | "57" | "58")
        || code == READ_ONLY_TRANSACTION
        || code == LOCK_NOT_AVAILABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gone_database_is_told_from_a_bug() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(StoreError::from(sqlx::Error::Io(refused)).is_unavailable());
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_unavailable());
        assert!(postgres_is_away("57P01") && postgres_is_away("40P01"));
        assert!(!postgres_is_away("23505") && !postgres_is_away("42P01"));
        assert!(sqlite_is_away("5") && sqlite_is_away("261") && sqlite_is_away("13"));
        assert!(!sqlite_is_away("787") && !sqlite_is_away("1"));
    }
}
