//! `callspan serve`: runs the service, and drains it when it is told to stop.

use std::process::ExitCode;

use clap::Command;
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::startup::Application;

use super::output::say;

pub(super) fn command() -> Command {
    config::with_settings(
        Command::new("serve").about("Runs the service until SIGTERM, then drains"),
    )
}

pub(super) async fn run(config: Config) -> ExitCode {
    for name in config.unused() {
        warn!("{name} is set, but this version does not act on it yet");
    }
    if !config.public_url.is_secure() {
        warn!("CALLSPAN_PUBLIC_URL is not https: Twilio streams to wss only");
    }
    // Before anybody can see that the service is ready: from then on a signal means a drain.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        error!("the system does not let us listen for signals");
        return ExitCode::FAILURE;
    };
    let grace = config.drain;
    let mut app = match Application::start(config).await {
        Ok(app) => app,
        Err(error) => {
            error!(%error, "the service did not start");
            return ExitCode::FAILURE;
        }
    };
    if let Some(key) = app.take_new_admin_key() {
        say(&format!(
            "\nAdmin API key, shown this once (send it as X-API-Key):\n\n    {}\n",
            key.expose_secret()
        ));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let hurry = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("a second signal: hanging up");
        app.hurry();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = app.drain(grace) => {}
        () = hurry => {}
    }
    app.close().await;
    ExitCode::SUCCESS
}
