//! The command lines of `callspan company`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::wanted::CLEARABLE;

const SECRETS_OF_NEW: &str = "\
Secrets are no arguments, because others can see a command line. The Twilio auth token comes from \
TWILIO_AUTH_TOKEN or, with --auth-token-stdin, from standard input; the Ultravox API key from \
ULTRAVOX_API_KEY or, with --apikey-stdin, from standard input. With both flags standard input has \
two lines, the token first. <VARIABLE>_FILE may name a file that holds the secret.

Prints the number of the new company.";

const SECRETS_OF_KNOWN: &str = "\
Secrets are no arguments, because others can see a command line. They come from standard input \
(with both flags two lines, the token first), or from TWILIO_AUTH_TOKEN and ULTRAVOX_API_KEY; the \
environment is asked only where a flag says so, because it may be that of the service, whose \
secrets are company 1's.";

pub(super) fn commands() -> [Command; 5] {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Prints JSON, as the REST API does");
    let id = Arg::new("id")
        .value_name("ID")
        .required(true)
        .value_parser(value_parser!(i64).range(1..))
        .help("The company's number");
    let name = option("name", "NAME", "What people call it");
    [
        Command::new("add")
            .about("Adds a company")
            .arg(name.clone().required(true))
            .args(settings())
            .after_help(SECRETS_OF_NEW),
        Command::new("list").about("Lists all companies").arg(json.clone()),
        Command::new("show").about("Shows a company").arg(id.clone()).arg(json),
        Command::new("set")
            .about("Changes what is given of a company")
            .arg(id.clone())
            .arg(name)
            .args(settings())
            .arg(
                switch("auth-token-env", "Takes the Twilio auth token from TWILIO_AUTH_TOKEN")
                    .conflicts_with("auth-token-stdin"),
            )
            .arg(
                switch("apikey-env", "Takes the Ultravox API key from ULTRAVOX_API_KEY")
                    .conflicts_with("apikey-stdin"),
            )
            .arg(
                option("clear", "WHAT", "Makes this empty again; may be given often")
                    .action(ArgAction::Append)
                    .value_parser(PossibleValuesParser::new(
                        CLEARABLE.iter().map(|(name, ..)| *name),
                    )),
            )
            .after_help(SECRETS_OF_KNOWN),
        Command::new("remove")
            .about("Removes a company with its agents, calls and keys, unless it has live calls")
            .arg(id)
            .arg(switch("yes", "Does not ask")),
    ]
}

/// What a company has besides its name.
fn settings() -> Vec<Arg> {
    let several =
        |name, value, help| option(name, value, help).action(ArgAction::Append).num_args(1..);
    let twilio = [
        option("account-sid", "SID", "Twilio account; needs --phone-number and the auth token"),
        option("phone-number", "PHONE", "Number it calls from, such as +12125550100"),
        switch("auth-token-stdin", "Reads the Twilio auth token from standard input"),
        option("max-cps", "NUMBER", "Calls a second").allow_negative_numbers(true),
        option("fallback-number", "PHONE", "Who takes a call when no agent can"),
        several(
            "allowed-prefix",
            "PREFIX",
            "Beginning of the numbers it may call, such as +1; may be given often, and is all \
             there are",
        ),
    ];
    let ultravox = [
        switch("apikey-stdin", "Reads the Ultravox API key from standard input"),
        option("apiurl", "URL", "Where its Ultravox is, where not where the others' is"),
        option("system-prompt", "TEXT", "What its agent is told about its task")
            .conflicts_with("system-prompt-file"),
        option("system-prompt-file", "FILE", "The same from a file")
            .value_parser(value_parser!(PathBuf)),
        option("model", "NAME", "Ultravox's model"),
        option("voice", "NAME", "Ultravox's voice"),
        option("first-speaker", "WHO", "Who opens the conversation")
            .value_parser(PossibleValuesParser::new(["user", "agent"])),
    ];
    let inbound = [
        option("inbound-agent", "ID", "Agent of its own that answers its numbers"),
        several(
            "number",
            "PHONE[=ID]",
            "Number that reaches it besides the one it calls from, and the agent that answers; \
             may be given often, and is all there are",
        ),
    ];
    let under =
        |heading, args: Vec<Arg>| args.into_iter().map(move |arg| arg.help_heading(heading));
    under("Twilio", twilio.into())
        .chain(under("Ultravox", ultravox.into()))
        .chain(under("Inbound calls", inbound.into()))
        .collect()
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}
