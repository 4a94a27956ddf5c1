//! `callspan demo`: a simulated call, seen and heard.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::demo;

use super::output::say;

pub(super) fn command() -> Command {
    Command::new("demo")
        .about("Makes a simulated call, shows its timeline and writes it to a WAV file")
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .default_value("demo-call.wav")
                .help("Where the recording goes: left the caller, right the agent"),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> ExitCode {
    let recording = matches.get_one::<PathBuf>("out").expect("it has a default");
    match demo::run(recording).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("the demo failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
