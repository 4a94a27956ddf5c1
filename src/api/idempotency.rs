//! `Idempotency-Key`: a request that dials is carried out once, however often it is sent.
//!
//! The key is claimed in the database before anything is dialled, so two nodes never both dial. Who
//! comes second gets the first one's answer, waiting for it when it is still under way. What failed
//! before anything was asked of a vendor leaves the key free, so that the client can try again.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::body::MessageBody as _;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError as _, web};
use actors::ids::{CallId, CompanyId};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tracing::warn;
use utoipa::IntoParams;

use crate::recovery::DEAD_AFTER;
use crate::startup::Context;
use crate::store::{Claim, IDEMPOTENCY_LIFE, IdempotentRequest};

use super::detached;
use super::error::ApiError;

const HEADER: &str = "Idempotency-Key";
/// On an answer that was given before.
const REPLAYED: (&str, &str) = ("Idempotent-Replayed", "true");
const KEY_CHARS: std::ops::RangeInclusive<usize> = 1..=255;
/// How often an answer that is under way is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it is waited for. Dialling with all its retries takes less.
const WAIT: Duration = Duration::from_secs(60);
/// How often old answers are thrown away.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

/// The key a client gave, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get(HEADER) else {
            return ready(Ok(IdempotencyKey(None)));
        };
        let is_key = |key: &&str| {
            KEY_CHARS.contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let key = value.to_str().ok().filter(is_key);
        let why = "must have 1 to 255 visible ASCII characters";
        let key = key.ok_or_else(|| ApiError::invalid_field(HEADER, why));
        ready(key.map(|key| IdempotencyKey(Some(key.to_owned()))))
    }
}

impl IdempotencyKey {
    /// Whether there is one.
    pub(crate) fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

/// The same for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyKeyParam {
    /// The same key and body get the first answer again, for 24 hours; the key with another body
    /// is refused with 409.
    #[expect(dead_code, reason = "only described")]
    #[param(
        rename = "Idempotency-Key",
        // Blanks around a header's value are no part of it.
        pattern = "^[ \\t]*[!-~]{1,255}[ \\t]*$"
    )]
    idempotency_key: Option<String>,
}

/// What is asked for, whoever asks and however often.
pub(crate) struct Wish<'a> {
    pub(crate) key: IdempotencyKey,
    pub(crate) company: CompanyId,
    pub(crate) route: String,
    pub(crate) body: &'a Map<String, Value>,
}

/// Carries a wish out, once for its key. `work` goes on when the client goes away.
pub(crate) async fn once<W, F>(
    context: &web::Data<Context>,
    wish: Wish<'_>,
    work: W,
) -> Result<HttpResponse, ApiError>
where
    W: FnOnce(CallId) -> F + 'static,
    F: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    // Nobody can know how far a node came that is gone.
    let resume = |call| ready(Err(ApiError::interrupted_dial(call)));
    once_resumed(context, wish, WAIT, work, resume).await
}

/// The same for work that may take hours: who asks again meanwhile waits no longer than `patience`,
/// and work whose node is gone is gone on with by `resume`.
pub(crate) async fn once_resumed<W, F, R, G>(
    context: &web::Data<Context>,
    wish: Wish<'_>,
    patience: Duration,
    work: W,
    resume: R,
) -> Result<HttpResponse, ApiError>
where
    W: FnOnce(CallId) -> F + 'static,
    F: Future<Output = Result<HttpResponse, ApiError>> + 'static,
    R: FnOnce(CallId) -> G + 'static,
    G: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    let id = CallId::generate();
    let Some(key) = wish.key.0 else {
        return detached::run(work(id)).await;
    };
    let request = IdempotentRequest {
        company: wish.company,
        key,
        route: wish.route,
        body_hash: hash(wish.body),
        node: context.node,
        call: Some(id),
        at: Timestamp::now(),
    };
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match context.store.claim_idempotency(&request).await? {
            Claim::Mine => {
                let context = context.clone();
                return detached::run(async move { claimed(&context, request, work(id)).await })
                    .await;
            }
            Claim::Done { status, body } => return Ok(replay(status, body)),
            Claim::OtherRequest => {
                let message = "This Idempotency-Key was used with another request; use a new one";
                return Err(ApiError::conflict("idempotency_key_reused", message));
            }
            Claim::Running { node, call, since } => {
                let alive_since = Timestamp::now() - DEAD_AFTER;
                let call = call.unwrap_or(id);
                if !context.store.is_node_alive(node, alive_since).await? {
                    let mine = IdempotentRequest { call: Some(call), ..request.clone() };
                    if context.store.take_over_idempotency(&mine, node, since).await? {
                        let context = context.clone();
                        return detached::run(async move {
                            claimed(&context, mine, resume(call)).await
                        })
                        .await;
                    }
                }
            }
        }
        if tokio::time::Instant::now() >= deadline {
            let message = "The first request with this Idempotency-Key is still under way";
            return Err(ApiError::conflict("idempotency_key_in_use", message)
                .retry_after(Duration::from_secs(1)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Throws old answers away, for as long as the service runs.
pub(crate) async fn purge(context: web::Data<Context>) {
    let mut ticks = tokio::time::interval(PURGE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) =
            context.store.purge_idempotency(Timestamp::now() - IDEMPOTENCY_LIFE).await
        {
            warn!(%error, "old answers to idempotent requests are not deleted yet");
        }
    }
}

/// Does the work under a claimed key and remembers its answer, or gives the key back.
async fn claimed(
    context: &Context,
    request: IdempotentRequest,
    work: impl Future<Output = Result<HttpResponse, ApiError>>,
) -> Result<HttpResponse, ApiError> {
    let (company, key) = (request.company, &request.key);
    let answer = match work.await {
        Err(error) if !error.is_outcome() => {
            if let Err(error) = context.store.release_idempotency(company, key).await {
                warn!(%error, "an Idempotency-Key is not free again");
            }
            return Err(error);
        }
        Ok(answer) => answer,
        Err(error) => error.error_response(),
    };
    let (status, content_type) = (answer.status(), ContentType::json());
    let body = answer
        .into_body()
        .try_into_bytes()
        .map_err(|_| ApiError::internal("The answer could not be read"))?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let stored = context.store.finish_idempotency(company, key, status.as_u16(), &text).await;
    if let Err(error) = stored {
        warn!(%error, "an answer is not remembered; its Idempotency-Key stays taken");
    }
    Ok(HttpResponse::build(status).insert_header(content_type).body(text))
}

fn replay(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut answer = HttpResponse::build(status);
    answer.insert_header(ContentType::json()).insert_header(REPLAYED).body(body)
}

/// Of what the body says, not of how it is written.
pub(crate) fn hash(body: &Map<String, Value>) -> String {
    let mut keys: Vec<&String> = body.keys().collect();
    keys.sort();
    let mut digest = Sha256::new();
    for key in keys {
        digest.update(Value::from(key.as_str()).to_string());
        digest.update(b":");
        digest.update(body[key].to_string());
        digest.update(b",");
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
