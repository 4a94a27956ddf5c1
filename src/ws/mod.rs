//! The endpoint Twilio streams media to.
//!
//! Letting a stream in takes three proofs: the upgrade is signed by Twilio for this very URL, the
//! call named in the path waits for its one stream, and `start` shows the call's one-time token.
//! The pump that then owns both sockets runs here, on the worker that accepted Twilio's: audio that
//! never changes threads is never late for a lock.

mod buffers;
mod meters;
mod pump;
mod socket;
mod upgrade;

use actix_http::ws::handshake;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::call_session::OpenStream;
use tracing::{info, warn};

use crate::startup::Context;
use crate::webhooks;
use crate::webhooks::signature::SignedBody;

pub(crate) use socket::{Connection, Socket};
use upgrade::Admitted;
pub(crate) use upgrade::{Upgrades, service as upgrades};

/// Serves `GET /media/{call_id}`. What it answers is sent by [`upgrade`], which then takes the
/// connection over.
pub(crate) async fn media(
    request: HttpRequest,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> HttpResponse {
    let refuse = |status: StatusCode, reason: &'static str| {
        context.metrics.webhooks_rejected.with_label_values(&[reason]).inc();
        info!(reason, "a media socket was turned away");
        HttpResponse::build(status).body(reason)
    };
    let Some((id, account, call)) =
        path.parse().ok().and_then(|id| context.registry.get(id).map(|(a, c)| (id, a, c)))
    else {
        return refuse(StatusCode::NOT_FOUND, "unknown_call");
    };
    let signed = webhooks::check_signature(&context, &request, &account, SignedBody::Upgrade);
    if let Err(bad) = signed {
        return refuse(StatusCode::FORBIDDEN, bad.label());
    }
    if !request.headers().contains_key(header::UPGRADE) {
        return refuse(StatusCode::UPGRADE_REQUIRED, "not_a_websocket");
    }
    let mut response = match handshake(request.head()) {
        Ok(mut response) => HttpResponse::from(response.finish().map_into_boxed_body()),
        Err(error) => {
            warn!(call.id = %id, %error, "a media socket could not be upgraded");
            return refuse(StatusCode::BAD_REQUEST, "bad_upgrade");
        }
    };
    let ticket = match call.send(OpenStream).await {
        Ok(Ok(ticket)) => ticket,
        Ok(Err(_)) => return refuse(StatusCode::CONFLICT, "stream_not_expected"),
        Err(_) => return refuse(StatusCode::NOT_FOUND, "unknown_call"),
    };
    response.extensions_mut().insert(Admitted { id, ticket, context: context.clone() });
    response
}
