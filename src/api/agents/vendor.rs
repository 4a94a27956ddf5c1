//! Keeps what Ultravox has and what we say of it the same.

use std::time::Duration;

use actix_web::web;
use actors::ports::VendorError;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use crate::api::error::ApiError;
use crate::clients::ultravox::agents::AgentTemplate;
use crate::startup::Context;
use crate::store::{AgentConfig, AgentRow, AgentStatus, NewAgent, StoreError, UltravoxConfig};

use super::template::{template, vendor_name};

/// Longer than making an agent takes, with all its retries.
const MAKING_LIMIT: SignedDuration = SignedDuration::from_mins(2);

/// How often agents are looked for whose making was cut short.
const SETTLE_EVERY: Duration = Duration::from_secs(10);

/// Makes a stored agent at Ultravox too. What Ultravox refuses is forgotten here.
pub(super) async fn create(
    context: &Context,
    ultravox: &UltravoxConfig,
    new: &NewAgent,
) -> Result<(), ApiError> {
    let template = template(context, ultravox, &new.id, &new.config);
    match make(context, ultravox, &template).await {
        Ok(id) => {
            context.store.agent_ready(&new.id, &id, Timestamp::now()).await?;
            Ok(())
        }
        Err(error @ VendorError::OutcomeUnknown { .. }) => {
            let (detail, now) = (error.to_string(), Timestamp::now());
            let status = AgentStatus::Error;
            context.store.set_agent_status(&new.id, status, Some(&detail), now).await?;
            Err(refusal(error).detail("agent_id", new.id.as_str()))
        }
        Err(error) => {
            context.store.forget_agent(&new.id).await?;
            Err(refusal(error))
        }
    }
}

/// Changes an agent at Ultravox, then here. One that Ultravox does not have is made anew.
pub(super) async fn update(
    context: &Context,
    ultravox: &UltravoxConfig,
    row: &AgentRow,
    config: AgentConfig,
    status: AgentStatus,
) -> Result<(), ApiError> {
    let template = template(context, ultravox, &row.id, &config);
    let account = &ultravox.account;
    let done = match &row.ultravox_agent_id {
        Some(id) => match context.agents.update_agent(account, id, &template).await {
            Err(VendorError::Refused { status: 404, .. }) => {
                make(context, ultravox, &template).await.map(Some)
            }
            other => other.map(|()| None),
        },
        None => make(context, ultravox, &template).await.map(Some),
    };
    let now = Timestamp::now();
    match done {
        Ok(new_id) => {
            if let Some(id) = new_id {
                context.store.agent_ready(&row.id, &id, now).await?;
            }
            context.store.set_agent(&row.id, &config, status, None, now).await?;
            Ok(())
        }
        Err(error @ VendorError::OutcomeUnknown { .. }) => {
            let (detail, status) = (error.to_string(), AgentStatus::Error);
            context.store.set_agent_status(&row.id, status, Some(&detail), now).await?;
            Err(refusal(error))
        }
        Err(error) => Err(refusal(error)),
    }
}

/// Deletes an agent at Ultravox. Nothing to do where a company has no Ultravox any more.
pub(super) async fn delete(context: &Context, row: &AgentRow) -> Result<(), ApiError> {
    let Some(ultravox) = context.store.ultravox_config(row.company).await? else {
        warn!("agent {} is deleted here only: its company has no Ultravox", row.id);
        return Ok(());
    };
    let account = &ultravox.account;
    let id = match &row.ultravox_agent_id {
        Some(id) => Some(id.clone()),
        // It may be there all the same, when the answer to its making was lost.
        None => {
            let name = vendor_name(&row.id, &row.config.name);
            context.agents.find_agent(account, &name).await.map_err(refusal)?
        }
    };
    if let Some(id) = id {
        context.agents.delete_agent(account, &id).await.map_err(refusal)?;
    }
    Ok(())
}

/// For as long as the service runs: brings the making of agents to an end that was cut short.
pub(crate) async fn settle_all(context: web::Data<Context>) {
    let mut ticks = tokio::time::interval(SETTLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = settle(&context).await {
            warn!(%error, "agents that were being made cannot be looked at");
        }
    }
}

async fn settle(context: &Context) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for agent in context.store.unsettled_agents(now - MAKING_LIMIT).await? {
        let Some(ultravox) = context.store.ultravox_config(agent.company).await? else { continue };
        let name = vendor_name(&agent.id, &agent.config.name);
        match context.agents.find_agent(&ultravox.account, &name).await {
            Ok(Some(id)) => {
                context.store.agent_ready(&agent.id, &id, now).await?;
            }
            Ok(None) => {
                let (status, why) = (AgentStatus::Error, "its making was cut short");
                context.store.set_agent_status(&agent.id, status, Some(why), now).await?;
            }
            Err(error) => warn!(%error, "agent {} stays unsettled", agent.id),
        }
    }
    Ok(())
}

/// Makes an agent. When no answer comes, it is looked for by its name, which is unique.
async fn make(
    context: &Context,
    ultravox: &UltravoxConfig,
    template: &AgentTemplate,
) -> Result<String, VendorError> {
    match context.agents.create_agent(&ultravox.account, template).await {
        Err(error @ VendorError::OutcomeUnknown { .. }) => {
            match context.agents.find_agent(&ultravox.account, &template.name).await {
                Ok(Some(id)) => Ok(id),
                _ => Err(error),
            }
        }
        done => done,
    }
}

/// Nothing is lost where Ultravox was not reached, so the client may try again.
fn refusal(error: VendorError) -> ApiError {
    match &error {
        VendorError::Unreachable { .. } => {
            ApiError::unavailable("ultravox_unreachable", error.to_string(), None)
        }
        _ => error.into(),
    }
}
