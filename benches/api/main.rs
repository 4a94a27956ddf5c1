//! How fast the REST API answers: `cargo bench --bench api`.
//!
//! The real service, on real sockets, between simulated vendors, with 100,000 calls in its
//! database: SQLite, and PostgreSQL as well when `--database` or `TEST_POSTGRES_URL` names a
//! server. Requests come by the clock, and their time counts from when they were due, so that
//! whoever has to queue shows. Nothing here judges: the table is for people, the JSON for programs.
//!
//! The same measurement, small, is a test of the service: see `tests/it/api_bench.rs`.

#[path = "../common/database.rs"]
mod database;
mod measure;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use measure::{Database, Plan, Report};

/// As the service has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures how fast the REST API answers.
#[derive(Debug, Parser)]
#[command(name = "api")]
struct Args {
    /// Calls in the database.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    calls: u32,
    /// Requests a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// How long each route is measured.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Only routes whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A PostgreSQL server to measure too; a database is made there, and deleted afterwards
    /// [default: TEST_POSTGRES_URL].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Writes the results here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tries every route a few times with few calls.
    #[arg(long)]
    test: bool,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn plan(&self, database: Database) -> Plan {
        if self.test || !self.bench {
            return Plan::smoke(database);
        }
        Plan {
            database,
            calls: self.calls,
            rate: self.rate,
            requests: self.rate.saturating_mul(self.seconds),
            warm_up: self.rate,
            only: self.only.clone(),
        }
    }

    fn server(&self) -> Option<String> {
        self.database.clone().or_else(|| std::env::var("TEST_POSTGRES_URL").ok())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut databases = vec![Database::Sqlite];
    databases.extend(args.server().map(Database::Postgres));
    let mut reports = Vec::new();
    for database in databases {
        let plan = args.plan(database);
        progress(&format!("{}: {} calls are being stored", plan.database, plan.calls));
        // Each service has an actix system to itself, as it always has.
        let report = actix_web::rt::System::new()
            .block_on(measure::run(&plan, |route| progress(&format!("  {route}"))));
        show(&report.to_string());
        reports.push(report);
    }
    if let Some(path) = &args.json {
        let written = File::create(path).map_err(serde_json::Error::io);
        if let Err(error) = written.and_then(|file| serde_json::to_writer_pretty(file, &reports)) {
            progress(&format!("{}: {error}", path.display()));
            return ExitCode::FAILURE;
        }
    }
    match reports.iter().any(Report::has_errors) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Shows a result.
#[expect(clippy::print_stdout, reason = "the result is what the program is for")]
fn show(text: &str) {
    println!("{text}");
}

/// Tells what is being done, for whoever waits.
#[expect(clippy::print_stderr, reason = "it is meant for the person who waits")]
fn progress(text: &str) {
    eprintln!("{text}");
}
