//! Ultravox's REST API: making agents ready, talking to them, giving them back. The agents that
//! Ultravox keeps are in [`agents`].
//!
//! A second agent for the same call dials nobody and expires unjoined, so creating one is repeated
//! more freely than placing a call is. The join URL in the answer is a credential and is wrapped as
//! one at once.

pub mod agents;
mod body;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::ports::{
    AgentCall, AgentSource, NewAgentCall, UltravoxAccount, Vendor, VendorError, VoiceAgents,
};
use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::RequestObserver;
use super::agent_socket::{AgentConnector, AgentSocketError};
use super::http::{Answer, ClientSetupError, HttpSettings, Operation, VendorHttp};
use super::retry::Repeat;

const CREATE: Operation =
    Operation { label: "create", phrase: "create the agent call", repeat: Repeat::Wasteful };
const SEND_MESSAGE: Operation =
    Operation { label: "send_message", phrase: "message the agent", repeat: Repeat::Harmful };
const GET_CALL: Operation =
    Operation { label: "get_call", phrase: "read the agent call", repeat: Repeat::Idempotent };
const ACCOUNT: Operation =
    Operation { label: "account", phrase: "read the account", repeat: Repeat::Idempotent };

/// For joining and for closing an agent nobody wants: best effort, off everybody's path.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Close code of an end that is as it should be (RFC 6455, 7.4.1).
const NORMAL_CLOSE: u16 = 1000;

/// What agents' sockets and calls name as their client.
const CLIENT_VERSION: &str = concat!("callspan/", env!("CARGO_PKG_VERSION"));

/// Ultravox's REST API. Cheap to share behind an `Arc`; connections are pooled.
pub struct UltravoxClient {
    http: VendorHttp,
    default_api: Url,
    connector: AgentConnector,
}

/// A call as Ultravox describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UltravoxCall {
    /// Ultravox's id.
    pub call_id: String,
    /// When somebody joined, as Ultravox writes it.
    pub joined: Option<String>,
    /// When it ended, as Ultravox writes it.
    pub ended: Option<String>,
    /// `unjoined`, `hangup`, `agent_hangup`, `timeout`, `connection_error`, `system_error`, or a
    /// word newer than this program.
    pub end_reason: Option<String>,
}

/// An account as Ultravox describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UltravoxAccountInfo {
    /// The name of the account.
    pub name: Option<String>,
    /// How many calls it has now.
    pub active_calls: Option<u64>,
    /// How many it may have; `None` means no hard cap.
    pub allowed_concurrent_calls: Option<u64>,
    /// Whether it pays. Without, calls are refused (402) once the free minutes are used up.
    pub has_active_subscription: Option<bool>,
}

impl std::fmt::Debug for UltravoxClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UltravoxClient")
            .field("host", &self.default_api.host_str())
            .finish_non_exhaustive()
    }
}

impl UltravoxClient {
    /// `default_url` serves companies without a URL of their own: `https://api.ultravox.ai`.
    pub fn new(
        default_url: &str,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ClientSetupError> {
        let connector = AgentConnector::new()?;
        Self::with_settings(default_url, observer, HttpSettings::default(), connector)
    }

    /// The same with other time limits, and another way to join agents (for `release`).
    pub fn with_settings(
        default_url: &str,
        observer: Arc<dyn RequestObserver>,
        settings: HttpSettings,
        connector: AgentConnector,
    ) -> Result<Self, ClientSetupError> {
        let default_api = api_base(default_url)
            .map_err(|why| ClientSetupError::BaseUrl { vendor: Vendor::Ultravox, why })?;
        let http = VendorHttp::new(Vendor::Ultravox, settings, observer)?;
        Ok(UltravoxClient { http, default_api, connector })
    }

    /// Sends a data message into a running call, such as `{"type": "hang_up"}` or
    /// `{"type": "user_text_message", "text": "…"}`. Refused with 422 when nobody has joined the
    /// call yet or it is over. Sent once: a second copy would be spoken twice.
    pub async fn send_data_message(
        &self,
        account: &UltravoxAccount,
        ultravox_call_id: &str,
        message: &Value,
    ) -> Result<(), VendorError> {
        let path = ["calls", ultravox_call_id, "send_data_message"];
        self.send(&SEND_MESSAGE, account, &path, |http, url| http.post(url).json(message)).await?;
        Ok(())
    }

    /// Reads a call; `None` when Ultravox does not know it.
    pub async fn get_call(
        &self,
        account: &UltravoxAccount,
        ultravox_call_id: &str,
    ) -> Result<Option<UltravoxCall>, VendorError> {
        let path = ["calls", ultravox_call_id];
        match self.send(&GET_CALL, account, &path, |http, url| http.get(url)).await {
            Ok(answer) => {
                let json: Value = answer.json()?;
                let text = |key: &str| json[key].as_str().map(str::to_owned);
                Ok(Some(UltravoxCall {
                    call_id: text("callId").unwrap_or_else(|| ultravox_call_id.to_owned()),
                    joined: text("joined"),
                    ended: text("ended"),
                    end_reason: text("endReason"),
                }))
            }
            Err(VendorError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the account, to learn whether the key is good and how many calls it allows. A wrong
    /// key is [`VendorError::Refused`] with status 401 or 403.
    pub async fn account_me(
        &self,
        account: &UltravoxAccount,
    ) -> Result<UltravoxAccountInfo, VendorError> {
        let path = ["accounts", "me"];
        let answer = self.send(&ACCOUNT, account, &path, |http, url| http.get(url)).await?;
        let json: Value = answer.json()?;
        if !json.is_object() {
            return Err(answer.unusable("the answer describes no account"));
        }
        Ok(UltravoxAccountInfo {
            name: json["name"].as_str().map(str::to_owned),
            active_calls: json["activeCalls"].as_u64(),
            allowed_concurrent_calls: json["allowedConcurrentCalls"].as_u64(),
            has_active_subscription: json["hasActiveSubscription"].as_bool(),
        })
    }

    /// How far Ultravox's clock was ahead of ours at its last answer, to a second or so; `None` when no
    /// answer had a date.
    pub fn clock_ahead(&self) -> Option<jiff::SignedDuration> {
        self.http.clock_ahead()
    }

    async fn send(
        &self,
        operation: &Operation,
        account: &UltravoxAccount,
        path: &[&str],
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Answer, VendorError> {
        // Nothing was sent when the company's own settings are no good.
        let unsent = |cause: String| VendorError::Unreachable {
            vendor: Vendor::Ultravox,
            operation: operation.phrase,
            cause,
        };
        let mut url = match &account.api_url {
            Some(own) if !own.trim().is_empty() => api_base(own)
                .map_err(|why| unsent(format!("the company's apiurl is not usable: {why}")))?,
            _ => self.default_api.clone(),
        };
        url.path_segments_mut()
            .map_err(|()| unsent("the company's apiurl takes no path".into()))?
            .extend(path);
        let key = account.api_key.expose_secret();
        let mut header = HeaderValue::from_str(key).map_err(|_| {
            unsent("the company's API key has characters that cannot be sent".into())
        })?;
        header.set_sensitive(true);
        let request =
            |http: &Client| request(http, url.clone()).header("X-API-Key", header.clone());
        self.http.send(operation, key, request).await
    }
}

#[async_trait]
impl VoiceAgents for UltravoxClient {
    async fn create(
        &self,
        account: &UltravoxAccount,
        call: &NewAgentCall,
    ) -> Result<AgentCall, VendorError> {
        let body = body::new_call(call);
        let path = match &call.agent {
            AgentSource::Inline { .. } => vec!["calls"],
            AgentSource::Stored { ultravox_agent_id, .. } => {
                vec!["agents", ultravox_agent_id.as_str(), "calls"]
            }
        };
        let answer =
            self.send(&CREATE, account, &path, |http, url| http.post(url).json(&body)).await?;
        let created: CreatedWire = answer.json()?;
        let join_url = match created.join_url {
            Some(url) if is_websocket(&url) => SecretString::from(url),
            Some(_) => return Err(answer.unusable("the join URL is not a WebSocket URL")),
            None => return Err(answer.unusable("the answer has no join URL")),
        };
        Ok(AgentCall { ultravox_call_id: created.call_id, join_url })
    }

    async fn tell(
        &self,
        account: &UltravoxAccount,
        agent: &AgentCall,
        text: &str,
    ) -> Result<(), VendorError> {
        let message = json!({ "type": "user_text_message", "text": text, "urgency": "immediate" });
        self.send_data_message(account, &agent.ultravox_call_id, &message).await
    }

    async fn release(&self, agent: &AgentCall) {
        let started = Instant::now();
        let closing = async {
            let socket = self.connector.connect(&agent.join_url, CLIENT_VERSION).await?;
            socket.close(NORMAL_CLOSE).await.map_err(|_| lost())
        };
        let result = tokio::time::timeout(RELEASE_TIMEOUT, closing).await;
        let status = match &result {
            Ok(Ok(())) => "101".to_owned(),
            Ok(Err(AgentSocketError::Refused { status })) => status.to_string(),
            Ok(Err(AgentSocketError::Unreachable(_))) => "unreachable".to_owned(),
            Ok(Err(AgentSocketError::BadUrl(_) | AgentSocketError::Protocol(_))) => {
                "broken".to_owned()
            }
            Ok(Err(AgentSocketError::Timeout)) | Err(_) => "timeout".to_owned(),
        };
        self.http.observer().request(Vendor::Ultravox, "release", &status, started.elapsed());
        if status != "101" {
            let id = &agent.ultravox_call_id;
            tracing::info!(
                ultravox.call_id = %id,
                "agent call {id} was not given back ({status}); it expires by itself"
            );
        }
    }
}

fn lost() -> AgentSocketError {
    AgentSocketError::Protocol("the connection broke".into())
}

fn is_websocket(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host())
}

/// Brings every way people write Ultravox's address to one: `https://host/api`. The host alone,
/// `…/api`, `…/api/calls` and a trailing slash are all in use.
fn api_base(raw: &str) -> Result<Url, String> {
    let raw = raw.trim();
    let with_scheme = if raw.contains("://") { raw.to_owned() } else { format!("https://{raw}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must start with https:// (or http://)".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user name or password".into());
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/calls").unwrap_or(path).trim_end_matches('/');
    let path = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/');
    let path = format!("{path}/api");
    url.set_path(&path);
    Ok(url)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedWire {
    call_id: String,
    #[serde(default)]
    join_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_address_means_the_same() {
        for raw in [
            "https://api.ultravox.ai",
            "https://api.ultravox.ai/",
            "https://api.ultravox.ai/api",
            "https://api.ultravox.ai/api/",
            "https://api.ultravox.ai/api/calls",
            " https://api.ultravox.ai/api/calls/ ",
            "https://api.ultravox.ai/api/calls?x=y#z",
            "api.ultravox.ai",
            "api.ultravox.ai/api",
        ] {
            assert_eq!(api_base(raw).map(String::from), Ok("https://api.ultravox.ai/api".into()));
        }
        let own = |raw| api_base(raw).map(String::from);
        assert_eq!(own("http://localhost:9000/api/calls"), Ok("http://localhost:9000/api".into()));
        assert_eq!(own("localhost:9000"), Ok("https://localhost:9000/api".into()));
        assert_eq!(own("https://gw.example/uv"), Ok("https://gw.example/uv/api".into()));
        for bad in ["", "ftp://host", "https://u:p@host", "https://", "://"] {
            assert!(api_base(bad).is_err(), "{bad}");
        }
    }
}
