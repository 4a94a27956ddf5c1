//! The bench of campaigns in small, so that it cannot rot: it says whether everybody is called, and
//! nothing about time.

#[path = "../../benches/campaign/measure.rs"]
mod measure;

use measure::Plan;

#[actix_web::test]
async fn a_large_campaign_is_taken_and_a_busy_one_runs_to_its_end() {
    let plan = Plan::smoke();
    let report = measure::run(&plan).await;
    assert_eq!(report.accepted, u64::from(plan.recipients), "{report}");
    assert_eq!(report.completed, u64::from(plan.calls), "{report}");
    assert!(report.occupancy <= f64::from(plan.concurrent), "{report}");
}
