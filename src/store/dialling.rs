//! How fast a company dials, where several nodes dial for it.
//!
//! Whoever is about to ask Twilio for a call takes a slot, and frees it when Twilio has answered; a
//! slot that was used rests before it is taken again. All times are the database's, so clocks of
//! nodes need not agree. A slot whose node died frees itself a minute later.

use std::time::Duration;

use actors::ids::CompanyId;
use jiff::Timestamp;

use super::Store;
use super::error::StoreError;
use super::pools::{Pools, on_pool};

/// A slot somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialSlot {
    company: CompanyId,
    slot: i64,
    /// Until when it is held; who holds it is told by that.
    until: i64,
}

/// What came of the wish for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenSlot {
    /// It is held until it is freed.
    Yes(DialSlot),
    /// None is free; the next one will be after about this time, or sooner when somebody frees one.
    NotYet(Duration),
}

/// Milliseconds since 1970, at the beginning of the statement. Rounded down, so that nothing seems
/// to have rested longer than it has.
macro_rules! now {
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    (postgres) => {
        "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    };
}

/// A minute: longer than Twilio is waited for.
macro_rules! held_until {
    ($engine:ident) => {
        concat!(now!($engine), " + 60000")
    };
}

/// `$2` is how many slots there are, `$3` how long they rest. Of two nodes that want the same slot
/// one finds it taken, by the second condition, when the other has committed.
macro_rules! take {
    ($engine:ident, $lock:literal) => {
        concat!(
            "UPDATE dial_slots SET used_at = ",
            held_until!($engine),
            " WHERE company_id = $1 AND slot = (SELECT slot FROM dial_slots \
             WHERE company_id = $1 AND slot < $2 AND used_at <= ",
            now!($engine),
            " - $3 ORDER BY slot LIMIT 1",
            $lock,
            ") AND used_at <= ",
            now!($engine),
            " - $3 RETURNING slot, used_at"
        )
    };
}

/// Rows are made when they are first needed, one after the other.
macro_rules! add {
    ($engine:ident) => {
        concat!(
            "INSERT INTO dial_slots (company_id, slot, used_at) SELECT id, (SELECT count(*) \
             FROM dial_slots WHERE company_id = $1), ",
            held_until!($engine),
            " FROM companies WHERE id = $1 AND (SELECT count(*) FROM dial_slots \
             WHERE company_id = $1) < $2 ON CONFLICT (company_id, slot) DO NOTHING \
             RETURNING slot, used_at"
        )
    };
}

macro_rules! look {
    ($engine:ident) => {
        concat!(
            "SELECT count(*), coalesce(min(used_at) + $3 - ",
            now!($engine),
            ", 0) FROM dial_slots WHERE company_id = $1 AND slot < $2"
        )
    };
}

/// `$4` is 0 when nobody was asked after all.
macro_rules! free {
    ($engine:ident) => {
        concat!(
            "UPDATE dial_slots SET used_at = (",
            now!($engine),
            " + 1) * $4 WHERE company_id = $1 AND slot = $2 AND used_at = $3"
        )
    };
}

/// The same statements for each engine, which tell the time differently.
struct Statements {
    take: &'static str,
    add: &'static str,
    look: &'static str,
    free: &'static str,
}

const SQLITE: Statements = Statements {
    take: take!(sqlite, ""),
    add: add!(sqlite),
    look: look!(sqlite),
    free: free!(sqlite),
};
const POSTGRES: Statements = Statements {
    take: take!(postgres, " FOR UPDATE SKIP LOCKED"),
    add: add!(postgres),
    look: look!(postgres),
    free: free!(postgres),
};

const MAX_CPS: &str = "SELECT max_cps FROM twilio_config WHERE company_id = $1";
const HAS_CALLS: &str =
    "SELECT id FROM calls WHERE company_id = $1 AND created_at < $2 ORDER BY created_at LIMIT 1";

#[cfg(test)]
pub(super) const ALL: &[&str] =
    &[SQLITE.take, SQLITE.add, SQLITE.look, SQLITE.free, MAX_CPS, HAS_CALLS];

impl Store {
    /// Whether other processes may dial for the same companies. One process owns an SQLite file.
    pub fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// How many calls a second a company may place; `None` when it does not say.
    pub async fn max_cps(&self, company: CompanyId) -> Result<Option<f64>, StoreError> {
        let found: Option<Option<f64>> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_scalar(MAX_CPS).bind(company.0).fetch_optional(db).await?)
        })?;
        Ok(found.flatten())
    }

    /// Whether a company had a call before this time.
    pub async fn has_calls_before(
        &self,
        company: CompanyId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let found: Option<String> = on_pool!(self.reader, |db| {
            let query = sqlx::query_scalar(HAS_CALLS).bind(company.0).bind(at.as_millisecond());
            Ok(query.fetch_optional(db).await?)
        })?;
        Ok(found.is_some())
    }

    /// Takes one of a company's `slots`, unless all of them are in use or have rested less than
    /// `rest`.
    pub async fn take_dial_slot(
        &self,
        company: CompanyId,
        slots: u32,
        rest: Duration,
    ) -> Result<TakenSlot, StoreError> {
        // Rounded up, as the time is rounded down.
        let rest_ms = i64::try_from(rest.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX / 2);
        let slots = i64::from(slots);
        let held = |(slot, until)| Ok(TakenSlot::Yes(DialSlot { company, slot, until }));
        let statements = self.statements();
        loop {
            let taken: Option<(i64, i64)> = on_pool!(self.writer, |db| {
                let query = sqlx::query_as(statements.take).bind(company.0).bind(slots);
                Ok(query.bind(rest_ms).fetch_optional(db).await?)
            })?;
            if let Some(taken) = taken {
                return held(taken);
            }
            let added: Option<(i64, i64)> = on_pool!(self.writer, |db| {
                let query = sqlx::query_as(statements.add).bind(company.0).bind(slots);
                Ok(query.fetch_optional(db).await?)
            })?;
            if let Some(added) = added {
                return held(added);
            }
            let (count, wait_ms): (i64, i64) = on_pool!(self.reader, |db| {
                let query = sqlx::query_as(statements.look).bind(company.0).bind(slots);
                Ok(query.bind(rest_ms).fetch_one(db).await?)
            })?;
            // Fewer than there may be: another node was faster by one, or there is no company.
            if count == 0 || count >= slots {
                return Ok(TakenSlot::NotYet(Duration::from_millis(
                    u64::try_from(wait_ms).unwrap_or_default(),
                )));
            }
        }
    }

    /// Twilio has answered, or nobody was asked after all (`is_used` is false). Nothing happens to a
    /// slot that was taken away meanwhile.
    pub async fn free_dial_slot(&self, slot: &DialSlot, is_used: bool) -> Result<(), StoreError> {
        let statements = self.statements();
        on_pool!(self.writer, |db| {
            let query = sqlx::query(statements.free).bind(slot.company.0).bind(slot.slot);
            query.bind(slot.until).bind(i64::from(is_used)).execute(db).await?;
            Ok(())
        })
    }

    fn statements(&self) -> &'static Statements {
        match self.pools {
            Pools::Sqlite { .. } => &SQLITE,
            Pools::Postgres(_) => &POSTGRES,
        }
    }
}
