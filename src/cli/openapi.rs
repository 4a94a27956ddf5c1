//! `callspan openapi`: the description of the REST API, as the service gives it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::output::{print, say};

pub(super) fn command() -> Command {
    Command::new("openapi").about("Prints the OpenAPI document of the REST API").arg(
        Arg::new("out")
            .long("out")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Writes it to this file instead"),
    )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let json = crate::api::document().to_pretty_json().expect("the document is plain data");
    let Some(path) = matches.get_one::<PathBuf>("out") else {
        print(&json);
        return ExitCode::SUCCESS;
    };
    match std::fs::write(path, json + "\n") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{} cannot be written: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}
