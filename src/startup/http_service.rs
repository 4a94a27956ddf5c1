//! The actor that owns the HTTP server: lets it run, drains it, stops it.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt as _, WrapFuture as _};
use actix::{Actor, ActorContext as _, AsyncContext as _, Handler, Message, ResponseFuture};
use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use actors::call::EndReason;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::Context;

/// How long calls may take to end once they are told to: hanging up and closing, with retries.
const END_LIMIT: Duration = Duration::from_secs(15);
/// How long the last changes may take to reach the database.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// No new calls; stop when the live ones have ended, or this time is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Drain {
    pub(crate) grace: Duration,
}

/// Wait no longer for live calls.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Hurry;

/// Owns the actix-web server.
pub struct HttpService {
    server: Option<Server>,
    handle: ServerHandle,
    context: web::Data<Context>,
    hurry: Arc<Notify>,
}

impl HttpService {
    pub(super) fn new(server: Server, context: web::Data<Context>) -> Self {
        HttpService {
            handle: server.handle(),
            server: Some(server),
            context,
            hurry: Arc::default(),
        }
    }
}

impl Actor for HttpService {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let server = self.server.take().expect("an actor starts once");
        ctx.spawn(server.into_actor(self).map(|ended, _, ctx| {
            if let Err(error) = ended {
                error!(%error, "the HTTP server failed");
            }
            ctx.stop();
        }));
    }
}

impl Handler<Drain> for HttpService {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Drain { grace }: Drain, _: &mut Self::Context) -> Self::Result {
        let (context, handle) = (self.context.clone(), self.handle.clone());
        let hurry = Arc::clone(&self.hurry);
        Box::pin(async move {
            let registry = &context.registry;
            registry.drain();
            info!(calls = registry.count(), "draining: no new calls, live ones may finish");
            tokio::select! {
                () = registry.emptied() => {}
                () = tokio::time::sleep(grace) => {}
                () = hurry.notified() => {}
            }
            let left = registry.count();
            if left > 0 {
                warn!(calls = left, "hanging up {left} calls that have not ended");
                registry.end_all(EndReason::ShutDown);
                if tokio::time::timeout(END_LIMIT, registry.emptied()).await.is_err() {
                    error!(calls = registry.count(), "some calls did not end in time");
                }
            }
            if tokio::time::timeout(END_LIMIT, context.campaigns.emptied()).await.is_err() {
                error!("some campaigns did not store how they stand");
            }
            // While the server's threads still run: they drive connections of the database.
            if !context.journal.flush(FLUSH_LIMIT).await {
                error!(entries = context.journal.backlog(), "not all state of calls was written");
            }
            context.recorder.flush().await;
            if let Err(error) = context.store.unregister(context.node).await {
                warn!(%error, "this node could not say that it stops");
            }
            handle.stop(true).await;
            info!("stopped");
        })
    }
}

impl Handler<Hurry> for HttpService {
    type Result = ();

    fn handle(&mut self, _: Hurry, _: &mut Self::Context) {
        self.hurry.notify_one();
    }
}
