//! Calls that come in: each is taken once.

use actors::ids::CallSid;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::NewCall;

/// Of two requests about one call, to one node or to two, only one finds no row.
const INSERT: &str = "INSERT INTO calls (id, company_id, node_id, direction, to_number, \
     from_number, call_sid, status, created_at, updated_at, agent_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'ringing', $8, $8, $9) ON CONFLICT (call_sid) DO NOTHING";
impl Store {
    /// Remembers a call that has come in and rings. False when this call of Twilio's is stored
    /// already, by another request about it.
    pub async fn insert_inbound(&self, call: &NewCall, sid: &CallSid) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let inserted = sqlx::query(INSERT)
                .bind(call.id.to_string())
                .bind(call.company.0)
                .bind(call.node.to_string())
                .bind(call.direction.as_str())
                .bind(call.to.as_str())
                .bind(call.from.as_str())
                .bind(sid.as_str())
                .bind(call.at.as_millisecond())
                .bind(call.agent.as_ref().map(|agent| agent.as_str()))
                .execute(db)
                .await?;
            Ok(inserted.rows_affected() == 1)
        })
    }
}
