//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, LogFormat};
use crate::demo;
use crate::startup::Application;

/// A configuration that does not work.
const BAD_CONFIGURATION: u8 = 2;

/// Everything that can be asked for.
pub fn command() -> Command {
    Command::new("callspan")
        .about("A self-hosted bridge between Twilio phone calls and Ultravox voice agents")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(config::with_settings(
            Command::new("serve").about("Runs the service until SIGTERM, then drains"),
        ))
        .subcommand(
            Command::new("demo")
                .about("Makes a simulated call, shows its timeline and writes it to a WAV file")
                .arg(
                    Arg::new("out")
                        .long("out")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .default_value("demo-call.wav")
                        .help("Where the recording goes: left the caller, right the agent"),
                ),
        )
        .subcommand(config::with_settings(
            Command::new("migrate").about("Brings the database's schema up to date and exits"),
        ))
}

/// Does what the command line says. To be called on an actix system.
pub async fn run(matches: ArgMatches) -> ExitCode {
    match matches.subcommand() {
        Some(("serve", matches)) => with_config(matches, serve).await,
        Some(("demo", matches)) => run_demo(matches).await,
        Some(("migrate", matches)) => with_config(matches, migrate).await,
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
            start_logging(&config);
            run(config).await
        }
        Err(errors) => {
            say(&errors.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

async fn serve(config: Config) -> ExitCode {
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
    ExitCode::SUCCESS
}

async fn run_demo(matches: &ArgMatches) -> ExitCode {
    let recording = matches.get_one::<PathBuf>("out").expect("it has a default");
    match demo::run(recording).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("the demo failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn migrate(config: Config) -> ExitCode {
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

/// Takes the records of `tracing` and not those of the `log` crate, where at `trace` the WebSocket
/// library writes every frame and the join URL. What is left shows no secret at any level.
fn start_logging(config: &Config) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(match is_terminal {
        true => LogFormat::Pretty,
        false => LogFormat::Json,
    });
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal);
    match format {
        LogFormat::Pretty => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

/// Tells the person at the terminal something that is not a log line.
#[expect(clippy::print_stderr, reason = "it is meant for the person who started us")]
fn say(text: &str) {
    eprintln!("{text}");
}
