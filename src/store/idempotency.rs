//! Requests that may be sent twice and must be carried out once.
//!
//! Whoever claims a key first carries its request out; everybody else, on this node or another, is
//! told how far that has come. A key is forgotten after 24 hours. An answer is sealed, because it
//! may hold the join URL of a call.

use std::fmt;
use std::time::Duration;

use actors::ids::{CallId, CompanyId};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{NodeId, Row};
use crate::secrets::Place;

/// How long a key stands for its first request.
pub const IDEMPOTENCY_LIFE: Duration = Duration::from_hours(24);

/// A request that came with a key.
#[derive(Clone, Debug)]
pub struct IdempotentRequest {
    /// Whose request; keys of two companies have nothing to do with each other.
    pub company: CompanyId,
    /// The key the client chose.
    pub key: String,
    /// What was asked, such as `POST /api/v1/calls/agent_1`.
    pub route: String,
    /// A hash of the body.
    pub body_hash: String,
    /// The node that wants to carry it out.
    pub node: NodeId,
    /// The call it is going to make.
    pub call: Option<CallId>,
    /// When it came.
    pub at: Timestamp,
}

/// What became of a request with this key. `Debug` hides the answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had it: whoever asked carries it out, and finishes or releases it.
    Mine,
    /// It is being carried out.
    Running {
        /// By whom.
        node: NodeId,
        /// The call it makes.
        call: Option<CallId>,
        /// Since when.
        since: Timestamp,
    },
    /// It was carried out.
    Done {
        /// The status of the answer.
        status: u16,
        /// The body of the answer.
        body: String,
    },
    /// The key stands for another request.
    OtherRequest,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Mine => f.write_str("Mine"),
            Claim::Running { node, call, since } => f
                .debug_struct("Running")
                .field("node", node)
                .field("call", call)
                .field("since", since)
                .finish(),
            Claim::Done { status, .. } => {
                f.debug_struct("Done").field("status", status).finish_non_exhaustive()
            }
            Claim::OtherRequest => f.write_str("OtherRequest"),
        }
    }
}

#[derive(FromRow)]
struct RawKey {
    route: String,
    body_hash: String,
    node_id: String,
    call_id: Option<String>,
    status: Option<i64>,
    body: Option<String>,
    created_at: i64,
}

/// Of many at once one inserts, or replaces what is too old (before `$8`); the others change
/// nothing, and see its row when it is committed.
const CLAIM: &str = "INSERT INTO idempotency_keys \
     (id, company_id, route, body_hash, node_id, call_id, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET \
     route = excluded.route, body_hash = excluded.body_hash, node_id = excluded.node_id, \
     call_id = excluded.call_id, status = NULL, body = NULL, created_at = excluded.created_at \
     WHERE idempotency_keys.created_at < $8";
const READ: &str = "SELECT route, body_hash, node_id, call_id, status, body, created_at \
     FROM idempotency_keys WHERE id = $1";
/// Only from whom it was seen with: of two that take over at once one does.
const TAKE_OVER: &str = "UPDATE idempotency_keys SET node_id = $2, call_id = $3, created_at = $4 \
     WHERE id = $1 AND status IS NULL AND node_id = $5 AND created_at = $6";
const FINISH: &str = "UPDATE idempotency_keys SET status = $2, body = $3 WHERE id = $1";
const RELEASE: &str = "DELETE FROM idempotency_keys WHERE id = $1 AND status IS NULL";
const PURGE: &str = "DELETE FROM idempotency_keys WHERE created_at < $1";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[CLAIM, READ, TAKE_OVER, FINISH, RELEASE, PURGE];

impl Store {
    /// Claims a request for whoever asks, unless it is claimed already.
    pub async fn claim_idempotency(
        &self,
        request: &IdempotentRequest,
    ) -> Result<Claim, StoreError> {
        let id = id_of(request.company, &request.key);
        let now_ms = request.at.as_millisecond();
        let life_ms = i64::try_from(IDEMPOTENCY_LIFE.as_millis()).expect("a day is short");
        loop {
            let is_mine = on_pool!(self.writer, |db| {
                let query = sqlx::query(CLAIM).bind(&id).bind(request.company.0);
                let query = query.bind(&request.route).bind(&request.body_hash);
                let query = query.bind(request.node.to_string());
                let query = query.bind(request.call.map(|call| call.to_string()));
                let query = query.bind(now_ms).bind(now_ms.saturating_sub(life_ms));
                Ok(query.execute(db).await?.rows_affected() == 1)
            })?;
            if is_mine {
                return Ok(Claim::Mine);
            }
            let raw: Option<RawKey> = on_pool!(self.reader, |db| {
                Ok(sqlx::query_as(READ).bind(&id).fetch_optional(db).await?)
            })?;
            // It may have been released between the two; then it is to be had.
            if let Some(raw) = raw {
                return self.read_claim(request, &id, raw);
            }
        }
    }

    /// Claims a running request that was found with a node that is gone. False when somebody else
    /// was faster, or it was finished after all.
    pub async fn take_over_idempotency(
        &self,
        request: &IdempotentRequest,
        from: NodeId,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(TAKE_OVER).bind(id_of(request.company, &request.key));
            let query = query.bind(request.node.to_string());
            let query = query.bind(request.call.map(|call| call.to_string()));
            let query = query.bind(request.at.as_millisecond());
            let query = query.bind(from.to_string()).bind(since.as_millisecond());
            Ok(query.execute(db).await?.rows_affected() == 1)
        })
    }

    /// Remembers the answer to a request that was claimed.
    pub async fn finish_idempotency(
        &self,
        company: CompanyId,
        key: &str,
        status: u16,
        body: &str,
    ) -> Result<(), StoreError> {
        let id = id_of(company, key);
        let sealed = self.sealer.seal(&body_of(&id), &SecretString::from(body));
        on_pool!(self.writer, |db| {
            let query = sqlx::query(FINISH).bind(&id).bind(i64::from(status)).bind(&sealed);
            query.execute(db).await?;
            Ok(())
        })
    }

    /// Gives back a claim whose request was not carried out: the next one may be. One that is
    /// finished stays.
    pub async fn release_idempotency(
        &self,
        company: CompanyId,
        key: &str,
    ) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            sqlx::query(RELEASE).bind(id_of(company, key)).execute(db).await?;
            Ok(())
        })
    }

    /// Forgets the keys that were claimed before this time; says how many.
    pub async fn purge_idempotency(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(PURGE).bind(before.as_millisecond());
            Ok(query.execute(db).await?.rows_affected())
        })
    }

    fn read_claim(
        &self,
        request: &IdempotentRequest,
        id: &str,
        raw: RawKey,
    ) -> Result<Claim, StoreError> {
        if raw.route != request.route || raw.body_hash != request.body_hash {
            return Ok(Claim::OtherRequest);
        }
        let row = Row { kind: "idempotency key", id };
        match (raw.status, raw.body) {
            (Some(status), Some(sealed)) => Ok(Claim::Done {
                status: u16::try_from(status).map_err(|error| row.unreadable("status", error))?,
                body: self.sealer.open(&body_of(id), &sealed)?.expose_secret().to_owned(),
            }),
            _ => Ok(Claim::Running {
                node: row.parse("node_id", &raw.node_id)?,
                call: raw.call_id.map(|call| row.parse("call_id", &call)).transpose()?,
                since: row.time("created_at", raw.created_at)?,
            }),
        }
    }
}

fn id_of(company: CompanyId, key: &str) -> String {
    format!("{company}/{key}")
}

pub(super) fn body_of(id: impl fmt::Display) -> Place {
    Place::new("idempotency_keys", "body", id)
}
