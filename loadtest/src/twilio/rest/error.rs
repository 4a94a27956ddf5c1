//! Errors as Twilio words them.

use actix_web::http::StatusCode;
use serde_json::json;

use super::{Body, Reply};

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: u16,
    pub(crate) code: u32,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into() }
    }

    pub(crate) fn bad_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(401, 20_003, "Authenticate")
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(404, 20_404, format!("The requested resource {path} was not found"))
    }

    pub(crate) fn into_reply(self) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let json = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        (status, Body::Json(json), None)
    }
}
