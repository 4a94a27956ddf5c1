//! Work that goes on when the client goes away.

use super::error::ApiError;
use super::request::{current, on_behalf};

/// Runs to its end even when nobody waits for it any more.
pub(crate) async fn run<T: 'static>(
    work: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Result<T, ApiError> {
    let task = actix_web::rt::spawn(on_behalf(current(), work));
    task.await.unwrap_or_else(|_| Err(ApiError::internal("Internal server error")))
}
