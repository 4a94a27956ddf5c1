//! A running service, as the commands see it that ask it over REST.
//!
//! The key comes from the environment, because others can see a command line. What may go away by
//! itself is asked again a few times, where a second copy of a request does no harm.

mod error;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::{Arg, ArgMatches};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::clients::client_config;

pub(super) use error::ServiceError;
use error::{refusal, silent, unreachable};

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

/// The argument that says where a service is.
pub(super) fn url_argument() -> Arg {
    Arg::new("url").long("url").value_name("URL").help("Where the service is")
}

/// Where a service is that runs on this machine with this `CALLSPAN_BIND`.
fn local_url(bind: Option<&str>) -> String {
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
    /// The one that the command line or the environment names. `company` is the one an admin key
    /// speaks for.
    pub(super) fn of(
        matches: &ArgMatches,
        env: impl Fn(&str) -> Option<OsString>,
        company: Option<i64>,
    ) -> Result<Self, ServiceError> {
        let set = |name: &str| {
            let text = env(name)?.into_string().ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let key = set("CALLSPAN_API_KEY").or_else(|| set("CALLSPAN_ADMIN_KEY"));
        let key = SecretString::from(key.ok_or(ServiceError::NoKey)?);
        let url = matches.get_one::<String>("url").cloned().or_else(|| set("CALLSPAN_URL"));
        let url = url.unwrap_or_else(|| local_url(set("CALLSPAN_BIND").as_deref()));
        Service::new(&url, key, company)
    }

    fn new(url: &str, key: SecretString, company: Option<i64>) -> Result<Self, ServiceError> {
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
            // A key goes where it was sent and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| setup(&error))?;
        Ok(Service { http, base: url.to_owned() })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// The JSON that a request is answered with. Sent again where that may help, so a second copy
    /// must do no harm.
    pub(super) async fn ask(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Value, ServiceError> {
        let response = self.send_again(|| request().timeout(ANSWER_LIMIT)).await?;
        read(response).await
    }

    /// The JSON that a request is answered with which must not be carried out twice, and takes as
    /// long as it takes. Sent again only when a limit kept the service from looking at it, and as
    /// `again` can make the same request.
    pub(super) async fn ask_once(
        &self,
        mut request: RequestBuilder,
        mut again: impl FnMut() -> Option<RequestBuilder>,
    ) -> Result<Value, ServiceError> {
        let mut repeats = 0;
        loop {
            let (error, retry_after) = match self.send(request).await {
                Ok(response) => return read(response).await,
                Err(problem) => problem,
            };
            let is_unseen = matches!(error, ServiceError::Refused { status: 429, .. });
            let wait = wait_before_repeat(&error, retry_after, repeats).filter(|_| is_unseen);
            let Some(wait) = wait else { return Err(error) };
            tokio::time::sleep(wait).await;
            let Some(copy) = again() else { return Err(error) };
            request = copy;
            repeats += 1;
        }
    }

    /// An answer that comes bit by bit. Asked for again as long as it has not begun.
    pub(super) async fn open(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Streamed, ServiceError> {
        let response = self.send_again(request).await?;
        Ok(Streamed { response, base: self.base.clone() })
    }

    /// The same, asked for once.
    pub(super) async fn open_once(
        &self,
        request: RequestBuilder,
    ) -> Result<Streamed, ServiceError> {
        let sent = tokio::time::timeout(ANSWER_LIMIT, self.send(request)).await;
        let sent = sent.map_err(|_| silent(&self.base, ANSWER_LIMIT))?;
        let response = sent.map_err(|(error, _)| error)?;
        Ok(Streamed { response, base: self.base.clone() })
    }

    async fn send_again(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, ServiceError> {
        let mut repeats = 0;
        loop {
            let sent = tokio::time::timeout(ANSWER_LIMIT, self.send(request())).await;
            let (error, retry_after) = match sent {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(problem)) => problem,
                Err(_) => (silent(&self.base, ANSWER_LIMIT), None),
            };
            match wait_before_repeat(&error, retry_after, repeats) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
            repeats += 1;
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<Response, (ServiceError, Option<Duration>)> {
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(response) => {
                let retry_after = retry_after(response.headers());
                Err((refusal(response).await, retry_after))
            }
            Err(error) => Err((unreachable(&self.base, error), None)),
        }
    }
}

/// An answer that comes bit by bit.
pub(super) struct Streamed {
    response: Response,
    base: String,
}

impl Streamed {
    /// The next bit; `None` at the end. Longer than `limit` is not waited for.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<Bytes>, ServiceError> {
        match tokio::time::timeout(limit, self.response.chunk()).await {
            Ok(next) => next.map_err(|error| unreachable(&self.base, error)),
            Err(_) => Err(silent(&self.base, limit)),
        }
    }
}

async fn read(response: Response) -> Result<Value, ServiceError> {
    response.json().await.map_err(|_| ServiceError::Unreadable("is not JSON"))
}

/// How long to wait before a request is sent again; `None` when this is the answer. A second copy
/// does no harm: see [`Service::ask`].
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

#[cfg(test)]
mod tests {
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
        let refused =
            |status| ServiceError::Refused { status, message: String::new(), details: Value::Null };
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
}
