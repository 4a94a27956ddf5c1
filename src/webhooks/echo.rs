//! Whether a webhook arrives as it was sent: `callspan doctor` signs one as Twilio would and sends
//! it to the public URL. What stands between may change the URL, the body or the header, and every
//! call would fail by it.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actors::ids::CompanyId;
use actors::ports::TwilioAccount;
use bytes::Bytes;
use secrecy::SecretString;
use tracing::warn;

use crate::startup::Context;
use crate::store::StoreError;

use super::reject;
use super::signature::{BadSignature, FormParams, SignedBody};

/// Serves `POST /twilio/echo`: 204 when it is signed with the token of the company it names, 403
/// otherwise. Who asks without knowing the token cannot tell whether there is such a company: the
/// same work is done, and the answer is the same.
pub(crate) async fn echo(
    request: HttpRequest,
    body: Result<Bytes, Error>,
    context: web::Data<Context>,
) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            let status = error.as_response_error().status_code();
            return reject(&context, status, "unreadable");
        }
    };
    let form = FormParams::parse(&body);
    let account = match account(&context, &form).await {
        Ok(account) => account,
        Err(error) => {
            warn!(%error, "an echo cannot be checked");
            return reject(&context, StatusCode::SERVICE_UNAVAILABLE, "database");
        }
    };
    let is_known = account.is_some();
    let nobody = SecretString::from("a token that is nobody's");
    let token = account.map_or(nobody, |account| account.auth_token);
    let fits = super::check_token(&context, &request, &token, SignedBody::Form(&body));
    match fits {
        Ok(()) if is_known => HttpResponse::NoContent().finish(),
        Ok(()) => reject(&context, StatusCode::FORBIDDEN, BadSignature::Wrong.label()),
        Err(bad) => reject(&context, StatusCode::FORBIDDEN, bad.label()),
    }
}

/// The account of the company that the form names, if it is the account that the form names.
async fn account(
    context: &Context,
    form: &FormParams,
) -> Result<Option<TwilioAccount>, StoreError> {
    let company =
        form.get("CompanyId").and_then(|id| id.parse().ok()).map_or(CompanyId(0), CompanyId);
    let account = context.store.twilio_account(company).await?;
    Ok(account.filter(|account| form.get("AccountSid") == Some(account.account_sid.as_str())))
}
