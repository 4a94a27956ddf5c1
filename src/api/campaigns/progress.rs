//! How a campaign gets on, told to whoever listens (server-sent events).
//!
//! However many listen to a campaign, the database is asked about it once a second; nobody is asked
//! about a campaign that nobody listens to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::ids::{CampaignId, CompanyId};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;
use utoipa::ToSchema;

use crate::api::auth::Acting;
use crate::api::error::ApiError;
use crate::startup::Context;
use crate::store::{CampaignCounts, CampaignRow};

use super::schema::{CampaignIdParam, ProgressBody, any_state};
use super::{look, path_id};

/// Listeners of one node. Each holds a connection for hours, and connections are for calls.
const MAX_LISTENERS: usize = 200;
/// How often a campaign is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Proxies close connections that are silent, most of them after a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What an event says.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignEvent)]
struct EventBody {
    /// The campaign.
    id: String,
    /// How it stands.
    #[schema(schema_with = any_state)]
    state: &'static str,
    /// Why it is paused, when nobody asked for that.
    cause: Option<String>,
    /// Recipients of the upload.
    total: u64,
    /// Recipients that were done with in the last minute.
    rate_per_minute: f64,
    #[serde(flatten)]
    progress: ProgressBody,
}

/// Tells how a campaign gets on, at once and then whenever that has changed: `event: progress`, with
/// JSON in `data`. When it is over, `event: end` says the same for the last time.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{id}/events", tag = "campaigns",
    params(CampaignIdParam),
    responses((status = 200, description = "Events, as they come", body = String,
        content_type = "text/event-stream"))
)]
pub(crate) async fn events(
    acting: Acting,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (company, id) = (acting.0, path_id(&request)?);
    let seat = Arc::clone(&context.watchers.seats).try_acquire_owned().map_err(|_| {
        let message = format!("{MAX_LISTENERS} listen already on this node; ask from time to time");
        ApiError::unavailable("too_many_listeners", message, Some(SIGN_OF_LIFE))
    })?;
    let (row, counts) = look(&context, company, id).await?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Proxies of nginx's kind keep events back until there is a page of them.
        .insert_header(("X-Accel-Buffering", "no"));
    if request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    let news = join(&context, company, id, Look::new(&row, &counts));
    Ok(answer.streaming(told(news, seat)))
}

/// Who listens to which campaign on this node.
pub(crate) struct Watchers {
    rooms: Mutex<HashMap<CampaignId, watch::Sender<Look>>>,
    seats: Arc<Semaphore>,
}

impl Default for Watchers {
    fn default() -> Self {
        Watchers { rooms: Mutex::default(), seats: Arc::new(Semaphore::new(MAX_LISTENERS)) }
    }
}

/// How a campaign stood when it was looked at.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    /// One line of JSON.
    json: Arc<str>,
    is_final: bool,
}

impl Look {
    fn new(row: &CampaignRow, counts: &CampaignCounts) -> Self {
        let body = EventBody {
            id: row.id.to_string(),
            state: row.state.as_str(),
            cause: row.cause.clone(),
            total: row.recipients,
            rate_per_minute: row.pace,
            progress: ProgressBody::new(row, counts),
        };
        let json = serde_json::to_string(&body).expect("plain data");
        Look { json: json.into(), is_final: row.state.is_final() }
    }

    /// Says whether that is news.
    fn learn(&mut self, look: Look) -> bool {
        let is_news = *self != look;
        *self = look;
        is_news
    }

    fn event(&self) -> Bytes {
        let kind = if self.is_final { "end" } else { "progress" };
        Bytes::from(format!("event: {kind}\ndata: {}\n\n", self.json))
    }
}

/// Begins to listen. Who is the first has the campaign looked at from now on.
fn join(
    context: &web::Data<Context>,
    company: CompanyId,
    id: CampaignId,
    look: Look,
) -> watch::Receiver<Look> {
    let mut rooms = context.watchers.rooms.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(room) = rooms.get(&id) {
        // What is known there may be older than the change that somebody comes to see.
        room.send_if_modified(|known| known.learn(look));
        return room.subscribe();
    }
    let (room, news) = watch::channel(look);
    rooms.insert(id, room);
    actix_web::rt::spawn(watch_campaign(context.clone(), company, id));
    news
}

/// Looks at a campaign for as long as anybody listens, and it is not over.
async fn watch_campaign(context: web::Data<Context>, company: CompanyId, id: CampaignId) {
    let mut ticks = ticks(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let seen = match look(&context, company, id).await {
            Ok((row, counts)) => Some(Look::new(&row, &counts)),
            // The next look may succeed.
            Err(error) if error.is_fault() => {
                debug!(%error, "campaign {id} could not be looked at: {error}");
                continue;
            }
            Err(_) => None,
        };
        let mut rooms = context.watchers.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = rooms.get(&id).is_some_and(|room| room.receiver_count() > 0);
        match seen.filter(|_| is_wanted && !context.registry.is_draining()) {
            Some(look) => {
                let is_final = look.is_final;
                if let Some(room) = rooms.get(&id) {
                    room.send_if_modified(|known| known.learn(look));
                }
                if is_final {
                    rooms.remove(&id);
                    return;
                }
            }
            // Whoever still listens comes again, here or at another node.
            None => {
                rooms.remove(&id);
                return;
            }
        }
    }
}

/// One listener.
struct Listener {
    news: watch::Receiver<Look>,
    sign_of_life: Interval,
    is_over: bool,
    _seat: OwnedSemaphorePermit,
}

/// What a listener is told.
fn told(
    mut news: watch::Receiver<Look>,
    seat: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    news.mark_changed();
    let mut sign_of_life = ticks(SIGN_OF_LIFE);
    sign_of_life.reset();
    let listener = Listener { news, sign_of_life, is_over: false, _seat: seat };
    stream::unfold(listener, |mut listener| async move {
        if listener.is_over {
            return None;
        }
        let text = tokio::select! {
            changed = listener.news.changed() => {
                changed.ok()?;
                let look = listener.news.borrow_and_update().clone();
                listener.is_over = look.is_final;
                listener.sign_of_life.reset();
                look.event()
            }
            _ = listener.sign_of_life.tick() => Bytes::from_static(b": still here\n\n"),
        };
        Some((Ok(text), listener))
    })
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
