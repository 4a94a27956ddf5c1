//! The call routes document: camelCase bodies, errors as `{"error": "…"}`.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::{CompanyId, PhoneNumber};
use actors::ports::{AgentSource, TwilioAccount};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::startup::Context;
use crate::store::UltravoxConfig;

use super::auth::Caller;
use super::body::JsonObject;
use super::dial::{Dialled, Outbound, dial, may_call};
use super::error::ApiError;
use super::idempotency::{IdempotencyKey, Wish, once};
use super::rules;

/// A call that is asked for.
#[derive(ToSchema)]
#[schema(as = InitiateCall, rename_all = "camelCase",
    example = json!({"companyId": 1, "destinationNumber": "+919398178764"}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct InitiateCallBody {
    /// Unique identifier of the company whose Twilio and Ultravox configurations will be used.
    #[schema(minimum = 1)]
    company_id: i64,
    /// Phone number to call; the company's own number when it is left out.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    destination_number: Option<String>,
}

/// A call that Twilio has accepted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InitiatedCall, example = json!({
    "message": "Call initiated successfully",
    "callSid": "CA123456789abcdef",
    "joinUrl": "https://api.ultravox.ai/call/join/unique-session-id"
}))]
pub(crate) struct InitiatedBody<'a> {
    /// Always the same words.
    message: &'static str,
    /// Twilio's id of the call.
    call_sid: &'a str,
    /// The agent's WebSocket. A credential: whoever holds it can take the call.
    join_url: &'a str,
}

/// What the body of `initiate-call` asks for.
#[derive(Debug, PartialEq)]
struct InitiateCall {
    company: CompanyId,
    destination: Option<PhoneNumber>,
}

impl InitiateCall {
    fn parse(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::bad_request("validation_error", message);
        let company = company(body)?;
        let destination = match body.get("destinationNumber") {
            None | Some(Value::Null) => None,
            Some(Value::String(number)) => {
                Some(number.parse().map_err(|why| invalid(format!("destinationNumber {why}")))?)
            }
            Some(_) => return Err(invalid("destinationNumber must be a string".to_owned())),
        };
        Ok(InitiateCall { company, destination })
    }
}

/// The company that the body of a call route names.
pub(super) fn company(body: &Map<String, Value>) -> Result<CompanyId, ApiError> {
    let invalid = |message| ApiError::bad_request("validation_error", message);
    match body.get("companyId") {
        None | Some(Value::Null) => Err(invalid("Company ID is required")),
        Some(id) => rules::integer(id)
            .filter(|id| *id > 0)
            .map(CompanyId)
            .ok_or_else(|| invalid("companyId must be a positive integer")),
    }
}

/// How a company reaches both of its vendors, if the caller may use it.
pub(super) async fn configurations(
    context: &Context,
    caller: &Caller,
    company: CompanyId,
) -> Result<(TwilioAccount, UltravoxConfig), ApiError> {
    let missing = |message| ApiError::not_found("not_configured", message);
    let no_twilio = || missing("Twilio configuration not found");
    if !caller.may_use(company) {
        return Err(no_twilio());
    }
    let twilio = context.store.twilio_account(company).await?.ok_or_else(no_twilio)?;
    let ultravox = context.store.ultravox_config(company).await?;
    Ok((twilio, ultravox.ok_or_else(|| missing("Ultravox configuration not found"))?))
}

/// Calls a number with the company's own agent configuration. With an `Idempotency-Key` a
/// repeated request does not dial again: it gets the first one's answer.
#[utoipa::path(
    post, path = "/api/ultravox-calls/initiate-call", tag = "call routes",
    params(super::idempotency::IdempotencyKeyParam),
    request_body = InitiateCallBody,
    responses(
        (status = 200, description = "Twilio has accepted the call", body = InitiatedBody),
        (status = 403, description = "The number is on the company's do-not-call list",
            body = super::error::CallRoutesErrorBody),
    )
)]
pub(crate) async fn initiate_call(
    caller: Caller,
    key: IdempotencyKey,
    request: HttpRequest,
    body: JsonObject,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let InitiateCall { company, destination } = InitiateCall::parse(&body.object)?;
    let (twilio, ultravox) = configurations(&context, &caller, company).await?;
    let to = destination.unwrap_or_else(|| twilio.phone_number.clone());
    may_call(&context, company, &to).await?;

    let UltravoxConfig { account, system_prompt, model, voice, first_speaker, .. } = ultravox;
    let source = AgentSource::Inline { system_prompt, model, voice, first_speaker };
    let outbound = Outbound { company, to, twilio, ultravox: account, source, agent: None };
    let wish = Wish { key, company, route: request.path().to_owned(), body: &body.object };
    let here = context.clone();
    once(&context, wish, move |call| async move {
        let Dialled { call_sid, join_url, .. } = dial(&here, call, outbound).await?;
        Ok(HttpResponse::Ok().json(InitiatedBody {
            message: "Call initiated successfully",
            call_sid: call_sid.as_str(),
            join_url: join_url.expose_secret(),
        }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<InitiateCall, ApiError> {
        let body: Value = serde_json::from_str(body).expect("JSON");
        InitiateCall::parse(body.as_object().expect("an object"))
    }

    fn error_of(body: &str) -> String {
        parse(body).expect_err(body).to_string()
    }

    #[test]
    fn reads_the_documented_example() {
        let body = r#"{"companyId": 1, "destinationNumber": "+919398178764"}"#;
        let asked = parse(body).expect("valid");
        assert_eq!(asked.company, CompanyId(1));
        assert_eq!(asked.destination.expect("given").as_str(), "+919398178764");
        assert_eq!(parse(r#"{"companyId":7}"#).expect("valid").destination, None);
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        assert_eq!(error_of("{}"), "Company ID is required");
        assert_eq!(error_of(r#"{"companyId":null}"#), "Company ID is required");
        for id in ["0", "-1", "1.5", "\"1\"", "[]", "99999999999999999999"] {
            let body = format!(r#"{{"companyId":{id}}}"#);
            assert_eq!(error_of(&body), "companyId must be a positive integer");
        }
        assert_eq!(
            error_of(r#"{"companyId":1,"destinationNumber":12}"#),
            "destinationNumber must be a string"
        );
        assert!(
            error_of(r#"{"companyId":1,"destinationNumber":"+1"}"#)
                .starts_with("destinationNumber must be 8 to 18 characters")
        );
    }
}
