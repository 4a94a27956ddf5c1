//! The command line, and its bounds.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use url::Url;

use super::attach::{self, AttachError};
use super::bare::{Setup, Target};
use super::reference::Against;
use super::scenario::Overrides;
use super::show::{CompareArgs, HtmlArgs};
use super::subject::{Attachment, LaunchMode};

const EXIT_CODES: &str = "Exit codes: 0 the test passed, 1 it failed, 2 there was no test.";
const ATTACHED: &str = "A service of your own (--target)";

/// Places many simulated calls through a callspan and measures what they cost.
///
/// Without --target it starts a service of its own, on loopback, and stops it again.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadtest", version, args_conflicts_with_subcommands = true)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// What is to be done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one scenario; what is done when no command is given
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Lists the scenarios, or prints one to begin a file of one's own with
    Scenarios {
        /// The scenario to print
        name: Option<String>,
    },
    /// Runs the steady scenario at rising numbers of calls, on a fresh service each time
    #[command(after_help = EXIT_CODES)]
    Scale(ScaleArgs),
    /// Measures another bridge by the same calls: any program that listens on $LISTEN_PORT for
    /// Twilio's streams and joins an agent at $AGENT_URL for each
    #[command(after_help = EXIT_CODES)]
    Bare(BareArgs),
    /// Makes one HTML page, with plots, of what --json wrote
    Html(HtmlArgs),
    /// Compares two files that --json wrote
    ///
    /// Exit codes: 0 nothing is worse, 1 something is, 2 there is no verdict, because a file is no
    /// report or because the two are not of the same test on the same machine.
    Compare(CompareArgs),
}

/// What a single test is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// A scenario's name (see `loadtest scenarios`), or a file with one.
    #[arg(long, default_value = "steady", value_name = "NAME|FILE")]
    pub(crate) scenario: String,
    /// Calls at a time [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5000))]
    calls: Option<u32>,
    /// How long to measure [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Over how many seconds the calls are placed that are up when the measuring begins; at most 200
    /// a second are placed [default: as fast as in the scenario].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    ramp: Option<u64>,
    /// Writes the results here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the results here as one HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    launch: LaunchArgs,
    #[command(flatten)]
    attach: AttachArgs,
    /// Also measures this, before and after the service, for half the time each.
    #[arg(long, value_name = "WHAT", conflicts_with = "target", requires_if("plain", "tls"))]
    pub(crate) reference: Option<Against>,
}

/// What a test at several sizes is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The numbers of calls, separated by commas.
    #[arg(
        long, value_delimiter = ',', default_value = "50,100,200,500,1000,1500",
        value_parser = clap::value_parser!(u32).range(1..=5000)
    )]
    pub(crate) calls: Vec<u32>,
    /// How long to measure each.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    #[command(flatten)]
    launch: LaunchArgs,
    /// Also measures this at each number of calls, before and after the service, for half the time
    /// each.
    #[arg(long, value_name = "WHAT", requires_if("plain", "tls"))]
    pub(crate) reference: Option<Against>,
    /// Writes the results here as JSON: a list with one report for each number of calls.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the results here as one HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What the measurement of another bridge is told.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct BareArgs {
    /// Its command line, for a shell.
    #[arg(long, value_name = "COMMAND", required_unless_present = "haproxy")]
    command: Option<String>,
    /// Measures HAProxy instead, which merely moves the bytes.
    #[arg(long, conflicts_with = "command")]
    haproxy: bool,
    /// Calls at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    calls: u32,
    /// How long to measure once all calls are up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Runs it on these processors only, such as 0 or 0-3, and the generator on the others, if there
    /// are any; needs taskset.
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    service_cpus: Option<String>,
    /// Writes the results here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl BareArgs {
    /// What is measured, and how much of it.
    pub(crate) fn plan(&self) -> (Target, Setup) {
        let target = match &self.command {
            Some(command) => Target::Bridge { command: command.clone() },
            None => Target::Haproxy,
        };
        let time = Duration::from_secs(self.seconds);
        (target, Setup { calls: self.calls, time, cpus: self.service_cpus.clone() })
    }
}

/// The service that a test starts.
#[derive(Clone, Debug, Args)]
struct LaunchArgs {
    /// The service's binary [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    callspan: Option<PathBuf>,
    /// Runs the service on these processors only, such as 0 or 0-3, and the generator on the others,
    /// if there are any; needs taskset.
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    service_cpus: Option<String>,
    /// Encrypts all that goes to the service and comes from it, both legs of the media among it, with
    /// certificates of an authority that is made for the test. Not for --target: its phones' leg is
    /// encrypted when its address is https (SSL_CERT_FILE names whom to trust), its agents' is not.
    #[arg(long)]
    tls: bool,
}

/// The service that runs already.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = ATTACHED)]
struct AttachArgs {
    /// Tests the service at this address, which somebody else starts: on this machine or in a
    /// private network. Its API key comes from LOADTEST_API_KEY or from standard input, and the
    /// token of its /metrics, if it asks for one, from LOADTEST_METRICS_TOKEN. The environment that
    /// the service needs is printed.
    #[arg(long, value_name = "URL", value_parser = target)]
    #[arg(conflicts_with_all = ["callspan", "service_cpus", "tls"])]
    target: Option<Url>,
    /// Where the simulated vendors listen: an address of this machine that the service can reach.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", requires = "target")]
    listen: IpAddr,
    /// The simulated Twilio's port.
    #[arg(long, value_name = "PORT", default_value_t = 18_081, requires = "target")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    twilio_port: u16,
    /// The simulated Ultravox's port; its sockets have the one after it.
    #[arg(long, value_name = "PORT", default_value_t = 18_082, requires = "target")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..65_535))]
    ultravox_port: u16,
}

/// There is no service to test.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the callspan binary is not there; build it, or name it with --callspan: {0}")]
    NoBinary(io::Error),
    #[error("{0}")]
    Attach(#[from] AttachError),
}

/// Reads a command line; ends the process when that makes no sense.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Command {
    let Cli { command, run } = Cli::parse_from(arguments);
    command.unwrap_or(Command::Run(run))
}

impl RunArgs {
    /// What changes about the scenario.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { calls: self.calls, seconds: self.seconds, ramp: self.ramp }
    }

    /// Where the service comes from. Reads the key of one that runs already.
    pub(crate) fn mode(&self) -> Result<LaunchMode, LaunchError> {
        let AttachArgs { target, listen, twilio_port, ultravox_port } = self.attach.clone();
        let Some(url) = target else { return self.launch.mode() };
        let key = attach::key()?;
        Ok(LaunchMode::Attached(Attachment { url, key, listen, twilio_port, ultravox_port }))
    }
}

impl ScaleArgs {
    /// Where the services come from.
    pub(crate) fn mode(&self) -> Result<LaunchMode, LaunchError> {
        self.launch.mode()
    }
}

impl LaunchArgs {
    /// The binary must be there.
    fn mode(&self) -> Result<LaunchMode, LaunchError> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("callspan"));
        let path = self.callspan.clone().map_or_else(beside, Ok);
        let program = path.and_then(|path| path.canonicalize()).map_err(LaunchError::NoBinary)?;
        Ok(LaunchMode::Own { program, cpus: self.service_cpus.clone(), tls: self.tls })
    }
}

/// An address of a service, with nothing behind the port.
fn target(raw: &str) -> Result<Url, String> {
    let url = Url::parse(raw).map_err(|error| error.to_string())?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match is_plain {
        true => Ok(url),
        false => Err("not an address such as http://10.0.0.5:8000".to_owned()),
    }
}

/// Processors as taskset understands them: numbers and ranges.
fn cpu_list(raw: &str) -> Result<String, String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_part = |part: &str| match part.split_once('-') {
        Some((from, to)) => is_number(from) && is_number(to),
        None => is_number(part),
    };
    match raw.split(',').all(is_part) {
        true => Ok(raw.to_owned()),
        false => Err("not a list of processors such as 0 or 0-3,6".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let Cli { command, run } = Cli::try_parse_from(line.split_whitespace())?;
        Ok(command.unwrap_or(Command::Run(run)))
    }

    fn run(line: &str) -> RunArgs {
        match parse(line).expect(line) {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_usual_run_needs_no_arguments() {
        let args = run("loadtest");
        assert_eq!((args.scenario.as_str(), args.overrides()), ("steady", Overrides::default()));
        let elsewhere = run("loadtest --callspan /no/such/callspan");
        assert!(matches!(elsewhere.mode(), Err(LaunchError::NoBinary(_))));
        let spelt_out = run("loadtest run --scenario spike --calls 9 --seconds 8 --ramp 7");
        let expected = Overrides { calls: Some(9), seconds: Some(8), ramp: Some(7) };
        assert_eq!((spelt_out.scenario.as_str(), spelt_out.overrides()), ("spike", expected));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for line in [
            "loadtest --calls 0",
            "loadtest --calls 5001",
            "loadtest --seconds 0",
            "loadtest --seconds 3601",
            "loadtest --ramp 3601",
            "loadtest --service-cpus 0;id",
            "loadtest --service-cpus 1-",
            "loadtest --target ftp://127.0.0.1",
            "loadtest --target http://127.0.0.1/path",
            "loadtest --target http://me:secret@127.0.0.1",
            "loadtest --target http://127.0.0.1 --callspan x",
            "loadtest --target http://127.0.0.1 --api-key x",
            "loadtest --listen 10.0.0.1",
            "loadtest --target http://127.0.0.1 --ultravox-port 65535",
            "loadtest --reference nginx",
            "loadtest --reference haproxy --target http://127.0.0.1",
            "loadtest --reference plain",
            "loadtest --tls --target https://127.0.0.1",
            "loadtest bare",
            "loadtest bare --haproxy --command x",
            "loadtest bare --haproxy --calls 0",
            "loadtest scale --calls 50,0",
            "loadtest --calls 5 html report.json --out report.html",
            "loadtest html report.json",
            "loadtest compare before.json",
            "loadtest scale --target http://127.0.0.1",
            "loadtest scale --reference plain",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let args = run("loadtest --service-cpus 0-1,3");
        assert_eq!(args.launch.service_cpus.as_deref(), Some("0-1,3"));
    }

    #[test]
    fn a_scale_has_its_numbers_of_calls() {
        let of = |line| match parse(line).expect(line) {
            Command::Scale(args) => (args.calls, args.seconds),
            other => panic!("{other:?}"),
        };
        assert_eq!(of("loadtest scale"), (vec![50, 100, 200, 500, 1_000, 1_500], 30));
        assert_eq!(of("loadtest scale --calls 5,10 --seconds 2"), (vec![5, 10], 2));
        let reference = |line| match parse(line).expect(line) {
            Command::Scale(args) => args.reference,
            other => panic!("{other:?}"),
        };
        assert_eq!(reference("loadtest scale"), None);
        assert_eq!(reference("loadtest scale --reference haproxy"), Some(Against::Haproxy));
        assert_eq!(reference("loadtest scale --tls --reference plain"), Some(Against::Plain));
    }

    #[test]
    fn reports_have_commands_of_their_own() {
        let page = parse("loadtest html report.json --out report.html").expect("valid");
        assert!(matches!(page, Command::Html(_)));
        let compared = parse("loadtest compare before.json after.json --html page.html");
        assert!(matches!(compared.expect("valid"), Command::Compare(_)));
    }

    #[test]
    fn a_bridge_is_a_command_and_a_proxy_is_none() {
        let of = |line| match parse(line).expect(line) {
            Command::Bare(args) => args.plan(),
            other => panic!("{other:?}"),
        };
        let (target, setup) = of("loadtest bare --command bridge --calls 7 --service-cpus 1");
        assert!(matches!(target, Target::Bridge { command } if command == "bridge"));
        assert_eq!((setup.calls, setup.time), (7, Duration::from_secs(30)));
        assert_eq!(setup.cpus.as_deref(), Some("1"));
        assert!(matches!(of("loadtest bare --haproxy").0, Target::Haproxy));
        assert_eq!(run("loadtest --reference haproxy").reference, Some(Against::Haproxy));
    }

    #[test]
    fn tls_is_compared_with_what_there_is_without_it() {
        let args = run("loadtest --tls --reference plain");
        assert_eq!((args.launch.tls, args.reference), (true, Some(Against::Plain)));
        assert!(run("loadtest --tls --reference haproxy").launch.tls);
        assert!(!run("loadtest").launch.tls);
        let refused = parse("loadtest --tls --target https://127.0.0.1").expect_err("refused");
        assert!(refused.to_string().contains("'--tls' cannot be used with"), "{refused}");
    }

    #[test]
    fn scenarios_are_listed_or_printed() {
        let of = |line| match parse(line).expect(line) {
            Command::Scenarios { name } => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(of("loadtest scenarios"), None);
        assert_eq!(of("loadtest scenarios churn").as_deref(), Some("churn"));
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
