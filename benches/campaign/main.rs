//! What a campaign of 100,000 takes, and how full it keeps its limit: `cargo bench --bench campaign`.
//!
//! The real service between simulated vendors, in one process with them: on SQLite, and on PostgreSQL
//! as well when `--database` or `TEST_POSTGRES_URL` names a server. Nothing here judges; the same measurement, small, is a test of the service: see `tests/it/campaign_bench.rs`.

#[path = "../common/database.rs"]
mod database;
mod measure;

use clap::Parser;

use measure::{Database, Plan};

/// As the service has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures campaigns.
#[derive(Debug, Parser)]
#[command(name = "campaign")]
struct Args {
    /// Recipients of the large campaign.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    recipients: u32,
    /// Calls at a time.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    concurrent: u32,
    /// Calls to keep so many up with.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    calls: u32,
    /// How long each call lasts, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    talk_seconds: u64,
    /// A PostgreSQL server to measure too; a database is made there, and deleted afterwards
    /// [default: TEST_POSTGRES_URL].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn plan(&self, database: Database) -> Plan {
        if !self.bench {
            return Plan::smoke(database);
        }
        Plan {
            database,
            recipients: self.recipients,
            concurrent: self.concurrent,
            calls: self.calls,
            talk_ms: self.talk_seconds * 1_000,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the program is for")]
fn main() {
    let args = Args::parse();
    let server = args.database.clone().or_else(|| std::env::var("TEST_POSTGRES_URL").ok());
    let databases = std::iter::once(Database::Sqlite).chain(server.map(Database::Postgres));
    for database in databases {
        let plan = args.plan(database);
        let report = actix_web::rt::System::new().block_on(measure::run(&plan));
        println!("{report}");
    }
}
