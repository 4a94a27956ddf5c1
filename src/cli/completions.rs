//! `callspan completions`: what a shell needs to complete our command lines.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::output::print;

pub(super) fn command() -> Command {
    Command::new("completions").about("Prints completions for a shell").arg(
        Arg::new("shell")
            .value_name("SHELL")
            .value_parser(value_parser!(Shell))
            .required(true)
            .help("Whose they are"),
    )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let shell: Shell = matches.get_one("shell").copied().expect("it is required");
    print(script(shell).trim_end());
    ExitCode::SUCCESS
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = super::command();
    clap_complete::generate(shell, &mut command, "callspan", &mut script);
    String::from_utf8(script).expect("our command lines are text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in crate::cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
