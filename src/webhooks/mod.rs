//! What Twilio calls: TwiML for an answered call, status callbacks, the news of a stream. Nothing
//! here believes a request before its signature is checked.

mod answers;
pub(crate) mod calls;
pub(crate) mod echo;
pub(crate) mod inbound;
mod news;
pub(crate) mod paths;
pub mod signature;
pub mod twiml;

use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse};
use actors::ports::TwilioAccount;
use secrecy::SecretString;
use tracing::warn;

use crate::startup::Context;

use signature::{BadSignature, SignedBody};

/// Checks that Twilio sent this, for this account.
pub(crate) fn check_signature(
    context: &Context,
    request: &HttpRequest,
    account: &TwilioAccount,
    body: SignedBody<'_>,
) -> Result<(), BadSignature> {
    check_token(context, request, &account.auth_token, body)
}

/// The same for whoever has the token alone.
fn check_token(
    context: &Context,
    request: &HttpRequest,
    token: &SecretString,
    body: SignedBody<'_>,
) -> Result<(), BadSignature> {
    let header = request.headers().get("X-Twilio-Signature").and_then(|value| value.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    signature::check(token, &context.public_url, path, body, header)
}

/// Turns a request away whose body cannot be had.
fn reject_body(context: &Context, error: &Error) -> HttpResponse {
    let status = error.as_response_error().status_code();
    let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
    reject(context, status, if too_large { "too_large" } else { "unreadable" })
}

/// Turns a request away and counts it.
pub(crate) fn reject(context: &Context, status: StatusCode, reason: &'static str) -> HttpResponse {
    warn!(reason, "a request in Twilio's name was turned away");
    context.metrics.webhooks_rejected.with_label_values(&[reason]).inc();
    HttpResponse::build(status).body(reason)
}
