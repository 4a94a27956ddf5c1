//! What platforms ask: metrics and probes.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::startup::Context;

/// Serves `GET /metrics`, behind a bearer token where one is configured.
pub(crate) async fn metrics(request: HttpRequest, context: web::Data<Context>) -> HttpResponse {
    if let Some(token) = &context.metrics_token {
        let shown = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
        // The scheme's name may be written in any case (RFC 9110, section 11.1).
        let shown = shown.and_then(|value| value.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let shown = shown.map_or("", |(_, token)| token);
        if !bool::from(shown.as_bytes().ct_eq(token.expose_secret().as_bytes())) {
            return HttpResponse::Unauthorized()
                .insert_header(("WWW-Authenticate", "Bearer"))
                .body("metrics need their bearer token");
        }
    }
    let backlog = i64::try_from(context.journal.backlog()).unwrap_or(i64::MAX);
    context.metrics.journal_backlog.set(backlog);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(context.metrics.render())
}

/// Serves `GET /healthz`: the process runs and its event loop turns.
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Serves `GET /readyz`: calls are taken on, and their state can be stored.
pub(crate) async fn readyz(context: web::Data<Context>) -> HttpResponse {
    let draining = context.registry.is_draining();
    let database = context.store.ping().await;
    let is_ready = !draining && database.is_ok();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(json!({
        "status": if is_ready { "ready" } else { "not ready" },
        "draining": draining,
        "database": if database.is_ok() { "ok" } else { "unavailable" },
        "calls": context.registry.count(),
    }))
}
