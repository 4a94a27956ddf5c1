//! Which nodes are alive, and what becomes of the calls of those that are not.

use jiff::Timestamp;

use super::Store;
use super::calls::{call_columns, live};
use super::error::StoreError;
use super::pools::{Pools, in_time, on_pool};
use super::rows::{CallRow, NodeId, RawCall};

const BEAT: &str = "INSERT INTO nodes (id, started_at, heartbeat_at) VALUES ($1, $2, $2) \
     ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at";

const ALIVE: &str = "SELECT id FROM nodes WHERE id = $1 AND heartbeat_at >= $2";

/// One process owns an SQLite file, so whoever else is named there is gone.
pub(super) const TAKE_SQLITE: &str = concat!(
    "UPDATE calls SET node_id = $1, updated_at = $2 WHERE node_id <> $1 AND ",
    live!(),
    " RETURNING ",
    call_columns!()
);

/// Two nodes may look at once: each takes what the other has not locked. A call that was taken
/// since is seen with its new, living node when its lock is free again.
const TAKE_POSTGRES: &str = concat!(
    "UPDATE calls SET node_id = $1, updated_at = $2 WHERE id IN (SELECT id FROM calls WHERE ",
    live!(),
    " AND node_id <> $1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = calls.node_id \
     AND heartbeat_at >= $3) FOR UPDATE OF calls SKIP LOCKED) RETURNING ",
    call_columns!()
);

impl Store {
    /// Says that a node has started. Before its first call is stored, or that call looks orphaned.
    pub async fn register(&self, node: NodeId, now: Timestamp) -> Result<(), StoreError> {
        self.heartbeat(node, now).await
    }

    /// Says that a node is alive. One that was taken for dead, and forgotten, is back with this.
    pub async fn heartbeat(&self, node: NodeId, now: Timestamp) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(BEAT).bind(node.to_string()).bind(now.as_millisecond());
            query.execute(db).await?;
            Ok(())
        })
    }

    /// Whether a node has said since then that it is alive.
    pub async fn is_node_alive(&self, node: NodeId, since: Timestamp) -> Result<bool, StoreError> {
        let found: Option<String> = on_pool!(self.reader, |db| {
            let query = sqlx::query_scalar(ALIVE).bind(node.to_string());
            Ok(query.bind(since.as_millisecond()).fetch_optional(db).await?)
        })?;
        Ok(found.is_some())
    }

    /// Says that a node has stopped in good order.
    pub async fn unregister(&self, node: NodeId) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query("DELETE FROM nodes WHERE id = $1").bind(node.to_string());
            query.execute(db).await?;
            Ok(())
        })
    }

    /// Moves the live calls of dead nodes to this one and returns them; no call goes to two nodes.
    /// A node is dead when it is not registered or its last heartbeat was before `dead_before`;
    /// on SQLite every other node is.
    ///
    /// After an error some may have been moved all the same: they are among
    /// [`live_calls_of_node`](Self::live_calls_of_node).
    pub async fn take_orphans(
        &self,
        node: NodeId,
        now: Timestamp,
        dead_before: Timestamp,
    ) -> Result<Vec<CallRow>, StoreError> {
        let (me, now_ms) = (node.to_string(), now.as_millisecond());
        let dead_before = match self.pools {
            Pools::Sqlite { .. } => i64::MAX,
            Pools::Postgres(_) => dead_before.as_millisecond(),
        };
        // A node that is not there is as dead as one that is silent, so its row can go. First,
        // because nothing may fail between taking calls and returning them.
        on_pool!(self.writer, |db| {
            let query = sqlx::query("DELETE FROM nodes WHERE heartbeat_at < $1 AND id <> $2");
            query.bind(dead_before).bind(&me).execute(db).await?;
            Ok(())
        })?;
        let taken: Vec<RawCall> = in_time(async {
            Ok(match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    sqlx::query_as(TAKE_SQLITE).bind(&me).bind(now_ms).fetch_all(writer).await?
                }
                Pools::Postgres(pool) => {
                    let query = sqlx::query_as(TAKE_POSTGRES).bind(&me).bind(now_ms);
                    query.bind(dead_before).fetch_all(pool).await?
                }
            })
        })
        .await?;
        // One row that cannot be read must not keep the others from their new node.
        let read = taken.into_iter().filter_map(|raw| {
            let row = raw.read(&self.sealer);
            row.inspect_err(|error| tracing::error!("left out an orphaned call: {error}")).ok()
        });
        Ok(read.collect())
    }
}
