//! `callspan doctor`: says whether calls will work, and if not, what to do.

use std::ffi::OsString;
use std::process::ExitCode;

use actors::ids::CompanyId;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::config::{self, Config};
use crate::doctor::{self, Finding, Verdict};

use super::BAD_CONFIGURATION;
use super::output::{print, say};

const EXIT_CODES: &str = "\
Exit codes:
  0  calls will work; there may be warnings
  1  something failed
  2  the configuration cannot be read";

pub(super) fn command() -> Command {
    config::with_settings(
        Command::new("doctor").about("Checks everything a call needs, and says what to do"),
    )
    .arg(
        Arg::new("company")
            .long("company")
            .value_name("N")
            .value_parser(value_parser!(i64).range(1..))
            .default_value("1")
            .help("Company whose accounts are checked"),
    )
    .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Prints JSON, for programs"))
    .after_help(format!("{EXIT_CODES}\n\n{}", config::secrets_help()))
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let config = match Config::load(matches, env) {
        Ok(config) => config,
        Err(errors) => {
            say(&errors.to_string());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let company = matches.get_one("company").copied().expect("it has a default");
    let findings = doctor::examine(&config, CompanyId(company)).await;
    let has_failed = findings.iter().any(|finding| finding.verdict == Verdict::Failed);
    match matches.get_flag("json") {
        true => print(&json!({ "ok": !has_failed, "findings": findings }).to_string()),
        false => show(&findings),
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn show(findings: &[Finding]) {
    for finding in findings {
        print(&finding.to_string());
    }
    let count = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    let (warnings, failures) = (count(Verdict::Warning), count(Verdict::Failed));
    print(&format!("\n{failures} failed, {warnings} warnings"));
}
