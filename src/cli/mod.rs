//! The command line, one file a command.

mod admin;
mod call;
mod campaign;
mod company;
mod completions;
mod context;
mod demo;
mod dnc;
mod doctor;
mod key;
mod migrate;
mod openapi;
mod output;
mod serve;
mod service;
mod table;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::config::Config;

use output::{say, start_logging};

/// A configuration that does not work.
const BAD_CONFIGURATION: u8 = 2;

/// Everything that can be asked for.
pub fn command() -> Command {
    Command::new("callspan")
        .about("A self-hosted bridge between Twilio phone calls and Ultravox voice agents")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(demo::command())
        .subcommand(migrate::command())
        .subcommand(call::command())
        .subcommand(campaign::command())
        .subcommand(doctor::command())
        .subcommand(company::command())
        .subcommand(key::command())
        .subcommand(dnc::command())
        .subcommand(openapi::command())
        .subcommand(completions::command())
}

/// Does what the command line says. To be called on an actix system.
pub async fn run(matches: ArgMatches) -> ExitCode {
    match matches.subcommand() {
        Some(("serve", matches)) => with_config(matches, serve::run).await,
        Some(("demo", matches)) => demo::run(matches).await,
        Some(("migrate", matches)) => with_config(matches, migrate::run).await,
        Some(("call", matches)) => call::run(matches, |name| std::env::var_os(name)).await,
        Some(("campaign", matches)) => campaign::run(matches, |name| std::env::var_os(name)).await,
        Some(("doctor", matches)) => doctor::run(matches, |name| std::env::var_os(name)).await,
        Some(("company", matches)) => company::run(matches, |name| std::env::var_os(name)).await,
        Some(("key", matches)) => key::run(matches, |name| std::env::var_os(name)).await,
        Some(("dnc", matches)) => dnc::run(matches, |name| std::env::var_os(name)).await,
        Some(("openapi", matches)) => openapi::run(matches),
        Some(("completions", matches)) => completions::run(matches),
        _ => unreachable!("clap lets nothing else through"),
    }
}

async fn with_config<F, Fut>(matches: &ArgMatches, run: F) -> ExitCode
where
    F: FnOnce(Config) -> Fut,
    Fut: Future<Output = ExitCode>,
{
    match Config::load(matches, |name| std::env::var_os(name)) {
        Ok(config) => {
            start_logging(&config.log, config.log_format);
            run(config).await
        }
        Err(errors) => {
            say(&errors.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
