//! Agents: who speaks on a company's calls, and whether Ultravox knows them.
//!
//! An agent that is deleted keeps its row, because calls name it; it is found no more.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use actors::ids::{AgentId, CompanyId};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::Row;

/// Whether an agent can take calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentStatus {
    /// Ultravox is being asked to make it.
    Creating,
    /// It takes calls.
    Active,
    /// Ultravox refused its latest configuration.
    Error,
    /// It was switched off.
    Inactive,
}

/// A word that is no status of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown agent status {0:?}")]
pub struct UnknownAgentStatus(String);

impl AgentStatus {
    /// Every status.
    pub const ALL: [AgentStatus; 4] =
        [AgentStatus::Creating, AgentStatus::Active, AgentStatus::Error, AgentStatus::Inactive];

    /// As stored, and as clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentStatus::Creating => "creating",
            AgentStatus::Active => "active",
            AgentStatus::Error => "error",
            AgentStatus::Inactive => "inactive",
        }
    }
}

impl FromStr for AgentStatus {
    type Err = UnknownAgentStatus;

    fn from_str(raw: &str) -> Result<Self, UnknownAgentStatus> {
        let found = AgentStatus::ALL.into_iter().find(|status| status.as_str() == raw);
        found.ok_or_else(|| UnknownAgentStatus(raw.chars().take(40).collect()))
    }
}

impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What clients decide about an agent, in the order they read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentConfig {
    /// What people call it.
    pub name: String,
    /// What it is told about its task.
    pub prompt: String,
    /// Ultravox's voice name or id; `default` leaves it to Ultravox.
    pub voice: String,
    /// The language it expects, such as `en`.
    pub language: String,
    /// What fills the prompt's gaps when a call does not say otherwise.
    pub template_variables: BTreeMap<String, String>,
}

/// An agent that is about to be made.
#[derive(Clone, Debug)]
pub struct NewAgent {
    /// Our id.
    pub id: AgentId,
    /// Whose it is.
    pub company: CompanyId,
    /// What it is to be.
    pub config: AgentConfig,
    /// When it was asked for.
    pub at: Timestamp,
}

/// A stored agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// Our id.
    pub id: AgentId,
    /// Whose it is.
    pub company: CompanyId,
    /// Ultravox's id, once Ultravox has made it.
    pub ultravox_agent_id: Option<String>,
    /// What clients decided.
    pub config: AgentConfig,
    /// Whether it can take calls.
    pub status: AgentStatus,
    /// Why it is in error.
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How many agents there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentCounts {
    /// Those that are not deleted.
    pub total: u64,
    /// Those of them that take calls.
    pub active: u64,
}

#[derive(FromRow)]
struct RawAgent {
    id: String,
    company_id: i64,
    ultravox_agent_id: Option<String>,
    name: String,
    prompt: String,
    voice: String,
    language: String,
    template_variables: String,
    status: String,
    detail: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl RawAgent {
    fn read(self) -> Result<AgentRow, StoreError> {
        let row = Row { kind: "agent", id: &self.id };
        Ok(AgentRow {
            id: row.parse("id", &self.id)?,
            company: CompanyId(self.company_id),
            ultravox_agent_id: self.ultravox_agent_id,
            config: AgentConfig {
                name: self.name,
                prompt: self.prompt,
                voice: self.voice,
                language: self.language,
                template_variables: serde_json::from_str(&self.template_variables)
                    .map_err(|_| row.unreadable("template_variables", "not an object of texts"))?,
            },
            status: row.parse("status", &self.status)?,
            detail: self.detail,
            created_at: row.time("created_at", self.created_at)?,
            updated_at: row.time("updated_at", self.updated_at)?,
        })
    }
}

/// The columns of [`RawAgent`].
macro_rules! agent_columns {
    () => {
        "id, company_id, ultravox_agent_id, name, prompt, voice, language, template_variables, \
         status, detail, created_at, updated_at"
    };
}

const INSERT: &str = "INSERT INTO agents (id, company_id, name, prompt, voice, language, \
     template_variables, status, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
const BY_ID: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL"
);
const OF_COMPANY: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents WHERE company_id = $1 AND deleted_at IS NULL \
     ORDER BY created_at, id LIMIT $2 OFFSET $3"
);
const UNSETTLED: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents WHERE status = 'creating' AND created_at < $1 AND deleted_at IS NULL"
);
const READY: &str = "UPDATE agents SET ultravox_agent_id = $3, status = 'active', detail = NULL, \
     updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
const SET: &str = "UPDATE agents SET status = $3, detail = $4, name = $5, prompt = $6, \
     voice = $7, language = $8, template_variables = $9, updated_at = $2 \
     WHERE id = $1 AND deleted_at IS NULL";
const SET_STATUS: &str = "UPDATE agents SET status = $3, detail = $4, updated_at = $2 \
     WHERE id = $1 AND deleted_at IS NULL";
const DELETE: &str = "UPDATE agents SET deleted_at = $2, updated_at = $2 \
     WHERE id = $1 AND deleted_at IS NULL";
const FORGET: &str = "DELETE FROM agents WHERE id = $1";
const COUNT: &str = "SELECT count(*), count(CASE status WHEN 'active' THEN 1 END) FROM agents \
     WHERE company_id = $1 AND deleted_at IS NULL";
/// Walks all agents, whose number does not grow with calls.
const COUNT_ALL: &str = "SELECT count(*), count(CASE status WHEN 'active' THEN 1 END) \
     FROM agents WHERE deleted_at IS NULL";

#[cfg(test)]
pub(super) const ALL: &[&str] =
    &[BY_ID, OF_COMPANY, UNSETTLED, READY, SET, SET_STATUS, DELETE, FORGET, COUNT];

impl Store {
    /// Remembers an agent, as `creating`, before Ultravox is asked to make it.
    pub async fn insert_agent(&self, agent: &NewAgent) -> Result<(), StoreError> {
        let config = &agent.config;
        on_pool!(self.writer, |db| {
            let query = sqlx::query(INSERT).bind(agent.id.as_str()).bind(agent.company.0);
            let query = query.bind(&config.name).bind(&config.prompt);
            let query = query.bind(&config.voice).bind(&config.language);
            let query = query.bind(as_json(config)).bind(AgentStatus::Creating.as_str());
            query.bind(agent.at.as_millisecond()).execute(db).await?;
            Ok(())
        })
    }

    /// A company's agent, unless it was deleted.
    pub async fn agent(
        &self,
        company: CompanyId,
        id: &AgentId,
    ) -> Result<Option<AgentRow>, StoreError> {
        let raw: Option<RawAgent> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(BY_ID).bind(id.as_str()).bind(company.0);
            Ok(query.fetch_optional(db).await?)
        })?;
        raw.map(RawAgent::read).transpose()
    }

    /// A company's agents, the oldest first.
    pub async fn agents(
        &self,
        company: CompanyId,
        limit: Option<u32>,
        offset: u32,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let raw: Vec<RawAgent> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(OF_COMPANY).bind(company.0);
            let query = query.bind(limit.map_or(i64::MAX, i64::from)).bind(i64::from(offset));
            Ok(query.fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawAgent::read).collect()
    }

    /// Agents whose making began before this time and has not come to an end: whoever made them is
    /// gone, most likely.
    pub async fn unsettled_agents(&self, before: Timestamp) -> Result<Vec<AgentRow>, StoreError> {
        let raw: Vec<RawAgent> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(UNSETTLED).bind(before.as_millisecond());
            Ok(query.fetch_all(db).await?)
        })?;
        raw.into_iter().map(RawAgent::read).collect()
    }

    /// Ultravox has made it: it takes calls. False when there is no such agent any more.
    pub async fn agent_ready(
        &self,
        id: &AgentId,
        ultravox_agent_id: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(READY).bind(id.as_str()).bind(at.as_millisecond());
            Ok(query.bind(ultravox_agent_id).execute(db).await?.rows_affected() == 1)
        })
    }

    /// Replaces what clients decided about an agent. False when there is no such agent any more.
    pub async fn set_agent(
        &self,
        id: &AgentId,
        config: &AgentConfig,
        status: AgentStatus,
        detail: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(SET).bind(id.as_str()).bind(at.as_millisecond());
            let query = query.bind(status.as_str()).bind(detail);
            let query = query.bind(&config.name).bind(&config.prompt);
            let query = query.bind(&config.voice).bind(&config.language).bind(as_json(config));
            Ok(query.execute(db).await?.rows_affected() == 1)
        })
    }

    /// Says whether an agent can take calls. False when there is no such agent any more.
    pub async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        detail: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(SET_STATUS).bind(id.as_str()).bind(at.as_millisecond());
            let query = query.bind(status.as_str()).bind(detail);
            Ok(query.execute(db).await?.rows_affected() == 1)
        })
    }

    /// Deletes an agent; calls keep naming it. False when there is no such agent any more.
    pub async fn delete_agent(&self, id: &AgentId, at: Timestamp) -> Result<bool, StoreError> {
        on_pool!(self.writer, |db| {
            let query = sqlx::query(DELETE).bind(id.as_str()).bind(at.as_millisecond());
            Ok(query.execute(db).await?.rows_affected() == 1)
        })
    }

    /// Removes every trace of an agent that never came to be.
    pub async fn forget_agent(&self, id: &AgentId) -> Result<(), StoreError> {
        on_pool!(self.writer, |db| {
            sqlx::query(FORGET).bind(id.as_str()).execute(db).await?;
            Ok(())
        })
    }

    /// How many agents a company has; with `None` all companies together.
    pub async fn count_agents(
        &self,
        company: Option<CompanyId>,
    ) -> Result<AgentCounts, StoreError> {
        let (total, active): (i64, i64) = on_pool!(self.reader, |db| {
            let query = match company {
                Some(company) => sqlx::query_as(COUNT).bind(company.0),
                None => sqlx::query_as(COUNT_ALL),
            };
            Ok(query.fetch_one(db).await?)
        })?;
        Ok(AgentCounts { total: total.unsigned_abs(), active: active.unsigned_abs() })
    }
}

fn as_json(config: &AgentConfig) -> String {
    serde_json::to_string(&config.template_variables).expect("a map of texts is plain data")
}
