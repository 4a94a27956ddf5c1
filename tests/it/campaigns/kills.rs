//! A campaign whose node is killed at any moment, again and again.

use std::time::Duration;

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use callspan::campaigns::CampaignSettings;
use callspan::store::{CampaignState, NodeId};
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{fill, number, settings};
use crate::harness::process::World;
use crate::harness::{soon, within};

const PEOPLE: usize = 200;
const KILLS: usize = 12;

#[actix_web::test]
async fn nobody_is_dialled_twice_or_forgotten_however_often_the_node_is_killed() {
    let seed = rand::random();
    let mut rng = SmallRng::seed_from_u64(seed);
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::from_millis(300));
    let world = World::with_twilio(|twilio| twilio.phone = busy).set("CALLSPAN_MAX_CPS", "1000");
    // The first start makes the company; then the campaign is there, and no node.
    let mut program = world.start().await;
    program.signal("KILL");
    assert_eq!(program.exit_code().await, None);
    let store = world.store().await;
    let some = CampaignSettings { max_concurrent_calls: 20, ..settings() };
    let id = CampaignId::generate();
    fill(&store, id, NodeId::generate(), &some, PEOPLE).await;

    for _ in 0..KILLS {
        let mut program = world.start().await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..900))).await;
        program.signal("KILL");
        assert_eq!(program.exit_code().await, None);
    }
    let mut program = world.start().await;
    let over = async {
        while store.campaign(id).await.expect("a database").expect("stored").state
            != CampaignState::Completed
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(Duration::from_secs(180), "the end of the campaign", over).await;

    for n in 0..PEOPLE {
        let dials = world.twilio.calls_to(&number(n)).len();
        assert_eq!(dials, 1, "{} was dialled {dials} times (seed {seed})", number(n));
    }
    let counts = store.campaign_counts(id).await.expect("a database");
    assert_eq!(counts.finished(), PEOPLE as u64, "{counts:?} (seed {seed})");
    let rows = store.recipients(id, None, 0, 1_000).await.expect("a database");
    let mut counted = std::collections::BTreeMap::new();
    for row in &rows {
        assert!(row.state.is_final() && row.attempts == 1, "{row:?} (seed {seed})");
        *counted.entry(row.state).or_insert(0) += 1;
    }
    assert_eq!(counted, counts.states, "what was counted is what there is (seed {seed})");
    assert!(counts.of(RecipientState::Busy) > 0, "{counts:?}");
    assert_eq!(store.count_live().await.expect("a database"), 0, "calls are stored as live");
    store.close().await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    // Agents that were being made when a node was killed stay until nobody has joined them in time.
    soon("the last callbacks", world.twilio.wait_until(|twilio| twilio.live_calls() == 0)).await;
    assert!(world.twilio.violations().is_empty(), "{:#?}", world.twilio.violations());
    // An agent is given back by joining it, and whoever does so may be killed and succeeded.
    let complaints = world.ultravox.violations();
    let is_known = |what: &str| what == "the call was joined a second time";
    assert!(complaints.iter().all(|it| is_known(&it.what)), "{complaints:#?}");
}
