//! The agents that Ultravox keeps: `/api/agents`.
//!
//! Ultravox has no idempotency key, so an agent is created under a name of the caller's choosing
//! that nobody else has. When the outcome of a creation is unknown, [`find_agent`] tells whether it
//! took place.
//!
//! [`find_agent`]: UltravoxClient::find_agent

use std::time::Duration;

use actors::ports::{FirstSpeaker, UltravoxAccount, VendorError};
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::{Operation, Repeat, UltravoxClient, body};

const CREATE: Operation =
    Operation { label: "create_agent", phrase: "create the agent", repeat: Repeat::Harmful };
const UPDATE: Operation =
    Operation { label: "update_agent", phrase: "change the agent", repeat: Repeat::Idempotent };
const DELETE: Operation =
    Operation { label: "delete_agent", phrase: "delete the agent", repeat: Repeat::Idempotent };
const FIND: Operation =
    Operation { label: "find_agent", phrase: "look the agent up", repeat: Repeat::Idempotent };

/// As many as Ultravox gives at a time.
const PAGE_SIZE: &str = "100";
/// A search for a whole name is answered with few agents; the bound is for a server that never
/// stops naming a next page.
const MOST_PAGES: usize = 10;

/// An agent as Ultravox is to keep it. What a call says of itself goes before what is said here.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTemplate {
    /// At most 64 characters, and unlike that of any other agent of the account.
    pub name: String,
    /// What the agent is told about its task; `{{name}}` stands for a variable.
    pub system_prompt: String,
    /// Ultravox's voice name or id; `None` is Ultravox's choice.
    pub voice: Option<String>,
    /// The language that is spoken, as a BCP 47 code: a hint for hearing and speaking.
    pub language: Option<String>,
    /// Ultravox's model name.
    pub model: String,
    /// Who opens the conversation.
    pub first_speaker: FirstSpeaker,
    /// How long a join URL stays good. Whole seconds.
    pub join_timeout: Duration,
    /// How long a conversation may last. Whole seconds.
    pub max_duration: Duration,
}

impl UltravoxClient {
    /// Creates an agent; gives Ultravox's id of it. Asked once: after
    /// [`VendorError::OutcomeUnknown`] look it up with [`find_agent`](Self::find_agent).
    pub async fn create_agent(
        &self,
        account: &UltravoxAccount,
        template: &AgentTemplate,
    ) -> Result<String, VendorError> {
        let body = body::agent(template);
        let path = ["agents"];
        let answer =
            self.send(&CREATE, account, &path, |http, url| http.post(url).json(&body)).await?;
        Ok(answer.json::<AgentWire>()?.agent_id)
    }

    /// Replaces all that is known of an agent. Calls that are up are not touched. An agent that
    /// Ultravox does not know is [`VendorError::Refused`] with status 404.
    pub async fn update_agent(
        &self,
        account: &UltravoxAccount,
        ultravox_agent_id: &str,
        template: &AgentTemplate,
    ) -> Result<(), VendorError> {
        let body = body::agent(template);
        let path = ["agents", ultravox_agent_id];
        self.send(&UPDATE, account, &path, |http, url| http.patch(url).json(&body)).await?;
        Ok(())
    }

    /// Deletes an agent. One that is not there any more is a success.
    pub async fn delete_agent(
        &self,
        account: &UltravoxAccount,
        ultravox_agent_id: &str,
    ) -> Result<(), VendorError> {
        let path = ["agents", ultravox_agent_id];
        match self.send(&DELETE, account, &path, |http, url| http.delete(url)).await {
            Ok(_) | Err(VendorError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ultravox's id of the agent of exactly this name, where there is one.
    pub async fn find_agent(
        &self,
        account: &UltravoxAccount,
        name: &str,
    ) -> Result<Option<String>, VendorError> {
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let request = |http: &Client, mut url: Url| {
                let mut query = url.query_pairs_mut();
                query.append_pair("search", name).append_pair("pageSize", PAGE_SIZE);
                if let Some(cursor) = &cursor {
                    query.append_pair("cursor", cursor);
                }
                drop(query);
                http.get(url)
            };
            let answer = self.send(&FIND, account, &["agents"], request).await?;
            let page: PageWire = answer.json()?;
            let found = page.results.into_iter().find(|agent| agent.name.as_deref() == Some(name));
            if let Some(agent) = found {
                return Ok(Some(agent.agent_id));
            }
            // Only the cursor is taken: the key goes nowhere else than where it went before.
            cursor = page.next.as_deref().and_then(cursor_of);
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

fn cursor_of(next: &str) -> Option<String> {
    let url = Url::parse(next).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentWire {
    agent_id: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct PageWire {
    results: Vec<AgentWire>,
    #[serde(default)]
    next: Option<String>,
}
