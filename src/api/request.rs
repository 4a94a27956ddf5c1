//! What one request is known by while it is worked on: its id, and in which API's words to answer.
//!
//! Both are kept beside the task, so that an error made anywhere below a handler can be written as
//! the client's document says, and every log line of the request carries the id.

use std::sync::Arc;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use tracing::{Instrument as _, info_span};
use uuid::Uuid;

/// Taken from the client, or made, and always given back.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over.
const ID_CHARS: usize = 128;

/// Which document an error is written after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The integration API: an object with type, message, details, time and request id.
    Platform,
    /// The call routes: `{"error": "…"}`.
    CallRoutes,
}

impl Dialect {
    fn of(path: &str) -> Self {
        let call_routes = path.starts_with("/api/ultravox-calls") || path.starts_with("/bulk-");
        if call_routes { Dialect::CallRoutes } else { Dialect::Platform }
    }
}

/// The request that is being worked on.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) id: Arc<str>,
    pub(crate) dialect: Dialect,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// The request this task works on.
pub(crate) fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs something for a request in a task of its own.
pub(crate) async fn on_behalf<T>(request: Option<Current>, work: impl Future<Output = T>) -> T {
    let Some(request) = request else { return work.await };
    let span = info_span!("request", request.id = %request.id);
    CURRENT.scope(request, work).instrument(span).await
}

/// The outermost middleware.
pub(crate) async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let id: Arc<str> = match given.filter(|id| is_id(id)) {
        Some(id) => id.into(),
        None => Uuid::now_v7().to_string().into(),
    };
    let header = HeaderValue::from_str(&id).expect("it is visible ASCII");
    let current = Current { id, dialect: Dialect::of(request.path()) };
    let mut response = on_behalf(Some(current), next.call(request)).await?;
    response.headers_mut().insert(HEADER, header);
    Ok(response)
}

/// What may be repeated in a header, a body and a log line without harm.
fn is_id(given: &str) -> bool {
    (1..=ID_CHARS).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(is_id("0198c2a4-7d1e") && is_id(&"x".repeat(128)));
        for bad in ["", "two words", "zeile\n", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn each_document_has_its_words() {
        assert_eq!(Dialect::of("/api/ultravox-calls/initiate-call"), Dialect::CallRoutes);
        assert_eq!(Dialect::of("/bulk-calls-sequential"), Dialect::CallRoutes);
        assert_eq!(Dialect::of("/api/v1/agents"), Dialect::Platform);
        assert_eq!(Dialect::of("/nowhere"), Dialect::Platform);
    }
}
