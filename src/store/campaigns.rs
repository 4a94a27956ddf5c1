//! Campaigns: how each stands, and which node runs it.
//!
//! A campaign belongs to the node that its row names for as long as that node's heartbeats go on.
//! Whoever dials for it says so in the same transaction, so that a node which has lost a campaign
//! without noticing dials nobody.

use std::collections::BTreeMap;

use actors::campaign::RecipientState;
use actors::ids::{AgentId, CampaignId, CompanyId};
use jiff::Timestamp;
use sqlx::{FromRow, QueryBuilder};

use super::error::StoreError;
use super::pools::{Locking, Pools, in_time, locking, on_pool};
use super::rows::{NodeId, Row};
use super::{CallCursor, Store};

/// How a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CampaignState {
    /// Its recipients are being stored.
    Loading,
    /// Calls are placed whenever they may be.
    Running,
    /// No new calls, until somebody lets it go on.
    Paused,
    /// No new calls; the last ones are ending.
    Canceling,
    /// Over before everybody was called.
    Canceled,
    /// Everybody has a final state.
    Completed,
}

/// A word that is no state of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of loading, running, paused, canceling, canceled, completed")]
pub struct UnknownCampaignState;

impl CampaignState {
    /// Every state.
    pub const ALL: [CampaignState; 6] = [
        CampaignState::Loading,
        CampaignState::Running,
        CampaignState::Paused,
        CampaignState::Canceling,
        CampaignState::Canceled,
        CampaignState::Completed,
    ];

    /// As stored, and as clients know it.
    pub fn as_str(self) -> &'static str {
        match self {
            CampaignState::Loading => "loading",
            CampaignState::Running => "running",
            CampaignState::Paused => "paused",
            CampaignState::Canceling => "canceling",
            CampaignState::Canceled => "canceled",
            CampaignState::Completed => "completed",
        }
    }

    /// True when nothing comes after it.
    pub fn is_final(self) -> bool {
        matches!(self, CampaignState::Canceled | CampaignState::Completed)
    }
}

impl std::str::FromStr for CampaignState {
    type Err = UnknownCampaignState;

    fn from_str(raw: &str) -> Result<Self, UnknownCampaignState> {
        let known = CampaignState::ALL.into_iter().find(|state| state.as_str() == raw);
        known.ok_or(UnknownCampaignState)
    }
}

impl std::fmt::Display for CampaignState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A campaign that is about to be filled.
#[derive(Clone, Debug)]
pub struct NewCampaign {
    /// Our id.
    pub id: CampaignId,
    /// Whose campaign it is.
    pub company: CompanyId,
    /// Which of our agents takes its calls; `None` when the company's configuration says all.
    pub agent: Option<AgentId>,
    /// What people call it.
    pub name: String,
    /// Its rules, as JSON.
    pub settings: String,
    /// The node that fills and runs it.
    pub node: NodeId,
    /// When it was asked for.
    pub at: Timestamp,
}

/// A stored campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignRow {
    /// Our id.
    pub id: CampaignId,
    /// Whose campaign it is.
    pub company: CompanyId,
    /// Which of our agents takes its calls.
    pub agent: Option<AgentId>,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub state: CampaignState,
    /// Why it is paused, when nobody asked for that.
    pub cause: Option<String>,
    /// Whether it was canceled together with its live calls.
    pub end_calls: bool,
    /// Its rules, as JSON.
    pub settings: String,
    /// Who runs it.
    pub node: Option<NodeId>,
    /// How many rows it was given.
    pub recipients: u64,
    /// Recipients that were done with in the last minute.
    pub pace: f64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first call could be placed.
    pub started_at: Option<Timestamp>,
    /// When its last call was over.
    pub ended_at: Option<Timestamp>,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

/// How many recipients of a campaign are in which state, and who took its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignCounts {
    /// By state; states nobody is in are left out.
    pub states: BTreeMap<RecipientState, u64>,
    /// By Twilio's word for who took the call, where it was to find out.
    pub answered_by: BTreeMap<String, u64>,
}

impl CampaignCounts {
    /// How many are in this state.
    pub fn of(&self, state: RecipientState) -> u64 {
        self.states.get(&state).copied().unwrap_or_default()
    }

    /// How many are done with.
    pub fn finished(&self) -> u64 {
        self.states.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count).sum()
    }
}

/// What the names of counts begin with that are none of states.
pub(super) const ANSWERED_BY: &str = "answered_by/";

macro_rules! columns {
    () => {
        "id, company_id, agent_id, name, state, cause, end_calls, settings, node_id, recipients, \
         pace, created_at, started_at, ended_at, updated_at"
    };
}

/// As the index `campaigns_open` has it.
macro_rules! open {
    () => {
        "state IN ('loading', 'running', 'paused', 'canceling')"
    };
}

const INSERT: &str = "INSERT INTO campaigns (id, company_id, agent_id, name, state, settings, \
     node_id, created_at, updated_at) VALUES ($1, $2, $3, $4, 'loading', $5, $6, $7, $7)";
const OPEN: &str = "UPDATE campaigns SET state = 'running', started_at = $2, updated_at = $2 \
     WHERE id = $1 AND state = 'loading'";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM campaigns WHERE id = $1");
const COUNTS: &str = "SELECT name, count FROM campaign_counts WHERE campaign_id = $1";
const DELETE_SOME: &str = "DELETE FROM campaign_calls WHERE campaign_id = $1 AND seq <= \
     (SELECT min(seq) FROM campaign_calls WHERE campaign_id = $1) + 5000";
const DELETE: &str = "DELETE FROM campaigns WHERE id = $1";
/// `$3` is the new state, `$4` the cause; `$5` to `$7` those it may follow.
const MOVE: &str = "UPDATE campaigns SET updated_at = $2, state = $3, cause = $4, \
     ended_at = CASE WHEN $3 IN ('canceled', 'completed') THEN $2 END \
     WHERE id = $1 AND state IN ($5, $6, $7)";
const CANCEL: &str = "UPDATE campaigns SET updated_at = $2, state = 'canceling', cause = NULL, \
     end_calls = CASE WHEN $3 THEN 1 ELSE end_calls END \
     WHERE id = $1 AND state IN ('running', 'paused', 'canceling')";
const SET_SETTINGS: &str = "UPDATE campaigns SET updated_at = $2, settings = $3, \
     name = COALESCE($4, name) WHERE id = $1 AND settings = $5 AND ended_at IS NULL";
const SET_PACE: &str = "UPDATE campaigns SET pace = $2 WHERE id = $1";
const OF_NODE: &str =
    concat!("SELECT ", columns!(), " FROM campaigns WHERE node_id = $1 AND ", open!());
const RELEASE: &str = "UPDATE campaigns SET node_id = NULL WHERE id = $1 AND node_id = $2";
/// Whether this node may dial for a campaign.
pub(super) const MAY_DIAL: Locking = locking!(
    "SELECT company_id FROM campaigns WHERE id = $1 AND node_id = $2 AND state = 'running'",
    "FOR SHARE"
);

/// One process owns an SQLite file, so whoever else is named there is gone.
const TAKE_SQLITE: &str = concat!(
    "UPDATE campaigns SET node_id = $1 WHERE (node_id IS NULL OR node_id <> $1) AND ",
    open!(),
    " RETURNING ",
    columns!()
);
const TAKE_POSTGRES: &str = concat!(
    "UPDATE campaigns SET node_id = $1 WHERE id IN (SELECT id FROM campaigns WHERE ",
    open!(),
    " AND (node_id IS NULL OR node_id <> $1 AND NOT EXISTS (SELECT 1 FROM nodes \
     WHERE nodes.id = campaigns.node_id AND heartbeat_at >= $2)) \
     FOR UPDATE OF campaigns SKIP LOCKED) RETURNING ",
    columns!()
);

#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    OPEN,
    CANCEL,
    BY_ID,
    COUNTS,
    DELETE_SOME,
    DELETE,
    MOVE,
    SET_SETTINGS,
    SET_PACE,
    OF_NODE,
    RELEASE,
    MAY_DIAL.sqlite,
];

impl Store {
    /// Remembers a campaign whose recipients are about to be stored.
    pub async fn insert_campaign(&self, campaign: &NewCampaign) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            sqlx::query(INSERT)
                .bind(campaign.id.to_string())
                .bind(campaign.company.0)
                .bind(campaign.agent.as_ref().map(AgentId::as_str))
                .bind(&campaign.name)
                .bind(&campaign.settings)
                .bind(campaign.node.to_string())
                .bind(campaign.at.as_millisecond())
                .execute(db)
                .await?;
            Ok(())
        })
    }

    /// All recipients are stored: calls may be placed. False when it was not being filled.
    pub async fn open_campaign(&self, id: CampaignId, now: Timestamp) -> Result<bool, StoreError> {
        let changed = on_pool!(self.writer, |db| {
            let query = sqlx::query(OPEN).bind(id.to_string()).bind(now.as_millisecond());
            Ok(query.execute(db).await?.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// Forgets a campaign and its recipients, a few thousand at a time. Its calls stay.
    pub async fn delete_campaign(&self, id: CampaignId) -> Result<(), StoreError> {
        loop {
            let deleted = on_pool!(self.writer, |db| {
                let query = sqlx::query(DELETE_SOME).bind(id.to_string());
                Ok(query.execute(db).await?.rows_affected())
            })?;
            if deleted == 0 {
                break;
            }
        }
        on_pool!(self.writer, |db| {
            sqlx::query(DELETE).bind(id.to_string()).execute(db).await?;
            Ok(())
        })
    }

    /// Forgets a campaign that was not filled. One that was opened meanwhile stays.
    pub async fn delete_draft(&self, id: CampaignId, now: Timestamp) -> Result<(), StoreError> {
        let (loading, canceled) = (CampaignState::Loading, CampaignState::Canceled);
        // Before its recipients go, so that it can be opened no more.
        match self.move_campaign(id, &[loading], canceled, None, now).await? {
            true => self.delete_campaign(id).await,
            false => Ok(()),
        }
    }

    /// A campaign.
    pub async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRow>, StoreError> {
        let raw: Option<RawCampaign> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(BY_ID).bind(id.to_string()).fetch_optional(db).await?)
        })?;
        raw.map(RawCampaign::read).transpose()
    }

    /// A page of a company's campaigns, the newest first. The id in the cursor is the campaign's.
    pub async fn campaigns(
        &self,
        company: CompanyId,
        state: Option<CampaignState>,
        after: Option<&CallCursor>,
        limit: u32,
    ) -> Result<Vec<CampaignRow>, StoreError> {
        let raw: Vec<RawCampaign> = on_pool!(self.reader, |db| {
            let mut query =
                QueryBuilder::new(concat!("SELECT ", columns!(), " FROM campaigns WHERE "));
            query.push("company_id = ").push_bind(company.0);
            if let Some(state) = state {
                query.push(" AND state = ").push_bind(state.as_str());
            }
            if let Some(after) = after {
                query
                    .push(" AND (created_at, id) < (")
                    .push_bind(after.created_at.as_millisecond())
                    .push(", ")
                    .push_bind(after.id.to_string())
                    .push(")");
            }
            query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
            Ok(query.build_query_as().fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawCampaign::read).collect()
    }

    /// How many recipients of a campaign are in which state.
    pub async fn campaign_counts(&self, id: CampaignId) -> Result<CampaignCounts, StoreError> {
        let raw: Vec<(String, i64)> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(COUNTS).bind(id.to_string()).fetch_all(db).await?)
        })?;
        let id = id.to_string();
        let row = Row { kind: "campaign", id: &id };
        let mut counts = CampaignCounts::default();
        for (name, count) in raw.into_iter().filter(|(_, count)| *count > 0) {
            match name.strip_prefix(ANSWERED_BY) {
                Some(who) => counts.answered_by.insert(who.to_owned(), count.unsigned_abs()),
                None => counts.states.insert(row.parse("name", &name)?, count.unsigned_abs()),
            };
        }
        Ok(counts)
    }

    /// Moves a campaign to a state, from one of up to three that it may follow. False when it was
    /// in none of them.
    pub async fn move_campaign(
        &self,
        id: CampaignId,
        from: &[CampaignState],
        to: CampaignState,
        cause: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let before = |n: usize| from.get(n).map(|state| state.as_str());
        let changed = on_pool!(self.writer, |db| {
            let query = sqlx::query(MOVE).bind(id.to_string()).bind(now.as_millisecond());
            let query = query.bind(to.as_str()).bind(cause);
            let query = query.bind(before(0)).bind(before(1)).bind(before(2));
            Ok(query.execute(db).await?.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// No new calls of this campaign; with `end_calls` the live ones end too. May be said again, and
    /// then only adds to what was said. False when it is over, unknown or still being filled.
    pub async fn cancel_campaign(
        &self,
        id: CampaignId,
        end_calls: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = on_pool!(self.writer, |db| {
            let query = sqlx::query(CANCEL).bind(id.to_string());
            let query = query.bind(now.as_millisecond()).bind(end_calls);
            Ok(query.execute(db).await?.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// Gives a campaign other rules in the place of those that whoever asks has seen, and another
    /// name where there is one. False when it is over or unknown, or its rules are others by now.
    pub async fn set_campaign_settings(
        &self,
        id: CampaignId,
        name: Option<&str>,
        seen: &str,
        settings: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = on_pool!(self.writer, |db| {
            let query = sqlx::query(SET_SETTINGS).bind(id.to_string());
            let query = query.bind(now.as_millisecond()).bind(settings).bind(name).bind(seen);
            Ok(query.execute(db).await?.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// Stores how many recipients were done with in the last minute.
    pub async fn set_campaign_pace(&self, id: CampaignId, pace: f64) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            sqlx::query(SET_PACE).bind(id.to_string()).bind(pace).execute(db).await?;
            Ok(())
        })
    }

    /// The campaigns that are not over and belong to this node.
    pub async fn campaigns_of_node(&self, node: NodeId) -> Result<Vec<CampaignRow>, StoreError> {
        let raw: Vec<RawCampaign> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(OF_NODE).bind(node.to_string()).fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawCampaign::read).collect()
    }

    /// Moves campaigns that nobody runs to this node; no campaign goes to two. A node is dead as in
    /// [`take_orphans`](Self::take_orphans).
    pub async fn take_campaigns(
        &self,
        node: NodeId,
        dead_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let me = node.to_string();
        let taken: Vec<RawCampaign> = in_time(async {
            Ok(match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    sqlx::query_as(TAKE_SQLITE).bind(&me).fetch_all(writer).await?
                }
                Pools::Postgres(pool) => {
                    let query = sqlx::query_as(TAKE_POSTGRES).bind(&me);
                    query.bind(dead_before.as_millisecond()).fetch_all(pool).await?
                }
            })
        })
        .await?;
        Ok(taken.len() as u64)
    }

    /// Lets go of a campaign, so that another node may run it.
    pub async fn release_campaign(&self, id: CampaignId, node: NodeId) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(RELEASE).bind(id.to_string()).bind(node.to_string());
            query.execute(db).await?;
            Ok(())
        })
    }
}

#[derive(FromRow)]
struct RawCampaign {
    id: String,
    company_id: i64,
    agent_id: Option<String>,
    name: String,
    state: String,
    cause: Option<String>,
    end_calls: i64,
    settings: String,
    node_id: Option<String>,
    recipients: i64,
    pace: Option<f64>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    updated_at: i64,
}

impl RawCampaign {
    fn read(self) -> Result<CampaignRow, StoreError> {
        let row = Row { kind: "campaign", id: &self.id };
        let optional_time = |column, ms: Option<i64>| ms.map(|ms| row.time(column, ms)).transpose();
        Ok(CampaignRow {
            id: row.parse("id", &self.id)?,
            company: CompanyId(self.company_id),
            agent: self.agent_id.map(|id| row.parse("agent_id", &id)).transpose()?,
            name: self.name,
            state: row.parse("state", &self.state)?,
            cause: self.cause,
            end_calls: self.end_calls != 0,
            settings: self.settings,
            node: self.node_id.map(|id| row.parse("node_id", &id)).transpose()?,
            recipients: self.recipients.unsigned_abs(),
            pace: self.pace.unwrap_or_default(),
            created_at: row.time("created_at", self.created_at)?,
            started_at: optional_time("started_at", self.started_at)?,
            ended_at: optional_time("ended_at", self.ended_at)?,
            updated_at: row.time("updated_at", self.updated_at)?,
        })
    }
}
