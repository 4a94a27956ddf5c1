//! Counts and times every request, by route pattern: an id in a path is no label.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::startup::Context;

/// The middleware.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let context = request.app_data::<web::Data<Context>>().cloned();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = known_method(request.method().as_str());
    let response = next.call(request).await;
    if let Some(context) = context {
        let status = match &response {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        context.metrics.http_request(&route, method, status.as_u16(), began.elapsed());
    }
    response
}

/// Methods are chosen by the client, and labels must stay few.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}
