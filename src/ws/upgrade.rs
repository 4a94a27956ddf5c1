//! How a media socket is taken over from the HTTP server.
//!
//! The server hands every request for an upgrade to [`service`], connection and all. The app answers
//! it like any other request, middleware and routes included. If the answer lets a stream in, it
//! carries what the pump needs, and the pump goes on with the bare connection: between a frame and
//! the pump stands nothing that would copy it or wake another task.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use actix_codec::Framed;
use actix_http::body::{self, MessageBody};
use actix_http::h1::{Codec, Message};
use actix_http::{ConnectionType, Request, Response};
use actix_service::IntoServiceFactory;
use actix_service::boxed::{self, BoxServiceFactory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory, ServiceResponse, fn_factory, fn_service};
use actix_web::{Error, web};
use actors::call::EndReason;
use actors::ids::CallId;
use actors::protocol::websocket::Role;
use actors::stream::StreamTicket;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tracing::debug;

use crate::startup::Context;

use super::pump::Pump;
use super::socket::{Connection, Socket};

/// Largest message taken from Twilio. Real ones have about 400 bytes.
const MESSAGE_BYTES_MOST: usize = 64 * 1024;

/// A stream that was let in. The answer to its upgrade carries this.
pub(super) struct Admitted {
    pub(super) id: CallId,
    pub(super) ticket: StreamTicket,
    pub(super) context: web::Data<Context>,
}

impl Admitted {
    /// The pump for it, on the bare connection.
    fn pump<C: Connection + 'static>(self, framed: Framed<C, Codec>) -> Pump {
        let parts = framed.into_parts();
        let early = parts.read_buf.to_vec();
        let phone = Socket::new(Box::new(parts.io), Role::Server, MESSAGE_BYTES_MOST, early);
        let (connector, metrics) = (self.context.connector.clone(), self.context.metrics.clone());
        Pump::new(self.id, self.ticket, phone, connector, metrics)
    }
}

/// A request for an upgrade, and the connection it came on.
type Upgraded<C> = (Request, Framed<C, Codec>);
/// Serves requests for an upgrade.
pub(crate) type Upgrades<C> = BoxServiceFactory<(), Upgraded<C>, (), Infallible, ()>;

/// Serves requests for an upgrade by an app of its own.
pub(crate) fn service<A, F, B, C>(app: impl Fn() -> A + 'static) -> Upgrades<C>
where
    A: IntoServiceFactory<F, Request>,
    F: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
    C: Connection + 'static,
{
    boxed::factory(fn_factory(move || {
        let app = app().into_factory().new_service(AppConfig::default());
        async move {
            let app = Rc::new(app.await?);
            Ok(fn_service(move |(request, framed): Upgraded<C>| {
                let app = Rc::clone(&app);
                async move {
                    match app.call(request).await {
                        Ok(response) => answer(framed, response.map_into_boxed_body()).await,
                        Err(error) => refuse(framed, error.error_response().into()).await,
                    }
                    Ok(())
                }
            }))
        }
    }))
}

/// Sends an answer, and goes on with the stream if it let one in.
async fn answer<C: Connection + 'static>(
    mut framed: Framed<C, Codec>,
    response: ServiceResponse<BoxBody>,
) {
    let (request, mut response) = response.into_parts();
    drop(request);
    let Some(admitted) = response.extensions_mut().remove::<Admitted>() else {
        return refuse(framed, response.into()).await;
    };
    if let Err(error) = send(&mut framed, response.into()).await {
        let id = admitted.id;
        debug!(call.id = %id, %error, "the stream of call {id} was gone before it was let in");
        return admitted.ticket.reporter.over(EndReason::PhoneLost);
    }
    // A task of its own keeps nothing of what HTTP needed; the server counts the connection still.
    let _ = actix_web::rt::spawn(admitted.pump(framed).run()).await;
}

/// Sends an answer that is the last on its connection, and says so: who would use it again might
/// find it gone.
async fn refuse<C: Connection>(mut framed: Framed<C, Codec>, mut response: Response<BoxBody>) {
    response.head_mut().set_connection_type(ConnectionType::Close);
    if let Err(error) = send(&mut framed, response).await {
        return debug!(%error, "a request for an upgrade was not answered");
    }
    let mut connection = framed.into_parts().io;
    // Whoever has gone already needs no goodbye.
    let _ = poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx)).await;
}

async fn send<C: Connection>(
    framed: &mut Framed<C, Codec>,
    response: Response<BoxBody>,
) -> Result<(), Error> {
    let (head, body) = response.into_parts();
    let size = body.size();
    framed.send(Message::Item((head, size))).await?;
    let bytes: Bytes = body::to_bytes(body).await.map_err(Error::from)?;
    if !bytes.is_empty() {
        framed.send(Message::Chunk(Some(bytes))).await?;
        framed.send(Message::Chunk(None)).await?;
    }
    Ok(())
}
