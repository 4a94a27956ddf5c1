//! The settings as command line arguments, and their help.

use std::fmt::Write;

use clap::{Arg, Command};

use super::settings::{Fallback, SETTINGS, Setting};

/// Adds a flag for every setting that has one, and the secrets' variables below the flags.
pub fn with_settings(command: Command) -> Command {
    command.args(serve_args()).after_help(secrets_help())
}

/// A flag for every setting that has one, with variable and default in its help.
pub fn serve_args() -> Vec<Arg> {
    SETTINGS.iter().filter_map(argument).collect()
}

/// The flag of a setting that has one.
pub(super) fn argument(setting: &Setting) -> Option<Arg> {
    let argument = Arg::new(setting.name)
        .long(setting.flag?)
        .value_name(setting.kind.placeholder())
        .help(explained(setting))
        .help_heading(setting.heading);
    Some(argument)
}

/// The variables that have no flag, because others can see a command line.
pub fn secrets_help() -> String {
    let mut text = String::from(
        "Secrets (environment or file; or <VARIABLE>_FILE names a file that holds the secret):\n",
    );
    for setting in SETTINGS.iter().filter(|setting| setting.flag.is_none()) {
        let default = default_of(setting);
        writeln!(text, "  {}\n          {}{default}", setting.name, setting.help)
            .expect("a string takes any text");
    }
    text.push_str("\nFlags win over the environment, which wins over callspan.toml. Keys in the ");
    text.push_str("file are the variables in\nlower case, without callspan_: bind, database_url, ");
    text.push_str("twilio_account_sid.");
    text
}

fn explained(setting: &Setting) -> String {
    let later = if setting.in_use { "" } else { " (not used yet)" };
    format!("{}{later} [env: {}]{}", setting.help, setting.name, default_of(setting))
}

fn default_of(setting: &Setting) -> String {
    match setting.default {
        Fallback::Value(value) => format!(" [default: {value}]"),
        Fallback::Described(words) => format!(" [default: {words}]"),
        Fallback::None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_variable_with_its_default() {
        let mut command = with_settings(Command::new("serve"));
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(setting.name), "{} is not in the help", setting.name);
            assert!(help.contains(setting.help), "{} is not explained", setting.name);
            if let Some(flag) = setting.flag {
                assert!(help.contains(&format!("--{flag} <")), "--{flag} is not in the help");
            }
            if let Fallback::Value(value) = setting.default {
                assert!(help.contains(&format!("[default: {value}]")), "{}", setting.name);
            }
        }
        assert!(help.contains("(not used yet) [env: CALLSPAN_RECORDINGS]"), "{help}");
    }
}
