//! `callspan migrate`: brings the database's schema up to date.

use std::process::ExitCode;

use clap::Command;
use tracing::{error, info};

use crate::config::{self, Config};

pub(super) fn command() -> Command {
    config::with_settings(
        Command::new("migrate").about("Brings the database's schema up to date and exits"),
    )
}

pub(super) async fn run(config: Config) -> ExitCode {
    match crate::startup::migrate(&config).await {
        Ok(()) => {
            info!(database = %config.database_url, "the schema is up to date");
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!(%error, "the schema is not up to date");
            ExitCode::FAILURE
        }
    }
}
