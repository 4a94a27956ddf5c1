//! The bench of campaigns in small, so that it cannot rot: it says whether everybody is called, and
//! nothing about time.

#[path = "../../benches/campaign/measure.rs"]
mod measure;

use measure::{Database, Plan};

async fn everybody_is_called(database: Database) {
    let plan = Plan::smoke(database);
    let report = measure::run(&plan).await;
    assert_eq!(report.accepted, u64::from(plan.recipients), "{report}");
    assert_eq!(report.completed, u64::from(plan.calls), "{report}");
    assert!(report.occupancy <= f64::from(plan.concurrent), "{report}");
}

#[actix_web::test]
async fn a_large_campaign_is_taken_and_a_busy_one_runs_to_its_end() {
    everybody_is_called(Database::Sqlite).await;
}

#[actix_web::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn a_large_campaign_is_taken_and_a_busy_one_runs_to_its_end_in_postgres() {
    let server = std::env::var("TEST_POSTGRES_URL");
    let server = server.expect("TEST_POSTGRES_URL must name a server: run scripts/with-postgres");
    everybody_is_called(Database::Postgres(server)).await;
}
