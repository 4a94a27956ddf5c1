//! What a campaign of 100,000 takes, and how full it keeps its limit: `cargo bench --bench campaign`.
//!
//! The real service, on SQLite, between simulated vendors, in one process with them. Nothing here
//! judges; the same measurement, small, is a test of the service: see `tests/it/campaign_bench.rs`.

mod measure;

use clap::Parser;

use measure::Plan;

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
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::print_stdout, reason = "the result is what the program is for")]
fn main() {
    let args = Args::parse();
    let plan = match args.bench {
        false => Plan::smoke(),
        true => Plan {
            recipients: args.recipients,
            concurrent: args.concurrent,
            calls: args.calls,
            talk_ms: args.talk_seconds * 1_000,
        },
    };
    let report = actix_web::rt::System::new().block_on(measure::run(&plan));
    println!("{report}");
}
