//! The one place where what went wrong becomes HTTP.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use actors::call_session::DialError;
use actors::ports::VendorError;
use actors::registry::NotAccepted;
use serde_json::json;
use tracing::error;

use crate::store::StoreError;

/// When nothing better is known, how long a client should wait before it tries again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// An error of the call routes: `{"error": "…"}`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CompatError {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl CompatError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        CompatError { status, message: message.into(), retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        CompatError::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        CompatError::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        CompatError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.into(),
            retry_after: Some(retry_after.unwrap_or(TRY_AGAIN)),
        }
    }
}

impl From<NotAccepted> for CompatError {
    fn from(refusal: NotAccepted) -> Self {
        CompatError::unavailable(refusal.to_string(), None)
    }
}

impl From<StoreError> for CompatError {
    fn from(error: StoreError) -> Self {
        error!(%error, "the database did not answer a request");
        match error.is_unavailable() {
            true => CompatError::unavailable("The database is not available, try again", None),
            false => CompatError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
        }
    }
}

impl From<VendorError> for CompatError {
    fn from(error: VendorError) -> Self {
        match error.busy() {
            Some(retry_after) => CompatError::unavailable(error.to_string(), retry_after),
            None => CompatError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<DialError> for CompatError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Vendor(error) => error.into(),
            DialError::Ended(_) => CompatError::unavailable(error.to_string(), None),
        }
    }
}

impl ResponseError for CompatError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        response.json(json!({ "error": self.message }))
    }
}
