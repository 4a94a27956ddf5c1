//! The HTTP server: its routes, limits and address.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use crate::api::{self, docs, identify, observe, platform, unknown_route};
use crate::config::Config;
use crate::webhooks::{self, paths};
use crate::ws;

use super::{Context, StartupError, tls};

/// Largest body of a webhook. Twilio's have about a kilobyte.
const WEBHOOK_BYTES: usize = 64 * 1024;
/// How long open requests may take to finish when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// What a socket may hold back before its writer has to wait: 32 media messages of 200 ms would
/// be more than Twilio ever lags.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

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
    let server = HttpServer::new(move || {
        App::new()
            .app_data(context.clone())
            .wrap(from_fn(observe))
            .wrap(from_fn(identify))
            .configure(routes)
            .configure(api::mount)
            .default_service(web::to(unknown_route))
    })
    .workers(config.workers.get())
    .disable_signals()
    .tcp_nodelay(true)
    .h1_write_buffer_size(WRITE_BUFFER_BYTES)
    .shutdown_timeout(STOP_LIMIT.as_secs());
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    let server = server.map_err(|source| StartupError::Bind { address, source })?;
    Ok(server.run())
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
