//! The load generator: many calls through the real service, and what they cost.
//!
//! It starts the simulated Twilio and Ultravox, and the `callspan` binary between them as an
//! operator would, or attaches to a service that somebody else started. Then it does what a
//! scenario says: places calls over the REST API, holds them, measures, hangs up, and checks
//! that nothing was lost and nothing is left. All of it stays on this machine or in a private
//! network: whatever resolves to a public address is refused.
//!
//! A quick check that a build is sound takes ten seconds:
//!
//! ```text
//! cargo build --release -p callspan -p callspan-loadtest
//! target/release/loadtest --calls 20 --seconds 5
//! ```

mod args;
mod attach;
mod bottleneck;
mod caller;
mod campaign;
mod check;
mod drive;
mod figures;
mod frame;
mod gauge;
mod limits;
mod measured;
mod metrics;
mod outcome;
mod output;
mod plan;
pub(crate) mod private;
mod probe;
mod proc;
mod report;
mod run;
mod scale;
mod scenario;
mod series;
mod service;
mod setup;
mod subject;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use args::{Command, RunArgs, ScaleArgs};

pub(crate) use probe::{AgentProbe, PhoneProbe};
pub use probe::{FrameCounts, Probe, TRUSTED_LATENESS};

/// What could not be measured has not failed; scripts want to tell the two apart.
const COULD_NOT_RUN: u8 = 2;

/// Why there is no verdict, in words.
type NoVerdict = Box<dyn std::error::Error>;

/// Does what the command line says: 0 when all is well, 1 when the service failed the test, 2 when
/// there was no test.
#[must_use]
pub fn main() -> ExitCode {
    crate::twilio::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::problem(&format!("no runtime: {error}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let verdict = match args::parse() {
        Command::Run(args) => runtime.block_on(run_one(&args)),
        Command::Scale(args) => runtime.block_on(run_several(&args)),
        Command::Scenarios { name } => show_scenarios(name.as_deref()),
    };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::problem(&error.to_string());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

async fn run_one(args: &RunArgs) -> Result<bool, NoVerdict> {
    let scenario = scenario::find(&args.scenario)?.with(args.overrides());
    let report = run::run(&scenario, &args.mode()?).await?;
    output::show(&report.table());
    if let Some(path) = &args.json {
        report.write(path).map_err(|error| unwritten(path, &error))?;
    }
    Ok(report.failures.is_empty())
}

async fn run_several(args: &ScaleArgs) -> Result<bool, NoVerdict> {
    let reports = scale::run(&args.calls, args.seconds, &args.mode()?).await?;
    output::show(&scale::table(&reports));
    if let Some(path) = &args.json {
        report::write_all(&reports, path).map_err(|error| unwritten(path, &error))?;
    }
    Ok(reports.iter().all(|report| report.failures.is_empty()))
}

fn show_scenarios(name: Option<&str>) -> Result<bool, NoVerdict> {
    let text = match name {
        Some(name) => scenario::BuiltIn::named(name)?.toml.trim_end().to_owned(),
        None => scenario::list()?,
    };
    output::show(&text);
    Ok(true)
}

fn unwritten(path: &Path, error: &std::io::Error) -> NoVerdict {
    format!("{} cannot be written: {error}", path.display()).into()
}
