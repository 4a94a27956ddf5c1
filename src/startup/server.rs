//! The HTTP server: its routes, limits and address.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::h1::ExpectHandler;
use actix_http::{HttpService, Request};
use actix_server::GracefulShutdownSignal;
use actix_service::IntoServiceFactory;
use actix_service::boxed::{self, BoxServiceFactory};
use actix_web::body::MessageBody;
use actix_web::dev::{
    AppConfig, Server, ServiceFactory, ServiceRequest, ServiceResponse, fn_factory,
};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, web};

use crate::api::{self, docs, identify, observe, platform, unknown_route};
use crate::config::Config;
use crate::webhooks::{self, paths};
use crate::ws::{self, Connection, Upgrades};

use super::{Context, StartupError, tls};

/// Largest body of a webhook. Twilio's have about a kilobyte.
const WEBHOOK_BYTES: usize = 64 * 1024;
/// How long open requests may take to finish when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long a client may take to take leave of us.
const DISCONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Serves requests.
type Requests<B> = BoxServiceFactory<(), Request, ServiceResponse<B>, Error, ()>;

/// Takes the address, so that nobody else can, and says which it is.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartupError> {
    let cannot = |source| StartupError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    Ok((listener, bound))
}

/// Prepares the server, which runs once it is awaited.
pub(super) fn prepare(
    config: &Config,
    listener: TcpListener,
    context: web::Data<Context>,
) -> Result<Server, StartupError> {
    let address = config.bind;
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    let app = move || app(context.clone());
    let builder = Server::build()
        .workers(config.workers.get())
        .disable_signals()
        .shutdown_timeout(STOP_LIMIT.as_secs());
    let stopping = builder.graceful_shutdown_signal();
    let server = match tls {
        Some(tls) => builder.listen("https", listener, move || {
            http(app.clone(), stopping.clone()).rustls_0_23(tls.clone())
        }),
        None => builder.listen("http", listener, move || http(app.clone(), stopping.clone()).tcp()),
    };
    Ok(server.map_err(|source| StartupError::Bind { address, source })?.run())
}

/// What one worker serves its connections by: an app for requests, and one for upgrades, whose
/// connections are taken over.
fn http<A, F, B, C>(
    app: impl Fn() -> A + Clone + 'static,
    stopping: GracefulShutdownSignal,
) -> HttpService<C, Requests<B>, B, ExpectHandler, Upgrades<C>>
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
    let upgrades = ws::upgrades(app.clone());
    let requests = fn_factory(move || app().into_factory().new_service(AppConfig::default()));
    HttpService::build()
        .client_disconnect_timeout(DISCONNECT_LIMIT)
        .tcp_nodelay(true)
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .upgrade(upgrades)
        .finish(boxed::factory(requests))
}

fn app(
    context: web::Data<Context>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
        Future: 'static,
    >,
> {
    App::new()
        .app_data(context)
        .wrap(from_fn(observe))
        .wrap(from_fn(identify))
        .configure(routes)
        .configure(api::mount)
        .default_service(web::to(unknown_route))
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/metrics", web::get().to(platform::metrics))
        .route("/healthz", web::get().to(platform::healthz))
        .route("/readyz", web::get().to(platform::readyz))
        .route("/openapi.json", web::get().to(docs::openapi))
        .route("/docs", web::get().to(docs::swagger))
        .route("/docs/{file:.*}", web::get().to(docs::swagger))
        .route("/redoc", web::get().to(docs::redoc))
        .route("/redoc/{file:.*}", web::get().to(docs::redoc))
        .route(paths::MEDIA, web::get().to(ws::media))
        .service(
            web::scope("/twilio")
                .app_data(web::PayloadConfig::new(WEBHOOK_BYTES))
                .service(
                    web::resource(tail(paths::VOICE))
                        .route(web::post().to(webhooks::inbound::voice)),
                )
                .service(
                    web::resource(tail(paths::VOICE_STATUS))
                        .route(web::post().to(webhooks::calls::status)),
                )
                .service(
                    web::resource(tail(paths::ANSWER))
                        .route(web::post().to(webhooks::calls::answer)),
                )
                .service(
                    web::resource(tail(paths::ECHO)).route(web::post().to(webhooks::echo::echo)),
                )
                .service(
                    web::resource(tail(paths::STATUS))
                        .route(web::post().to(webhooks::calls::status)),
                )
                .service(
                    web::resource(tail(paths::MACHINE))
                        .route(web::post().to(webhooks::calls::machine)),
                )
                .service(
                    web::resource(tail(paths::STREAM_STATUS))
                        .route(web::post().to(webhooks::calls::stream_status)),
                )
                .service(
                    web::resource(tail(paths::STREAM_ENDED))
                        .route(web::post().to(webhooks::calls::stream_ended)),
                ),
        );
}

/// A route of Twilio's, within the scope `/twilio`.
fn tail(route: &str) -> &str {
    route.strip_prefix("/twilio").expect("all routes of Twilio's begin so")
}
