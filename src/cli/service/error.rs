//! Why a service did not do what it was asked for.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

/// The service did not do what it was asked for. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ServiceError {
    #[error("no API key: set CALLSPAN_API_KEY (or CALLSPAN_ADMIN_KEY)")]
    NoKey,
    #[error("{0:?} is not the URL of a service, such as https://calls.example.com")]
    Url(String),
    #[error("the client cannot be set up: {0}")]
    Setup(String),
    #[error("the service cannot be reached at {url}: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("the service refused (HTTP {status}): {message}")]
    Refused {
        status: u16,
        message: String,
        /// What is wrong with which field.
        details: Value,
    },
    #[error("the service failed (HTTP {status}): {message}")]
    Failed { status: u16, message: String },
    #[error("the service's answer {0}; is it a Callspan of this version?")]
    Unreadable(&'static str),
}

impl ServiceError {
    /// The exit codes that all commands share: 1 failed, 2 asked wrongly, 3 refused, 4 not there.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            ServiceError::NoKey | ServiceError::Url(_) | ServiceError::Setup(_) => 2,
            ServiceError::Refused { .. } => 3,
            ServiceError::Unreachable { .. } => 4,
            ServiceError::Failed { .. } | ServiceError::Unreadable(_) => 1,
        }
    }
}

/// No answer came for so long.
pub(super) fn silent(base: &str, limit: Duration) -> ServiceError {
    let cause = format!("it said nothing for {} s", limit.as_secs());
    ServiceError::Unreachable { url: base.to_owned(), cause }
}

/// No answer came.
pub(super) fn unreachable(base: &str, error: reqwest::Error) -> ServiceError {
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        cause = format!("{cause}: {error}");
        source = error.source();
    }
    ServiceError::Unreachable { url: base.to_owned(), cause }
}

/// What an answer says that is no success.
pub(super) async fn refusal(response: Response) -> ServiceError {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or(Value::Null);
    let words = body["message"].as_str().or_else(|| body["error"].as_str());
    let message = words.unwrap_or("no explanation that could be read").to_owned();
    match status {
        400..=499 => ServiceError::Refused { status, message, details: body["details"].clone() },
        _ => ServiceError::Failed { status, message },
    }
}
