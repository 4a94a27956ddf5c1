//! Reading the timeline of a call.

use actors::ids::CallId;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{EventRow, RawEvent};

const OF_CALL: &str = "SELECT seq, at, detail FROM call_events WHERE call_id = $1 ORDER BY seq";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[OF_CALL];

impl Store {
    /// The whole timeline of a call, in order.
    pub async fn events(&self, call: CallId) -> Result<Vec<EventRow>, StoreError> {
        let raw: Vec<RawEvent> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(OF_CALL);
            Ok(query.bind(call.to_string()).fetch_all(db).await?)
        })?;
        raw.into_iter().map(|raw| raw.read(call)).collect()
    }
}
