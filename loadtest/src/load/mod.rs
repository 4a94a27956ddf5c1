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
//! target/release/loadtest --calls 20 --seconds 5 --html report.html
//! ```

mod args;
mod attach;
mod bare;
mod bottleneck;
mod caller;
mod campaign;
mod check;
mod compare;
mod drive;
#[cfg(test)]
mod example;
mod figures;
mod frame;
mod gauge;
mod html;
mod limits;
mod machine;
mod measured;
mod metrics;
mod outcome;
mod output;
mod plan;
pub(crate) mod private;
mod probe;
mod proc;
mod processors;
mod reference;
mod report;
mod run;
mod scale;
mod scenario;
mod series;
mod service;
mod setup;
mod show;
mod stored;
mod subject;
mod table;
mod units;
mod watch;

use std::ffi::OsString;
use std::path::Path;

use args::{BareArgs, Command, RunArgs, ScaleArgs};
use compare::Verdict;
use show::CompareArgs;

pub(crate) use probe::{AgentProbe, PhoneProbe};
pub use probe::{FrameCounts, Probe, TRUSTED_LATENESS};

const PASSED: u8 = 0;
const FAILED: u8 = 1;
/// What could not be measured has not failed; scripts want to tell the two apart.
const COULD_NOT_RUN: u8 = 2;

/// Why there is no verdict, in words.
type NoVerdict = Box<dyn std::error::Error>;

/// Does what a command line says, which begins with the program's name. Gives the exit code: 0 when
/// all is well, 1 when the service failed the test or became worse, 2 when there was no test or no
/// verdict. Ends the process when the command line is wrong, or asks for help.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    crate::twilio::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::problem(&format!("no runtime: {error}"));
            return COULD_NOT_RUN;
        }
    };
    let verdict = match args::parse(arguments) {
        Command::Run(args) => runtime.block_on(run_one(&args)),
        Command::Scale(args) => runtime.block_on(run_several(&args)),
        Command::Bare(args) => runtime.block_on(run_bare(&args)),
        Command::Scenarios { name } => show_scenarios(name.as_deref()),
        Command::Html(args) => show::html(&args).map(|()| true).map_err(Into::into),
        Command::Compare(args) => compare_two(&args),
    };
    match verdict {
        Ok(true) => PASSED,
        Ok(false) => FAILED,
        Err(error) if error.is::<NotComparable>() => COULD_NOT_RUN,
        Err(error) => {
            output::problem(&error.to_string());
            COULD_NOT_RUN
        }
    }
}

async fn run_one(args: &RunArgs) -> Result<bool, NoVerdict> {
    let scenario = scenario::find(&args.scenario)?.with(args.overrides());
    let mode = args.mode()?;
    leave_room_for(mode.cpus())?;
    let report = run::run(&scenario, &mode, args.reference).await?;
    output::show(&report.table());
    if let Some(path) = &args.json {
        report.write(path).map_err(|error| unwritten(path, &error))?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&report)).map_err(|error| unwritten(path, &error))?;
    }
    Ok(report.failures.is_empty())
}

async fn run_bare(args: &BareArgs) -> Result<bool, NoVerdict> {
    let (target, setup) = args.plan();
    leave_room_for(setup.cpus.clone())?;
    let report = run::until_told_to_stop(bare::measure(&target, &setup)).await??;
    output::show(&report.table());
    if let Some(path) = &args.json {
        report.write(path).map_err(|error| unwritten(path, &error))?;
    }
    Ok(report.failures.is_empty())
}

async fn run_several(args: &ScaleArgs) -> Result<bool, NoVerdict> {
    let mode = args.mode()?;
    leave_room_for(mode.cpus())?;
    let reports = scale::run(&args.calls, args.seconds, &mode, args.reference).await?;
    output::show(&scale::table(&reports));
    if let Some(path) = &args.json {
        report::write_all(&reports, path).map_err(|error| unwritten(path, &error))?;
    }
    if let Some(path) = &args.html {
        let page = html::scale_page(&reports);
        std::fs::write(path, page).map_err(|error| unwritten(path, &error))?;
    }
    Ok(reports.iter().all(|report| report.failures.is_empty()))
}

/// The service's processors are not for the generator.
fn leave_room_for(service_cpus: Option<String>) -> Result<(), NoVerdict> {
    let Some(list) = service_cpus else { return Ok(()) };
    processors::keep_off(&list)
        .map_err(|error| format!("the generator cannot keep off processors {list}: {error}").into())
}

/// Two reports that say nothing about one another; what they say has been shown.
#[derive(Debug, thiserror::Error)]
#[error("the two reports cannot be compared")]
struct NotComparable;

fn compare_two(args: &CompareArgs) -> Result<bool, NoVerdict> {
    let (table, verdict) = show::compare(args)?;
    output::show(&table);
    match verdict {
        Verdict::Better | Verdict::Same => Ok(true),
        Verdict::Worse => Ok(false),
        Verdict::NotComparable => Err(NotComparable.into()),
    }
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
