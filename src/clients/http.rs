//! One request to a vendor: sent, timed, reported, read with a cap, and repeated where that is safe.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::ports::{Vendor, VendorError};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use super::retry::{self, Repeat};
use super::tls::{self, TlsSetupError};
use super::{RequestObserver, problem};

/// Time limits and sizes of a client. The defaults suit the vendors; tests use shorter ones.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// For DNS, TCP and TLS together. Beyond it another attempt is worth more than more patience.
    pub connect_timeout: Duration,
    /// For the whole request. Both vendors answer within about a second; a person is waiting.
    pub request_timeout: Duration,
    /// The wait before the first repeat; it doubles.
    pub backoff: Duration,
    /// The longest answer that is read. A page of 50 calls is about 100 KB.
    pub max_body_bytes: usize,
    /// The TLS setup; `None` is the one that trusts this machine's roots.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            backoff: Duration::from_millis(200),
            max_body_bytes: 1024 * 1024,
            tls: None,
        }
    }
}

/// A client could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientSetupError {
    /// TLS is not usable.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The HTTP client did not like its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
    /// The base URL of a vendor is not one. The URL is not repeated: it may hold a password.
    #[error("the base URL for {vendor} is not usable: {why}")]
    BaseUrl {
        /// Whose.
        vendor: Vendor,
        /// What is wrong with it.
        why: String,
    },
}

/// What is asked of a vendor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// A metric label.
    pub(super) label: &'static str,
    /// A phrase: `place the call`.
    pub(super) phrase: &'static str,
    /// What a second copy would do.
    pub(super) repeat: Repeat,
}

/// A successful answer.
pub(super) struct Answer {
    /// When the vendor gave it, by its own clock where it tells.
    pub(super) at: Timestamp,
    body: Vec<u8>,
    vendor: Vendor,
    operation: &'static str,
}

impl Answer {
    /// Reads the body. What cannot be read leaves the outcome unknown.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, VendorError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde_json's text may quote the value it stumbled over; its place is enough.
            let (line, column) = (error.line(), error.column());
            self.unusable(format!("unexpected JSON at line {line} column {column}"))
        })
    }

    /// The answer is a success that lacks what was asked for.
    pub(super) fn unusable(&self, cause: impl Into<String>) -> VendorError {
        VendorError::OutcomeUnknown {
            vendor: self.vendor,
            operation: self.operation,
            cause: cause.into(),
        }
    }
}

/// The pooled connections to one vendor.
pub(super) struct VendorHttp {
    vendor: Vendor,
    client: Client,
    settings: HttpSettings,
    observer: Arc<dyn RequestObserver>,
    /// What was last learned of the vendor's clock.
    clock: Mutex<Option<SignedDuration>>,
}

impl VendorHttp {
    pub(super) fn new(
        vendor: Vendor,
        settings: HttpSettings,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ClientSetupError> {
        let tls = match &settings.tls {
            Some(own) => Arc::clone(own),
            None => tls::shared()?,
        };
        let client = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("callspan/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            // Load balancers drop idle connections after about a minute. Letting go first avoids
            // sending a call down a connection that is just being closed.
            .pool_idle_timeout(Duration::from_secs(30))
            // Credentials and calls go where they were sent and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            // The agent's WebSocket and the phone's cannot take a detour over a proxy either.
            .no_proxy()
            // Whether to repeat is decided in `retry`, and nowhere else.
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| ClientSetupError::Http(cause(error)))?;
        Ok(VendorHttp { vendor, client, settings, observer, clock: Mutex::default() })
    }

    /// How far the vendor's clock was ahead of ours at its last answer, to a second or so; `None`
    /// when no answer had a date.
    pub(super) fn clock_ahead(&self) -> Option<SignedDuration> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn observer(&self) -> &dyn RequestObserver {
        &*self.observer
    }

    /// Sends what `request` builds until there is an answer or no repeat is allowed. `secret` is
    /// kept out of errors even if the vendor should repeat it.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        secret: &str,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Answer, VendorError> {
        let mut attempt = 0;
        loop {
            let started = Instant::now();
            let (status, result) = self.attempt(operation, secret, request(&self.client)).await;
            self.observer.request(self.vendor, operation.label, &status, started.elapsed());
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let jitter = rand::random::<f64>();
            let backoff = self.settings.backoff;
            match retry::delay(operation.repeat, &error, attempt, backoff, jitter) {
                Some(wait) => {
                    tracing::debug!(
                        operation = operation.label,
                        "asking again in {wait:?}: {error}"
                    );
                    tokio::time::sleep(wait).await;
                }
                None => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        operation: &Operation,
        secret: &str,
        request: RequestBuilder,
    ) -> (String, Result<Answer, VendorError>) {
        let (vendor, operation_phrase) = (self.vendor, operation.phrase);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                let cause = cause(error);
                let error = VendorError::Unreachable { vendor, operation: operation_phrase, cause };
                return ("unreachable".into(), Err(error));
            }
            Err(error) => return self.no_answer(operation, error),
        };
        let status = response.status();
        let now = Timestamp::now();
        let date = header(response.headers(), &DATE).and_then(problem::date);
        if let Some(date) = date {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            *clock = Some(date.duration_since(now));
        }
        let at = date.unwrap_or(now);
        let retry_after = header(response.headers(), &RETRY_AFTER)
            .and_then(|text| problem::retry_after(text, at));
        let body = read_capped(response, self.settings.max_body_bytes).await;

        if status.is_success() {
            return match body {
                Ok(Body { complete: true, bytes }) => {
                    let answer = Answer { at, body: bytes, vendor, operation: operation_phrase };
                    (status.as_str().into(), Ok(answer))
                }
                Ok(Body { complete: false, .. }) => {
                    let cause =
                        format!("the answer is longer than {} bytes", self.settings.max_body_bytes);
                    let operation = operation_phrase;
                    let error = VendorError::OutcomeUnknown { vendor, operation, cause };
                    (status.as_str().into(), Err(error))
                }
                Err(error) => self.no_answer(operation, error),
            };
        }

        // An error answer is an answer, even when its explanation got lost on the way.
        let body = body.map(|body| body.bytes).unwrap_or_default();
        let problem = problem::read(&body, &[secret]);
        // Anything between us and the vendor answers like this when it gave up waiting: the
        // request may have gone through. 503 says that nothing was done, and a vendor that gives
        // its own error code knows what it did.
        let gave_up = status.is_server_error() && status.as_u16() != 503 && problem.code.is_none();
        let error = if gave_up && operation.repeat == Repeat::Harmful {
            VendorError::OutcomeUnknown {
                vendor,
                operation: operation_phrase,
                cause: format!("HTTP {}: {}", status.as_u16(), problem.message),
            }
        } else {
            VendorError::Refused {
                vendor,
                operation: operation_phrase,
                status: status.as_u16(),
                code: problem.code,
                message: problem.message,
                retry_after,
            }
        };
        (status.as_str().into(), Err(error))
    }

    /// The request went out, and nothing usable came back.
    fn no_answer(
        &self,
        operation: &Operation,
        error: reqwest::Error,
    ) -> (String, Result<Answer, VendorError>) {
        let (status, cause) = if error.is_timeout() {
            ("timeout", format!("no answer within {:?}", self.settings.request_timeout))
        } else {
            ("broken", cause(error))
        };
        let (vendor, operation) = (self.vendor, operation.phrase);
        (status.into(), Err(VendorError::OutcomeUnknown { vendor, operation, cause }))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

struct Body {
    bytes: Vec<u8>,
    complete: bool,
}

async fn read_capped(mut response: Response, max_bytes: usize) -> Result<Body, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max_bytes - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Body { bytes, complete: false });
        }
    }
    Ok(Body { bytes, complete: true })
}

/// The whole chain of what went wrong, without the URL, which may hold a number or a secret.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    problem::tidy(&text)
}
