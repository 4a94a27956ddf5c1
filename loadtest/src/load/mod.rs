//! The load generator: many calls through the real service, and what they cost.
//!
//! It starts the simulated Twilio and Ultravox, starts the `callspan` binary between them as an
//! operator would, places calls over the REST API, holds them, measures, hangs up, and checks that
//! nothing was lost and nothing is left. All of it stays on this machine: nothing but loopback
//! addresses is ever used.
//!
//! A quick check that a build is sound takes ten seconds:
//!
//! ```text
//! cargo build --release -p callspan -p callspan-loadtest
//! target/release/loadtest --calls 20 --seconds 5
//! ```

mod args;
mod check;
mod figures;
mod frame;
mod limits;
mod output;
pub(crate) mod private;
mod probe;
mod proc;
mod report;
mod run;
mod service;

use std::process::ExitCode;

use clap::Parser as _;

pub(crate) use probe::{AgentProbe, PhoneProbe};
pub use probe::{FrameCounts, Probe, TRUSTED_LATENESS};

/// What could not be measured has not failed; scripts want to tell the two apart.
const COULD_NOT_RUN: u8 = 2;

/// Does what the command line says: 0 when all is well, 1 when the service failed the test, 2 when
/// there was no test.
#[must_use]
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::problem(&format!("no runtime: {error}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let report = match runtime.block_on(run::run(&args)) {
        Ok(report) => report,
        Err(error) => {
            output::problem(&error.to_string());
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    output::show(&report.table());
    if let Some(path) = &args.json
        && let Err(error) = report.write(path)
    {
        output::problem(&format!("{} cannot be written: {error}", path.display()));
        return ExitCode::from(COULD_NOT_RUN);
    }
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
