//! The one place where what went wrong becomes HTTP.
//!
//! One error type serves both documents; which of their shapes it takes is the request's dialect.

use std::time::Duration;

use actix_web::http::header;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use actors::call_session::DialError;
use actors::ids::{CallId, CampaignId};
use actors::ports::{Vendor, VendorError};
use actors::registry::NotAccepted;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::error;
use utoipa::ToSchema;

use crate::store::StoreError;
use crate::upload::CsvError;

use super::request::{self, Dialect};
use super::time::whole_seconds;

/// When nothing better is known, how long a client should wait before it tries again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A vendor was asked and did not do it.
const VENDOR_ERROR: &str = "vendor_error";
/// Twilio finds the request wrong.
const REFUSED_BY_TWILIO: &str = "refused_by_twilio";
/// Ultravox finds the request wrong.
const REFUSED_BY_ULTRAVOX: &str = "refused_by_ultravox";
/// Whoever dialled is gone, and nobody knows how far it came.
const DIAL_INTERRUPTED: &str = "dial_interrupted";

/// What every error of the integration API looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = Error, example = json!({
    "error": "validation_error",
    "message": "name must have 1 to 100 characters",
    "details": {"name": "must have 1 to 100 characters"},
    "timestamp": "2024-01-01T12:00:00Z",
    "request_id": "0198c2a4-7d1e-7cc3-98c4-dc0c0c07398f"
}))]
pub(crate) struct ErrorBody<'a> {
    /// A stable word to match on.
    error: &'a str,
    /// For people; may be reworded at any time.
    message: &'a str,
    /// What is wrong with which field.
    #[schema(value_type = Object)]
    details: &'a Map<String, Value>,
    /// When it happened (RFC 3339, UTC).
    #[schema(format = DateTime)]
    timestamp: String,
    /// The request's id, as in `X-Request-Id` and in the service's log.
    request_id: &'a str,
}

/// What every error of the call routes looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = CallRoutesError, example = json!({"error": "Company ID is required"}))]
pub(crate) struct CallRoutesErrorBody<'a> {
    /// What went wrong.
    error: &'a str,
}

/// Why a request is not answered as its sender hoped.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    /// A stable word clients match on.
    code: &'static str,
    message: String,
    details: Map<String, Value>,
    retry_after: Option<Duration>,
    /// The methods a route takes.
    allow: Option<Box<str>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status,
            code,
            message: message.into(),
            details: Map::new(),
            retry_after: None,
            allow: None,
        }
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Some fields are not as they must be; `problems` says of each what is allowed.
    pub(crate) fn invalid(problems: Map<String, Value>) -> Self {
        let said = problems.iter().map(|(field, why)| match why {
            Value::String(why) => format!("{field} {why}"),
            other => format!("{field} {other}"),
        });
        let message = said.collect::<Vec<_>>().join("; ");
        ApiError { details: problems, ..ApiError::bad_request("validation_error", message) }
    }

    /// The same for one field.
    pub(crate) fn invalid_field(field: &str, why: impl Into<String>) -> Self {
        ApiError::invalid(Map::from_iter([(field.to_owned(), Value::String(why.into()))]))
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::CONFLICT, code, message)
    }

    pub(crate) fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        retry_after: Option<Duration>,
    ) -> Self {
        let after = retry_after.unwrap_or(TRY_AGAIN);
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(after)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// The actor that dialled is gone, and may have placed the call.
    pub(crate) fn interrupted_dial(call: CallId) -> Self {
        let message = "The call could not be placed because of an internal error";
        ApiError { code: DIAL_INTERRUPTED, ..ApiError::internal(message) }
            .detail("call_id", call.to_string())
    }

    /// Calls of many were begun, and what became of them cannot be told here.
    pub(crate) fn interrupted_campaign(campaign: CampaignId) -> Self {
        let message = format!(
            "The calls go on, but the answer could not be made because of an internal error; see \
             /api/v1/campaigns/{campaign}"
        );
        ApiError { code: DIAL_INTERRUPTED, ..ApiError::internal(message) }
            .detail("campaign_id", campaign.to_string())
    }

    /// The path is known, the method is not.
    pub(crate) fn method_not_allowed(allowed: &[Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let message = format!("This route takes {} only", names.join(" and "));
        let allow = names.join(", ").into();
        let status = StatusCode::METHOD_NOT_ALLOWED;
        ApiError { allow: Some(allow), ..ApiError::new(status, "method_not_allowed", message) }
    }

    /// Whether a vendor was asked, so that the same request must not be carried out again.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(
            self.code,
            VENDOR_ERROR | DIAL_INTERRUPTED | REFUSED_BY_TWILIO | REFUSED_BY_ULTRAVOX
        )
    }

    /// Whether it is we who could not do it.
    pub(crate) fn is_fault(&self) -> bool {
        self.status.is_server_error()
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn detail(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.details.insert(field.to_owned(), value.into());
        self
    }
}

impl From<NotAccepted> for ApiError {
    fn from(refusal: NotAccepted) -> Self {
        ApiError::unavailable("no_room", refusal.to_string(), None)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NumberTaken { .. } => {
                return ApiError::conflict("number_taken", error.to_string());
            }
            StoreError::Incomplete { .. } => {
                return ApiError::bad_request("validation_error", error.to_string());
            }
            _ => {}
        }
        error!(%error, "the database did not answer a request");
        match error.is_unavailable() {
            true => {
                let message = "The database is not available, try again";
                ApiError::unavailable("database_unavailable", message, None)
            }
            false => ApiError::internal("Internal server error"),
        }
    }
}

impl From<CsvError> for ApiError {
    fn from(error: CsvError) -> Self {
        let said = error.to_string();
        let (first, rest) = said.split_at(1);
        ApiError::bad_request("invalid_csv", format!("{}{rest}", first.to_uppercase()))
    }
}

impl From<VendorError> for ApiError {
    fn from(error: VendorError) -> Self {
        let message = error.to_string();
        match error {
            VendorError::Refused { status: 429 | 503, retry_after, .. } => {
                ApiError::unavailable("vendor_busy", message, retry_after)
            }
            // What a vendor finds wrong with a request is for the client to put right.
            VendorError::Refused { status: 400 | 422, vendor: Vendor::Twilio, .. } => {
                ApiError::bad_request(REFUSED_BY_TWILIO, message)
            }
            VendorError::Refused { status: 400 | 422, vendor: Vendor::Ultravox, .. } => {
                ApiError::bad_request(REFUSED_BY_ULTRAVOX, message)
            }
            _ => ApiError { code: VENDOR_ERROR, ..ApiError::internal(message) },
        }
    }
}

impl From<DialError> for ApiError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Vendor(error) => error.into(),
            DialError::Ended(_) => ApiError::unavailable("call_ended", error.to_string(), None),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_ref()));
        }
        let request = request::current();
        match request.as_ref().map(|request| request.dialect) {
            Some(Dialect::CallRoutes) => {
                response.json(CallRoutesErrorBody { error: &self.message })
            }
            Some(Dialect::Platform) | None => response.json(ErrorBody {
                error: self.code,
                message: &self.message,
                details: &self.details,
                timestamp: whole_seconds(Timestamp::now()),
                request_id: request.as_ref().map_or("", |request| &request.id),
            }),
        }
    }
}

/// Answers a path that nobody serves.
pub(crate) async fn unknown_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("not_found", "There is no such route; /docs lists all there are"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_problem_is_in_the_message_and_by_field() {
        let problems = json!({"name": "must not be empty", "voice": "must be a string"});
        let error = ApiError::invalid(problems.as_object().expect("an object").clone());
        assert_eq!(error.to_string(), "name must not be empty; voice must be a string");
        assert_eq!((error.status.as_u16(), error.code), (400, "validation_error"));
        assert_eq!(error.details["voice"], "must be a string");
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let error = ApiError::method_not_allowed(&[Method::GET, Method::POST]);
        let response = error.error_response();
        assert_eq!(response.headers().get("allow").expect("set"), "GET, POST");
        assert_eq!(error.to_string(), "This route takes GET and POST only");
    }
}
