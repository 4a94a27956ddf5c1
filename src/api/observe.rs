//! Counts and times every request, by route pattern: an id in a path is no label. Requests of the
//! API are remembered one by one too, for the metrics routes.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, web};
use actors::ids::CompanyId;
use jiff::Timestamp;
use tracing::info;

use crate::startup::Context;
use crate::store::ApiCall;

use super::auth::Caller;

/// Longest path that is remembered: clients choose them.
const ENDPOINT_CHARS: usize = 200;

/// The middleware.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (began, at) = (Instant::now(), Timestamp::now());
    let context = request.app_data::<web::Data<Context>>().cloned();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = known_method(request.method().as_str());
    let path = request.path();
    let endpoint = is_remembered(path).then(|| shown(path));
    let response = next.call(request).await;
    if let Some(context) = context {
        let status = match &response {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let duration = began.elapsed();
        context.metrics.http_request(&route, method, status.as_u16(), duration);
        if let Some(endpoint) = endpoint {
            let duration_ms = duration.as_millis();
            info!(
                http.route = route,
                http.status = status.as_u16(),
                duration_ms,
                "{method} {endpoint} answered {status}"
            );
            let method = method.to_owned();
            let company = response.as_ref().ok().and_then(company);
            let status = status.as_u16();
            context.recorder.record(ApiCall { company, at, method, endpoint, status, duration });
        }
    }
    response
}

/// Requests of the API; not the questions after its health, which are asked all the time.
fn is_remembered(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/health")
}

/// A path as it may be remembered: without a number that somebody does not want to be called at.
fn shown(path: &str) -> String {
    const OF_NUMBERS: &str = "/api/v1/do-not-call/";
    match path.starts_with(OF_NUMBERS) {
        true => format!("{OF_NUMBERS}{{phone_number}}"),
        false => path.chars().take(ENDPOINT_CHARS).collect(),
    }
}

/// Whose request it was. What an administrator asks is nobody's, whichever company he names: he may
/// name any number.
fn company(response: &ServiceResponse<impl MessageBody>) -> Option<CompanyId> {
    response.request().extensions().get::<Caller>()?.company()
}

/// Methods are chosen by the client, and labels must stay few.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}
