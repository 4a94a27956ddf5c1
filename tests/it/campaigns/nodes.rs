//! A campaign that goes from one node to the next.

use std::time::Duration;

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callspan::campaigns::CampaignSettings;
use callspan::store::{CampaignState, NodeId};
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};

use super::{fill, number, settings};
use crate::harness::process::World;
use crate::harness::{Setup, soon, within};
use crate::two_nodes::database;

/// As long as it takes on a slow machine.
const CAMPAIGN_LIMIT: Duration = Duration::from_secs(120);

fn busy() -> PhoneBehaviour {
    PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::from_millis(300))
}

fn few() -> CampaignSettings {
    CampaignSettings { max_concurrent_calls: 5, ..settings() }
}

#[actix_web::test]
async fn a_node_that_stops_in_good_order_leaves_the_rest_to_the_next() {
    let world = World::with_twilio(|twilio| twilio.phone = busy()).set("CALLSPAN_MAX_CPS", "1000");
    let mut program = world.start().await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    let store = world.store().await;
    let id = CampaignId::generate();
    fill(&store, id, NodeId::generate(), &few(), 60).await;

    let mut program = world.start().await;
    soon("a call", world.twilio.wait_for_call(&number(7))).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    let row = store.campaign(id).await.expect("a database").expect("stored");
    assert_eq!((row.state, row.node), (CampaignState::Running, None), "anybody may have it");
    let counts = store.campaign_counts(id).await.expect("a database");
    assert_eq!(counts.of(RecipientState::Calling), 0, "every call was seen to its end");
    assert!(counts.of(RecipientState::Waiting) > 0, "{counts:?}");

    let mut program = world.start().await;
    let over = async {
        while !store.campaign(id).await.expect("a database").expect("stored").state.is_final() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(CAMPAIGN_LIMIT, "the end of the campaign", over).await;
    for n in 0..60 {
        assert_eq!(world.twilio.calls_to(&number(n)).len(), 1);
    }
    store.close().await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn another_node_takes_a_campaign_over() {
    let app = Setup::new()
        .set("DATABASE_URL", database().await)
        .set("CALLSPAN_MASTER_KEY", STANDARD.encode([7; 32]))
        .set("CALLSPAN_MAX_CPS", "1000")
        .phones(busy())
        .start()
        .await;
    let first = app.another_node().await;
    let id = CampaignId::generate();
    let filling = first.campaigns().filling(id);
    fill(first.store(), id, first.node(), &few(), 60).await;
    drop(filling);
    first.campaigns().poke(id);
    soon("a call", app.twilio.wait_for_call(&number(7))).await;
    soon("the first node to stop", first.drain(Duration::from_secs(60))).await;
    let over = async {
        while app.campaign_row(id).await.state != CampaignState::Completed {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(CAMPAIGN_LIMIT, "the end of the campaign", over).await;
    for n in 0..60 {
        assert_eq!(app.twilio.calls_to(&number(n)).len(), 1);
    }
    app.finish().await;
}
