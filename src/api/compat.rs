//! The call routes document: camelCase bodies, errors as `{"error": "…"}`.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use actors::call_session::CallSpec;
use actors::ids::{CallId, CompanyId, PhoneNumber};
use actors::ports::{AgentSource, CallLog as _, TwilioAccount};
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;

use actors::call::{CallStatus, CallUpdate, EndReason};

use crate::startup::Context;
use crate::store::{Direction, NewCall, UltravoxConfig};
use crate::webhooks::paths;

use super::CompatError;
use super::auth::caller;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Initiated<'a> {
    message: &'static str,
    call_sid: &'a str,
    join_url: &'a str,
}

/// What the body of `initiate-call` asks for.
#[derive(Debug, PartialEq)]
struct InitiateCall {
    company: CompanyId,
    destination: Option<PhoneNumber>,
}

impl InitiateCall {
    fn parse(body: &[u8]) -> Result<Self, CompatError> {
        let body: Value = serde_json::from_slice(body).map_err(|error| {
            CompatError::bad_request(format!("The request body is not valid JSON: {error}"))
        })?;
        let Value::Object(body) = body else {
            return Err(CompatError::bad_request("The request body must be a JSON object"));
        };
        let company = match body.get("companyId") {
            None | Some(Value::Null) => {
                return Err(CompatError::bad_request("Company ID is required"));
            }
            Some(id) => id
                .as_i64()
                .filter(|id| *id > 0)
                .ok_or_else(|| CompatError::bad_request("companyId must be a positive integer"))?,
        };
        let destination = match body.get("destinationNumber") {
            None | Some(Value::Null) => None,
            Some(Value::String(number)) => Some(
                number
                    .parse()
                    .map_err(|why| CompatError::bad_request(format!("destinationNumber {why}")))?,
            ),
            Some(_) => {
                return Err(CompatError::bad_request("destinationNumber must be a string"));
            }
        };
        Ok(InitiateCall { company: CompanyId(company), destination })
    }
}

/// Serves `POST /api/ultravox-calls/initiate-call`.
pub(crate) async fn initiate_call(
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    context: web::Data<Context>,
) -> Result<HttpResponse, CompatError> {
    let caller = caller(&context, &request).await?;
    let body = body.map_err(|error| {
        let status = error.as_response_error().status_code();
        CompatError::new(status, format!("The request body cannot be read: {error}"))
    })?;
    let asked = InitiateCall::parse(&body)?;
    let no_twilio = || CompatError::not_found("Twilio configuration not found");
    if !caller.may_use(asked.company) {
        return Err(no_twilio());
    }
    let twilio = context.store.twilio_account(asked.company).await?.ok_or_else(no_twilio)?;
    let ultravox = context
        .store
        .ultravox_config(asked.company)
        .await?
        .ok_or_else(|| CompatError::not_found("Ultravox configuration not found"))?;
    context.registry.has_room()?;

    let spec = call_spec(&context, asked, twilio, ultravox);
    let id = spec.id;
    // Stored before anything is dialled, so that no crash forgets a call.
    context
        .store
        .insert_call(&NewCall {
            id,
            company: spec.company,
            node: context.node,
            to: spec.to.clone(),
            from: spec.twilio.phone_number.clone(),
            direction: Direction::Outbound,
            agent: None,
            at: Timestamp::now(),
        })
        .await?;
    let dialled = context.registry.start(spec).inspect_err(|refusal| {
        context.journal.record(
            id,
            CallUpdate::Ended {
                status: CallStatus::Failed,
                reason: EndReason::NotAccepted,
                detail: Some(refusal.to_string()),
                duration: None,
            },
        );
    })?;
    // A client that goes away meanwhile does not stop the call: its actor goes on.
    let placed = dialled.await.map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        CompatError::new(status, "The call could not be placed because of an internal error")
    })??;
    Ok(HttpResponse::Ok().json(Initiated {
        message: "Call initiated successfully",
        call_sid: placed.call_sid.as_str(),
        join_url: placed.join_url.expose_secret(),
    }))
}

/// Answers whatever is not a `POST`.
pub(crate) async fn post_only() -> HttpResponse {
    let refusal = CompatError::new(StatusCode::METHOD_NOT_ALLOWED, "This route takes POST only");
    let mut response = refusal.error_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn call_spec(
    context: &Context,
    asked: InitiateCall,
    twilio: TwilioAccount,
    ultravox: UltravoxConfig,
) -> CallSpec {
    let id = CallId::generate();
    CallSpec {
        id,
        company: asked.company,
        to: asked.destination.unwrap_or_else(|| twilio.phone_number.clone()),
        twilio,
        answer_url: context.public_url.http(&paths::answer(id)),
        status_url: context.public_url.http(&paths::status(id)),
        ring_timeout: context.ring_timeout,
        max_duration: context.max_call,
        ultravox: ultravox.account,
        agent: AgentSource::Inline {
            system_prompt: ultravox.system_prompt,
            model: ultravox.model,
            voice: ultravox.voice,
            first_speaker: ultravox.first_speaker,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(body: &str) -> String {
        InitiateCall::parse(body.as_bytes()).expect_err(body).to_string()
    }

    #[test]
    fn reads_the_documented_example() {
        let body = br#"{"companyId": 1, "destinationNumber": "+919398178764"}"#;
        let asked = InitiateCall::parse(body).expect("valid");
        assert_eq!(asked.company, CompanyId(1));
        assert_eq!(asked.destination.expect("given").as_str(), "+919398178764");
        assert_eq!(InitiateCall::parse(br#"{"companyId":7}"#).expect("valid").destination, None);
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        assert_eq!(error_of("{}"), "Company ID is required");
        assert_eq!(error_of(r#"{"companyId":null}"#), "Company ID is required");
        for id in ["0", "-1", "1.5", "\"1\"", "[]", "99999999999999999999"] {
            let body = format!(r#"{{"companyId":{id}}}"#);
            assert_eq!(error_of(&body), "companyId must be a positive integer");
        }
        assert!(error_of("{").starts_with("The request body is not valid JSON: "));
        assert_eq!(error_of("[1]"), "The request body must be a JSON object");
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
