//! The REST API: credentials, routes, faults, and the headers of every answer.

mod create;
mod error;
mod list;
mod params;
mod resource;
mod update;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::error::ApiError;
use self::params::Params;
use super::account::Account;
use super::call::new_sid;
use super::faults::{RestFault, RestOperation};
use super::world::{RestRequest, World};

/// Longest that "never" lasts, so that a forgotten client does not keep the server from ending.
const NEVER: Duration = Duration::from_secs(600);

/// A second descriptor of a client's connection, to cut it off in mid-request.
struct Connection(socket2::Socket);

/// Keeps what is needed to cut a connection off.
pub(crate) fn remember_connection(connection: &dyn Any, data: &mut Extensions) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(tcp) = tls.or_else(|| connection.downcast_ref::<TcpStream>()) else { return };
    match socket2::SockRef::from(tcp).try_clone() {
        Ok(socket) => {
            data.insert(Connection(socket));
        }
        Err(error) => tracing::warn!(%error, "a REST connection cannot be cut off"),
    }
}

enum Route<'a> {
    Account,
    Calls,
    Call(&'a str),
}

/// Answers any request.
pub(crate) async fn answer(
    world: web::Data<World>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let world = world.into_inner();
    let began = Instant::now();
    let form = parse_pairs(&body);
    let credentials = credentials(&request);
    let index = world.log_request(RestRequest {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: parse_pairs(request.query_string().as_bytes()),
        form: form.clone(),
        user: credentials.as_ref().map(|(user, _)| user.clone()),
        status: None,
        at: began,
    });
    let (status, body, retry_after) = process(&world, &request, credentials, form).await;
    world.log_answer(index, status.as_u16());
    let mut response = HttpResponse::build(status);
    response
        .insert_header(("Twilio-Request-Id", new_sid("RQ")))
        .insert_header(("Twilio-Request-Duration", format!("{:.3}", began.elapsed().as_secs_f64())))
        .insert_header(("Twilio-Concurrent-Requests", "1"))
        .insert_header(("X-Home-Region", "us1"))
        .insert_header(("X-API-Domain", "api.twilio.com"))
        .insert_header(("X-Powered-By", "AT-5000"))
        .insert_header(("X-Shenanigans", "none"))
        .insert_header(("Strict-Transport-Security", "max-age=31536000"));
    if world.options.clock_ahead_seconds != 0 {
        let ahead = SignedDuration::from_secs(world.options.clock_ahead_seconds);
        let date = (Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
        response.insert_header((DATE, date.to_string()));
    }
    if let Some(after) = retry_after {
        response.insert_header(("Retry-After", after.as_secs().to_string()));
    }
    match body {
        Body::Json(json) => {
            response.insert_header((CONTENT_TYPE, "application/json")).body(json.to_string())
        }
        Body::Html(html) => response.insert_header((CONTENT_TYPE, "text/html")).body(html),
    }
}

enum Body {
    Json(Value),
    Html(&'static str),
}

const HTML: &str = "<html><head><title>Bad Gateway</title></head><body>upstream</body></html>";

type Reply = (StatusCode, Body, Option<Duration>);

async fn process(
    world: &Arc<World>,
    request: &HttpRequest,
    credentials: Option<(String, String)>,
    form: Vec<(String, String)>,
) -> Reply {
    let route = match authorise(world, request, credentials) {
        Ok(route) => route,
        Err(error) => return error.into_reply(),
    };
    let (account, route) = route;
    let Some(operation) = operation(request, &route) else {
        return ApiError::not_found(request.path()).into_reply();
    };
    let fault = world.take_rest_fault(operation);
    match &fault {
        Some(RestFault::TooManyRequests { retry_after }) => {
            let (status, body, _) = ApiError::new(429, 20_429, "Too Many Requests").into_reply();
            return (status, body, *retry_after);
        }
        Some(RestFault::Error { status, code, message }) => {
            return ApiError::new(*status, *code, message.clone()).into_reply();
        }
        Some(RestFault::Html { status }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            return (status, Body::Html(HTML), None);
        }
        Some(RestFault::NeverAnswers) => tokio::time::sleep(NEVER).await,
        Some(RestFault::Drop) => {
            cut_off(request);
            return (StatusCode::BAD_GATEWAY, Body::Html(HTML), None);
        }
        _ => {}
    }
    let result = perform(world, &account, request, &route, form);
    match fault {
        Some(RestFault::NeverAnswersAfterEffect) => tokio::time::sleep(NEVER).await,
        Some(RestFault::Slow(time)) => tokio::time::sleep(time).await,
        Some(RestFault::DropAfterEffect) => cut_off(request),
        _ => {}
    }
    match result {
        Ok((status, _)) if matches!(fault, Some(RestFault::Garbage)) => {
            (status, Body::Html(HTML), None)
        }
        Ok((status, json)) => (status, Body::Json(json), None),
        Err(error) => error.into_reply(),
    }
}

/// Who asks, and for what.
fn authorise<'a>(
    world: &Arc<World>,
    request: &'a HttpRequest,
    credentials: Option<(String, String)>,
) -> Result<(Arc<Account>, Route<'a>), ApiError> {
    let path = request.path();
    let (user, password) = credentials.ok_or_else(ApiError::unauthenticated)?;
    let account = world.authenticate(&user, &password).ok_or_else(ApiError::unauthenticated)?;
    let inner = path
        .strip_prefix("/2010-04-01/Accounts/")
        .and_then(|rest| rest.strip_suffix(".json"))
        .ok_or_else(|| ApiError::not_found(path))?;
    let (sid, rest) = inner.split_once('/').map_or((inner, None), |(sid, rest)| (sid, Some(rest)));
    if sid != account.options.sid {
        return Err(if world.account(sid).is_some() {
            ApiError::unauthenticated()
        } else {
            ApiError::not_found(path)
        });
    }
    let route = match rest {
        None => Route::Account,
        Some("Calls") => Route::Calls,
        Some(rest) => match rest.strip_prefix("Calls/") {
            Some(sid) if !sid.contains('/') => Route::Call(sid),
            _ => return Err(ApiError::not_found(path)),
        },
    };
    if account.options.status != "active" && !matches!(route, Route::Account) {
        return Err(ApiError::unauthenticated());
    }
    Ok((account, route))
}

fn operation(request: &HttpRequest, route: &Route<'_>) -> Option<RestOperation> {
    Some(match (request.method().as_str(), route) {
        ("GET", Route::Account) => RestOperation::FetchAccount,
        ("GET", Route::Calls) => RestOperation::ListCalls,
        ("POST", Route::Calls) => RestOperation::CreateCall,
        ("GET", Route::Call(_)) => RestOperation::FetchCall,
        ("POST", Route::Call(_)) => RestOperation::UpdateCall,
        _ => return None,
    })
}

fn perform(
    world: &Arc<World>,
    account: &Arc<Account>,
    request: &HttpRequest,
    route: &Route<'_>,
    form: Vec<(String, String)>,
) -> Result<(StatusCode, Value), ApiError> {
    if request.method() == "POST" {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            world.violation(None, format!("a POST to the REST API with content type {kind:?}"));
        }
    }
    let call_of = |sid: &str| {
        let call = world.call(sid).filter(|call| call.account_sid == account.options.sid);
        call.ok_or_else(|| ApiError::not_found(request.path()))
    };
    let delay = world.options.consistency_delay;
    let account_sid = &account.options.sid;
    Ok(match (request.method().as_str(), route) {
        ("POST", Route::Calls) => {
            let call = create::create(world, account, &Params::new(form))?;
            let phone_number = resource::number_sid(account, &call.from);
            (StatusCode::CREATED, resource::created(&call, phone_number))
        }
        ("POST", Route::Call(sid)) => {
            let call = call_of(sid)?;
            update::update(world, &call, &Params::new(form))?;
            let phone_number = resource::number_sid(account, &call.from);
            (StatusCode::OK, resource::seen(&call, phone_number, Duration::ZERO))
        }
        (_, Route::Call(sid)) => {
            let call = call_of(sid)?;
            let phone_number = resource::number_sid(account, &call.from);
            (StatusCode::OK, resource::seen(&call, phone_number, delay))
        }
        (_, Route::Calls) => {
            let query = parse_pairs(request.query_string().as_bytes());
            (StatusCode::OK, list::list(world, account, &Params::new(query))?)
        }
        (_, Route::Account) => {
            let json = json!({
                "sid": account_sid,
                "owner_account_sid": account_sid,
                "friendly_name": "Simulated account",
                "status": account.options.status,
                "type": "Full",
                "date_created": "Tue, 06 Oct 2026 12:00:00 +0000",
                "date_updated": "Tue, 06 Oct 2026 12:00:00 +0000",
                "uri": format!("/2010-04-01/Accounts/{account_sid}.json"),
                "subresource_uris": {
                    "calls": format!("/2010-04-01/Accounts/{account_sid}/Calls.json"),
                },
            });
            (StatusCode::OK, json)
        }
    })
}

fn cut_off(request: &HttpRequest) {
    if let Some(Connection(socket)) = request.conn_data::<Connection>() {
        // Fails when the client was quicker.
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}

fn credentials(request: &HttpRequest) -> Option<(String, String)> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn parse_pairs(raw: &[u8]) -> Vec<(String, String)> {
    serde_urlencoded::from_bytes(raw).unwrap_or_default()
}
