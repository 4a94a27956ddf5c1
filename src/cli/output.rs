//! What commands print: logs, and words for the person who started us.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Takes the records of `tracing` and not those of the `log` crate, where at `trace` the WebSocket
/// library writes every frame and the join URL. What is left shows no secret at any level.
///
/// `filter` is known to parse; without a format it is pretty on a terminal, else JSON.
pub(super) fn start_logging(filter: &str, format: Option<LogFormat>) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(match is_terminal {
        true => LogFormat::Pretty,
        false => LogFormat::Json,
    });
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal);
    match format {
        LogFormat::Pretty => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

/// Tells the person at the terminal something that is not a log line.
#[expect(clippy::print_stderr, reason = "it is meant for the person who started us")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

/// Puts something on the terminal without ending the line. Whoever reads it may have gone away.
pub(super) fn paint(text: &str) {
    let mut terminal = std::io::stderr();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

/// Gives the result a command was run for. Whoever reads it may have gone away; that is no error.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
