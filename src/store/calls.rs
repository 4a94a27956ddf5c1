//! Finding calls.

use actors::ids::{AgentId, CallId, CallSid, CompanyId};
use sqlx::QueryBuilder;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{CallRow, NewCall, NodeId, RawCall};

/// The statuses of a call that is not over, as SQL. The index `calls_live` says the same words.
macro_rules! live {
    () => {
        "status IN ('initiated', 'ringing', 'in-progress')"
    };
}
pub(super) use live;

/// The columns of [`RawCall`].
macro_rules! call_columns {
    () => {
        "id, company_id, node_id, direction, to_number, from_number, agent_id, call_sid, \
         stream_sid, ultravox_call_id, join_url, status, end_reason, detail, created_at, answered_at, \
         ended_at, duration_ms, answered_by, updated_at"
    };
}
pub(super) use call_columns;

const INSERT: &str = "INSERT INTO calls (id, company_id, node_id, direction, to_number, \
     from_number, agent_id, status, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'initiated', $8, $8)";
const BY_ID: &str = concat!("SELECT ", call_columns!(), " FROM calls WHERE id = $1");
const BY_SID: &str = concat!("SELECT ", call_columns!(), " FROM calls WHERE call_sid = $1");
const LIVE_OF_NODE: &str =
    concat!("SELECT ", call_columns!(), " FROM calls WHERE node_id = $1 AND ", live!());
const COMPANY: &str = "SELECT company_id FROM calls WHERE id = $1";
const COUNT_LIVE: &str = concat!("SELECT count(*) FROM calls WHERE ", live!());

#[cfg(test)]
pub(super) const ALL: &[&str] = &[BY_ID, BY_SID, COMPANY, LIVE_OF_NODE, COUNT_LIVE];

impl Store {
    /// Remembers a call before anything is asked of a vendor.
    pub async fn insert_call(&self, call: &NewCall) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            sqlx::query(INSERT)
                .bind(call.id.to_string())
                .bind(call.company.0)
                .bind(call.node.to_string())
                .bind(call.direction.as_str())
                .bind(call.to.as_str())
                .bind(call.from.as_str())
                .bind(call.agent.as_ref().map(AgentId::as_str))
                .bind(call.at.as_millisecond())
                .execute(db)
                .await?;
            Ok(())
        })
    }

    /// A call by our id.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        let raw: Option<RawCall> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(BY_ID).bind(id.to_string()).fetch_optional(db).await?)
        })?;
        raw.map(|raw| raw.read(&self.sealer)).transpose()
    }

    /// A call by Twilio's id.
    pub async fn call_by_sid(&self, sid: &CallSid) -> Result<Option<CallRow>, StoreError> {
        let raw: Option<RawCall> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(BY_SID).bind(sid.as_str()).fetch_optional(db).await?)
        })?;
        raw.map(|raw| raw.read(&self.sealer)).transpose()
    }

    /// Whose call it is.
    pub async fn company_of_call(&self, id: CallId) -> Result<Option<CompanyId>, StoreError> {
        let company: Option<i64> = on_pool!(self.reader, |db| {
            let query = sqlx::query_scalar(COMPANY);
            Ok(query.bind(id.to_string()).fetch_optional(db).await?)
        })?;
        Ok(company.map(CompanyId))
    }

    /// Those of Twilio's calls that belong to no call of ours, in the order given.
    pub async fn unclaimed(&self, sids: &[CallSid]) -> Result<Vec<CallSid>, StoreError> {
        if sids.is_empty() {
            return Ok(Vec::new());
        }
        let ours: Vec<String> = on_pool!(self.reader, |db| {
            let mut query = QueryBuilder::new("SELECT call_sid FROM calls WHERE call_sid IN (");
            let mut list = query.separated(", ");
            for sid in sids {
                list.push_bind(sid.as_str().to_owned());
            }
            query.push(")");
            Ok(query.build_query_scalar().persistent(false).fetch_all(db).await?)
        })?;
        Ok(sids.iter().filter(|sid| !ours.iter().any(|s| s == sid.as_str())).cloned().collect())
    }

    /// Calls that are not over and are looked after by this node.
    pub async fn live_calls_of_node(&self, node: NodeId) -> Result<Vec<CallRow>, StoreError> {
        let raw: Vec<RawCall> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(LIVE_OF_NODE).bind(node.to_string()).fetch_all(db).await?)
        })?;
        raw.into_iter().map(|raw| raw.read(&self.sealer)).collect()
    }

    /// How many calls are not over, on all nodes.
    pub async fn count_live(&self) -> Result<u64, StoreError> {
        let count: i64 = on_pool!(self.reader, |db| {
            Ok(sqlx::query_scalar(COUNT_LIVE).fetch_one(db).await?)
        })?;
        Ok(count.unsigned_abs())
    }
}
