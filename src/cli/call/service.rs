//! A running service, as its clients see it.

use std::error::Error as _;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actors::call::CallStatus;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::clients::client_config;

use super::order::Order;

/// The service asks two vendors before it answers, and each may take 10 s and repeats.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// For DNS, TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How often a request is repeated at most: a person or a script is waiting.
const MOST_REPEATS: u32 = 4;
/// The wait before the first repeat when the service names none; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);
/// The longest `Retry-After` that is sat out. Limits are counted by the minute.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The service did not do what it was asked for. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("{0:?} is not the URL of a service, such as https://calls.example.com")]
    Url(String),
    #[error("the client cannot be set up: {0}")]
    Setup(String),
    #[error("the service cannot be reached at {url}: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("the service refused (HTTP {status}): {message}")]
    Refused { status: u16, message: String },
    #[error("the service failed (HTTP {status}): {message}")]
    Failed { status: u16, message: String },
    #[error("the service's answer {0}; is it a Callspan of this version?")]
    Unreadable(&'static str),
}

/// A call that was placed.
pub(super) struct Placed {
    pub(super) call_sid: String,
    /// The whole answer, with the join URL in it.
    pub(super) answer: Value,
}

/// How a call stands.
#[derive(Debug, PartialEq)]
pub(super) struct CallState {
    pub(super) status: CallStatus,
    pub(super) end_reason: Option<String>,
    pub(super) duration_seconds: Option<u64>,
}

impl CallState {
    fn read(call: &Value) -> Option<Self> {
        Some(CallState {
            status: call["status"].as_str()?.parse().ok()?,
            end_reason: call["end_reason"].as_str().map(str::to_owned),
            duration_seconds: call["duration_seconds"].as_u64(),
        })
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(reason) = &self.end_reason {
            write!(f, ": {reason}")?;
        }
        match self.duration_seconds {
            Some(seconds) => write!(f, ", {seconds} s"),
            None => Ok(()),
        }
    }
}

/// Where a service is that runs on this machine with this `CALLSPAN_BIND`.
pub(super) fn local_url(bind: Option<&str>) -> String {
    let address = bind.and_then(|bind| bind.parse().ok());
    let mut address = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)));
    // It listens everywhere, so also here.
    if address.ip().is_unspecified() {
        match address.is_ipv4() {
            true => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            false => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    format!("http://{address}")
}

/// A service and the key we have for it.
pub(super) struct Service {
    http: Client,
    base: String,
}

impl Service {
    /// `company` is the one an admin key speaks for.
    pub(super) fn new(
        url: &str,
        key: SecretString,
        company: Option<i64>,
    ) -> Result<Self, ServiceError> {
        let url = url.trim().trim_end_matches('/');
        let parsed = Url::parse(url).ok().filter(|url| {
            let plain = url.username().is_empty() && url.password().is_none();
            let ends = url.query().is_none() && url.fragment().is_none();
            matches!(url.scheme(), "http" | "https") && plain && ends
        });
        if parsed.is_none() {
            return Err(ServiceError::Url(url.to_owned()));
        }
        let setup = |error: &dyn fmt::Display| ServiceError::Setup(error.to_string());
        let mut key = HeaderValue::from_str(key.expose_secret())
            .map_err(|_| setup(&"the API key has characters that cannot be sent"))?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("X-API-Key", key);
        if let Some(company) = company {
            headers.insert("X-Company-Id", HeaderValue::from(company));
        }
        let tls = client_config(&[]).map_err(|error| setup(&error))?;
        let http = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("callspan/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            // A key goes where it was sent and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| setup(&error))?;
        Ok(Service { http, base: url.to_owned() })
    }

    /// Has a call placed, once, however often the request must be repeated.
    pub(super) async fn place(&self, order: &Order) -> Result<Placed, ServiceError> {
        let url = format!("{}{}", self.base, order.path);
        let once = uuid::Uuid::new_v4().to_string();
        let request = || self.http.post(&url).header("Idempotency-Key", &once).json(&order.body);
        let answer = self.ask(request).await?;
        // The two documents spell it differently.
        let call_sid = answer["call_sid"].as_str().or_else(|| answer["callSid"].as_str());
        let call_sid = call_sid.ok_or(ServiceError::Unreadable("names no call"))?.to_owned();
        Ok(Placed { call_sid, answer })
    }

    /// How a call stands, and the whole answer.
    pub(super) async fn look(&self, call_sid: &str) -> Result<(CallState, Value), ServiceError> {
        let url = format!("{}/api/v1/calls/{call_sid}", self.base);
        let answer = self.ask(|| self.http.get(&url)).await?;
        let state = CallState::read(&answer).ok_or(ServiceError::Unreadable("has no status"))?;
        Ok((state, answer))
    }

    async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Result<Value, ServiceError> {
        let mut repeats = 0;
        loop {
            let (error, retry_after) = match request().send().await {
                Ok(response) if response.status().is_success() => {
                    let answer = response.json().await;
                    return answer.map_err(|_| ServiceError::Unreadable("is not JSON"));
                }
                Ok(response) => {
                    let retry_after = retry_after(response.headers());
                    (refusal(response).await, retry_after)
                }
                Err(error) => (self.unreachable(error), None),
            };
            match wait_before_repeat(&error, retry_after, repeats) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
            repeats += 1;
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> ServiceError {
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        ServiceError::Unreachable { url: self.base.clone(), cause }
    }
}

/// How long to wait before a request is sent again; `None` when this is the answer. A second copy
/// does no harm: reading changes nothing, and a call is asked for with an idempotency key.
fn wait_before_repeat(
    error: &ServiceError,
    retry_after: Option<Duration>,
    repeats: u32,
) -> Option<Duration> {
    let worth_it = match error {
        ServiceError::Unreachable { .. } => true,
        // An earlier copy is still being worked on, or a limit was met: both say for how long.
        ServiceError::Refused { status: 409 | 429, .. } => retry_after.is_some(),
        ServiceError::Failed { status, .. } => matches!(status, 502..=504),
        _ => false,
    };
    if !worth_it || repeats >= MOST_REPEATS {
        return None;
    }
    let wait = retry_after.unwrap_or_else(|| BACKOFF.saturating_mul(1 << repeats.min(8)));
    (wait <= LONGEST_WAIT).then_some(wait)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn refusal(response: Response) -> ServiceError {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or(Value::Null);
    let words = body["message"].as_str().or_else(|| body["error"].as_str());
    let message = words.unwrap_or("no explanation that could be read").to_owned();
    match status {
        400..=499 => ServiceError::Refused { status, message },
        _ => ServiceError::Failed { status, message },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_on_this_machine_is_found_by_where_it_listens() {
        assert_eq!(local_url(None), "http://127.0.0.1:8000");
        assert_eq!(local_url(Some("127.0.0.1:9000")), "http://127.0.0.1:9000");
        assert_eq!(local_url(Some("0.0.0.0:9000")), "http://127.0.0.1:9000");
        assert_eq!(local_url(Some("[::]:9000")), "http://[::1]:9000");
    }

    #[test]
    fn a_url_without_a_scheme_or_with_a_password_is_refused() {
        let service = |url| Service::new(url, SecretString::from("0123456789"), None);
        assert!(service("https://calls.example.com/voice/").is_ok());
        for bad in ["", "calls.example.com", "ftp://a.b", "https://u:p@a.b", "https://a.b?c"] {
            assert!(matches!(service(bad), Err(ServiceError::Url(_))), "{bad}");
        }
    }

    #[test]
    fn what_may_go_away_by_itself_is_asked_again_a_few_times() {
        let unreachable = || ServiceError::Unreachable { url: String::new(), cause: String::new() };
        let failed = |status| ServiceError::Failed { status, message: String::new() };
        let refused = |status| ServiceError::Refused { status, message: String::new() };
        let second = Some(Duration::from_secs(1));

        assert_eq!(wait_before_repeat(&unreachable(), None, 0), Some(BACKOFF));
        assert_eq!(wait_before_repeat(&unreachable(), None, 2), Some(BACKOFF * 4));
        assert_eq!(wait_before_repeat(&unreachable(), None, MOST_REPEATS), None);
        assert_eq!(wait_before_repeat(&failed(503), second, 0), second);
        assert_eq!(wait_before_repeat(&failed(500), second, 0), None);
        assert_eq!(wait_before_repeat(&refused(429), second, 0), second);
        assert_eq!(wait_before_repeat(&refused(409), None, 0), None);
        assert_eq!(wait_before_repeat(&refused(401), second, 0), None);
        let too_long = Some(LONGEST_WAIT + Duration::from_secs(1));
        assert_eq!(wait_before_repeat(&failed(503), too_long, 0), None);
    }

    #[test]
    fn a_state_reads_as_one_line() {
        let read = |call: Value| CallState::read(&call).map(|state| state.to_string());
        assert_eq!(read(json!({ "status": "ringing" })).as_deref(), Some("ringing"));
        let ended = json!({
            "status": "completed", "end_reason": "agent_hung_up", "duration_seconds": 12,
        });
        assert_eq!(read(ended).as_deref(), Some("completed: agent_hung_up, 12 s"));
        assert_eq!(read(json!({ "status": "lost" })), None);
    }
}
