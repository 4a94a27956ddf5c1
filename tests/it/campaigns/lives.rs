//! A campaign from its first call to its last.

use actors::campaign::RecipientState;
use callspan::campaigns::{CampaignSettings, Retries};
use callspan::store::CampaignState;
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use loadtest::ultravox::AgentScript;

use super::{number, settings};
use crate::harness::{Setup, soon};

/// Phones that nobody answers because they are busy: the shortest calls there are.
fn busy() -> Setup {
    Setup::new()
        .set("CALLSPAN_MAX_CPS", "1000")
        .agents(AgentScript::Manual)
        .phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy))
}

#[actix_web::test]
async fn everybody_is_dialled_once() {
    let app = busy().start().await;
    let id = app.campaign(&settings(), 30).await;
    let row = app.campaign_is(id, CampaignState::Completed).await;
    assert!(row.ended_at.is_some());
    assert_eq!(app.campaign_count(id, RecipientState::Busy).await, 30);
    let rows = app.app.store().recipients(id, None, 0, 100).await.expect("a database");
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(
            (row.number.clone(), row.state, row.attempts),
            (number(n), RecipientState::Busy, 1)
        );
        assert!(row.call_sid.is_some() && row.reason.as_deref() == Some("busy"), "{row:?}");
        assert_eq!(app.twilio.calls_to(&number(n)).len(), 1);
    }
    app.finish().await;
}

#[actix_web::test]
async fn one_after_another_waits_for_the_end_at_twilio() {
    let app = Setup::new().set("CALLSPAN_MAX_CPS", "1000").start().await;
    let one = CampaignSettings { max_concurrent_calls: 1, ..settings() };
    let id = app.campaign(&one, 3).await;
    for n in 0..3 {
        let phone = soon("the call", app.twilio.wait_for_call(&number(n))).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        assert!(app.twilio.calls_to(&number(n + 1)).is_empty(), "the next one waits");
        phone.hang_up();
        soon("the end", phone.wait_until_settled()).await;
    }
    app.campaign_is(id, CampaignState::Completed).await;
    assert_eq!(app.campaign_count(id, RecipientState::Completed).await, 3);
    app.finish().await;
}

#[actix_web::test]
async fn the_busy_are_dialled_again() {
    let app = busy().start().await;
    let retries = Retries { max_attempts: 3, backoff_seconds: 0, ..Retries::default() };
    let id = app.campaign(&CampaignSettings { retries, ..settings() }, 2).await;
    app.campaign_is(id, CampaignState::Completed).await;
    for n in 0..2 {
        assert_eq!(app.twilio.calls_to(&number(n)).len(), 3);
    }
    app.finish().await;
}
