//! A request of Twilio's about one call, once it is known to be Twilio's.

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, web};
use actors::ids::{CallId, CallSid};
use actors::ports::TwilioAccount;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tracing::warn;

use crate::startup::Context;
use crate::store::StoreError;

use super::signature::{FormParams, SignedBody};
use super::{reject, reject_body};

/// A signed request about a call of ours. Handlers that take it see no other.
pub(crate) struct News {
    pub(crate) id: CallId,
    pub(crate) account: TwilioAccount,
    pub(crate) form: FormParams,
    /// Twilio's id, as the request has it.
    pub(crate) call_sid: CallSid,
}

impl FromRequest for News {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let body = body.await;
            let context: &web::Data<Context> =
                request.app_data().expect("the server gives every handler its context");
            receive(context, &request, body).await.map_err(|refusal| {
                InternalError::from_response("a webhook was turned away", refusal).into()
            })
        })
    }
}

/// Finds the call a request is about and proves that Twilio sent it.
async fn receive(
    context: &Context,
    request: &HttpRequest,
    body: Result<Bytes, Error>,
) -> Result<News, HttpResponse> {
    let body = body.map_err(|error| reject_body(context, &error))?;
    let form = FormParams::parse(&body);
    let call_sid = form.get("CallSid").and_then(|sid| sid.parse().ok());
    let no_call_sid = || reject(context, StatusCode::BAD_REQUEST, "no_call_sid");
    let unknown = || reject(context, StatusCode::NOT_FOUND, "unknown_call");
    let id: CallId = match request.match_info().get("call_id") {
        Some(id) => id.parse().map_err(|_| unknown())?,
        // A number's own callback knows Twilio's id only.
        None => {
            let sid = call_sid.as_ref().ok_or_else(no_call_sid)?;
            match context.store.call_by_sid(sid).await {
                Ok(row) => row.ok_or_else(unknown)?.id,
                Err(error) => return Err(no_database(context, &error)),
            }
        }
    };
    let account = match context.registry.get(id) {
        Some((account, _)) => account,
        None => match account_of(context, id).await {
            Ok(Some(account)) => account,
            Ok(None) => return Err(unknown()),
            Err(error) => return Err(no_database(context, &error)),
        },
    };
    super::check_signature(context, request, &account, SignedBody::Form(&body))
        .map_err(|bad| reject(context, StatusCode::FORBIDDEN, bad.label()))?;
    let call_sid = call_sid.ok_or_else(no_call_sid)?;
    Ok(News { id, account, form, call_sid })
}

/// Without the database nobody's token is known, so that nothing can be believed.
pub(super) fn no_database(context: &Context, error: &StoreError) -> HttpResponse {
    warn!(%error, "a webhook cannot be checked");
    reject(context, StatusCode::SERVICE_UNAVAILABLE, "database")
}

async fn account_of(context: &Context, id: CallId) -> Result<Option<TwilioAccount>, StoreError> {
    match context.store.company_of_call(id).await? {
        Some(company) => context.store.twilio_account(company).await,
        None => Ok(None),
    }
}
