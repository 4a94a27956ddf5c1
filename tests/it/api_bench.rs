//! The bench of the API in small, so that it cannot rot: it says whether every route answers as it
//! should over a database with a history, and nothing about time.

#[path = "../../benches/api/measure/mod.rs"]
mod measure;

use measure::{Database, Plan};

async fn every_route_answers(database: Database) {
    let plan = Plan::smoke(database);
    let report = measure::run(&plan, |_| {}).await;
    assert!(!report.has_errors(), "{report}");
    assert!(report.routes.len() > 20, "{report}");
    let asked = usize::try_from(plan.requests).expect("a few");
    assert!(report.routes.iter().all(|route| route.requests == asked), "{report}");
}

#[actix_web::test]
async fn every_route_answers_over_a_history_of_calls() {
    every_route_answers(Database::Sqlite).await;
}

#[actix_web::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn every_route_answers_over_a_history_of_calls_in_postgres() {
    let server = std::env::var("TEST_POSTGRES_URL");
    let server = server.expect("TEST_POSTGRES_URL must name a server: run scripts/with-postgres");
    every_route_answers(Database::Postgres(server)).await;
}
