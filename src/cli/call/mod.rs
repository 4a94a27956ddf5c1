//! `callspan call`: has a running service place a call, and perhaps waits for its end.
//!
//! It speaks REST like any other client. A request whose answer got lost is repeated with the same
//! `Idempotency-Key`, so nobody is dialled twice. The key it authenticates with comes from the
//! environment, because others can see a command line; the join URL, which is a credential, is
//! shown with `--json` only. What went wrong is told by the exit code, for scripts.

mod order;
mod state;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use actors::call::CallStatus;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::context::{self, ContextError};
use super::output::{print, say};
use super::service::{self, Service, ServiceError};
use order::{Order, OrderError};
use state::{CallState, Placed};

/// How long to wait between looks at a call. A key may ask 60 times a minute, and others use it
/// too.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const EXIT_CODES: &str = "\
The key comes from CALLSPAN_API_KEY, or else CALLSPAN_ADMIN_KEY. The service is the one at --url, \
or else CALLSPAN_URL, or else at http:// and CALLSPAN_BIND (127.0.0.1:8000). A command that is \
stopped while it waits leaves the call alone.

Exit codes:
  0  the call was placed; with --wait: it was answered and has ended
  1  it was not placed: the service or a vendor failed
  2  the command line or the environment is not what it should be
  3  the service refused: a wrong key, a wrong number, a limit
  4  the service cannot be reached
  5  with --wait: busy, not answered, canceled, or failed";

pub(super) fn command() -> Command {
    let option = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    let switch = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("call")
        .about("Has a running service place a call")
        .arg(
            Arg::new("number")
                .value_name("NUMBER")
                .required(true)
                .help("Whom to call, such as +12125550123"),
        )
        .arg(option("agent", "ID", "Agent that speaks; without one, the company's own settings"))
        .arg(
            option("company", "N", "Company that calls [default: 1; with --agent the key's own]")
                .value_parser(value_parser!(i64).range(1..)),
        )
        .args(context::arguments())
        .arg(service::url_argument())
        .arg(switch("wait", "Waits for the end of the call and prints how it goes"))
        .arg(switch("json", "Prints the service's answers, the join URL included"))
        .after_help(EXIT_CODES)
}

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl CallError {
    fn exit_code(&self) -> u8 {
        match self {
            CallError::Order(_) | CallError::Context(_) => 2,
            CallError::Service(error) => error.exit_code(),
        }
    }
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    match place(matches, env).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

async fn place(
    matches: &ArgMatches,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<u8, CallError> {
    let order = read_order(matches)?;
    let service = Service::of(matches, env, order.company)?;

    let json = matches.get_flag("json");
    let placed = Placed::place(&service, &order).await?;
    print(&if json { placed.answer.to_string() } else { placed.call_sid.clone() });
    match matches.get_flag("wait") {
        true => follow(&service, &placed.call_sid, json).await,
        false => Ok(0),
    }
}

fn read_order(matches: &ArgMatches) -> Result<Order, CallError> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let context = context::read(matches)?;
    let number = text("number").unwrap_or_default();
    Ok(Order::new(number, text("agent"), matches.get_one("company").copied(), context)?)
}

/// Prints every change of a call until its end.
async fn follow(service: &Service, call_sid: &str, json: bool) -> Result<u8, CallError> {
    let mut known = None;
    loop {
        let (state, answer) = CallState::look(service, call_sid).await?;
        if known.as_ref() != Some(&state) {
            print(&if json { answer.to_string() } else { state.to_string() });
        }
        if state.status.is_final() {
            return Ok(code_of_end(&state));
        }
        known = Some(state);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn code_of_end(state: &CallState) -> u8 {
    if state.status == CallStatus::Completed { 0 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_exit_code() {
        let mut command = command();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        for code in 0..=5 {
            assert!(help.contains(&format!("\n  {code}  ")), "{code} is not in {help}");
        }
    }

    #[test]
    fn only_an_answered_call_ends_well() {
        for status in CallStatus::ALL.into_iter().filter(|status| status.is_final()) {
            let state = CallState { status, end_reason: None, duration_seconds: None };
            let expected = if status == CallStatus::Completed { 0 } else { 5 };
            assert_eq!(code_of_end(&state), expected, "{status}");
        }
    }
}
