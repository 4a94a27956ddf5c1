//! The command line, and its bounds.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Calls placed a second unless a ramp is given.
const USUAL_RATE: f64 = 50.0;
/// Calls placed a second at most.
const MAX_RATE: f64 = 200.0;

/// Places many simulated calls through a callspan of its own and measures what they cost.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Args {
    /// Calls at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) calls: u32,
    /// How long to measure once all calls are up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Over how many seconds the calls are placed [default: 50 calls a second, 200 at most].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    ramp: Option<u64>,
    /// The service's binary [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    callspan: Option<PathBuf>,
    /// Runs the service on these processors only, such as 0 or 0-3; needs taskset.
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    pub(crate) service_cpus: Option<String>,
    /// Writes the results here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Args {
    /// From one call to the next.
    pub(crate) fn between_calls(&self) -> Duration {
        let calls = f64::from(self.calls);
        let ramp = self.ramp.map_or(calls / USUAL_RATE, |ramp| ramp as f64);
        Duration::from_secs_f64((ramp / calls).max(1.0 / MAX_RATE))
    }

    /// How long to measure.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Which binary to run. It must be there.
    pub(crate) fn callspan(&self) -> std::io::Result<PathBuf> {
        let path = match &self.callspan {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("callspan"),
        };
        path.canonicalize()
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

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_usual_run_needs_no_arguments() {
        let args = parse("loadtest").expect("valid");
        assert_eq!((args.calls, args.duration()), (100, Duration::from_secs(30)));
        assert_eq!(args.between_calls(), Duration::from_millis(20));
        let elsewhere = parse("loadtest --callspan /no/such/callspan").expect("valid");
        assert!(elsewhere.callspan().is_err());
    }

    #[test]
    fn a_ramp_sets_the_rate_within_bounds() {
        let between = |line| parse(line).expect(line).between_calls();
        assert_eq!(between("loadtest --calls 10 --ramp 5"), Duration::from_millis(500));
        assert_eq!(between("loadtest --calls 5000 --ramp 0"), Duration::from_millis(5));
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
            "loadtest --url http://example.com",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let args = parse("loadtest --service-cpus 0-1,3").expect("valid");
        assert_eq!(args.service_cpus.as_deref(), Some("0-1,3"));
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }
}
