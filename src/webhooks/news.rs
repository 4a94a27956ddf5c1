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

use super::reject;
use super::signature::{FormParams, SignedBody};

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
    let body = body.map_err(|error| {
        let status = error.as_response_error().status_code();
        let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
        reject(context, status, if too_large { "too_large" } else { "unreadable" })
    })?;
    let unknown = || reject(context, StatusCode::NOT_FOUND, "unknown_call");
    let id = request.match_info().get("call_id").and_then(|id| id.parse().ok());
    let id: CallId = id.ok_or_else(unknown)?;
    let account = match context.registry.get(id) {
        Some((account, _)) => account,
        None => match account_of(context, id).await {
            Ok(Some(account)) => account,
            Ok(None) => return Err(unknown()),
            Err(error) => {
                warn!(call.id = %id, %error, "a webhook of call {id} cannot be checked");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Err(reject(context, status, "database"));
            }
        },
    };
    super::check_signature(context, request, &account, SignedBody::Form(&body))
        .map_err(|bad| reject(context, StatusCode::FORBIDDEN, bad.label()))?;
    let form = FormParams::parse(&body);
    let call_sid = form.get("CallSid").and_then(|sid| sid.parse().ok());
    let call_sid =
        call_sid.ok_or_else(|| reject(context, StatusCode::BAD_REQUEST, "no_call_sid"))?;
    Ok(News { id, account, form, call_sid })
}

async fn account_of(context: &Context, id: CallId) -> Result<Option<TwilioAccount>, StoreError> {
    match context.store.company_of_call(id).await? {
        Some(company) => context.store.twilio_account(company).await,
        None => Ok(None),
    }
}
