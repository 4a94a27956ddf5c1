//! A campaign that is paused, canceled, refused, and left to the next node.

use std::time::Duration;

use actors::call::EndReason;
use actors::campaign::RecipientState;
use actors::machine::{DetectionMode, MachineDetection, OnMachine};
use callspan::campaigns::CampaignSettings;
use callspan::store::CampaignState;
use jiff::Timestamp;
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome, RestFault, RestOperation};
use serde_json::json;

use super::{number, settings};
use crate::harness::{Setup, TestApp, soon};

/// Phones that answer, and talk until somebody ends it.
async fn talkers() -> TestApp {
    Setup::new().set("CALLSPAN_MAX_CPS", "1000").start().await
}

fn few(max_concurrent_calls: u32) -> CampaignSettings {
    CampaignSettings { max_concurrent_calls, ..settings() }
}

impl TestApp {
    /// Waits until so many recipients are in a state.
    async fn recipients_are(&self, id: actors::ids::CampaignId, state: RecipientState, count: u64) {
        let reached = async {
            while self.campaign_count(id, state).await != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{count} to be {state}"), reached).await;
    }
}

#[actix_web::test]
async fn a_paused_campaign_dials_nobody_until_it_goes_on() {
    let app = talkers().await;
    let id = app.campaign(&few(2), 4).await;
    let first = soon("the call", app.twilio.wait_for_call(&number(0))).await;
    let second = soon("the call", app.twilio.wait_for_call(&number(1))).await;
    let store = app.app.store();
    let (running, paused) = (CampaignState::Running, CampaignState::Paused);
    assert!(store.move_campaign(id, &[running], paused, None, Timestamp::now()).await.expect("ok"));
    app.app.campaigns().poke(id);
    for phone in [&first, &second] {
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
    }
    app.recipients_are(id, RecipientState::Completed, 2).await;
    assert_eq!(app.campaign_row(id).await.state, paused);
    assert_eq!(app.twilio.calls().len(), 2, "nobody else");

    assert!(store.move_campaign(id, &[paused], running, None, Timestamp::now()).await.expect("ok"));
    app.app.campaigns().poke(id);
    for n in 2..4 {
        let phone = soon("the call", app.twilio.wait_for_call(&number(n))).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
    }
    app.campaign_is(id, CampaignState::Completed).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_canceled_campaign_lets_live_calls_end_or_ends_them() {
    for end_calls in [false, true] {
        let app = talkers().await;
        let id = app.campaign(&few(1), 5).await;
        let phone = soon("the call", app.twilio.wait_for_call(&number(0))).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        let store = app.app.store();
        assert!(store.cancel_campaign(id, end_calls, Timestamp::now()).await.expect("ok"));
        app.app.campaigns().poke(id);
        app.recipients_are(id, RecipientState::Skipped, 4).await;
        if !end_calls {
            assert_eq!(app.campaign_row(id).await.state, CampaignState::Canceling);
            phone.hang_up();
        }
        app.campaign_is(id, CampaignState::Canceled).await;
        let expected = if end_calls { EndReason::HungUp } else { EndReason::PhoneHungUp };
        assert_eq!(app.row(&phone).await.end_reason, Some(expected));
        assert_eq!(app.twilio.calls().len(), 1);
        app.finish().await;
    }
}

#[actix_web::test]
async fn a_country_that_is_not_permitted_stops_the_campaign_and_says_so() {
    let app = talkers().await;
    let message = "Account not authorized to call".to_owned();
    app.twilio.fail_always(
        RestOperation::CreateCall,
        RestFault::Error { status: 400, code: 21_215, message },
    );
    let id = app.campaign(&few(1), 5).await;
    let row = app.campaign_is(id, CampaignState::Paused).await;
    let cause = row.cause.expect("a cause");
    assert!(cause.contains("21215") && cause.contains("not authorized"), "{cause}");
    assert_eq!(app.campaign_count(id, RecipientState::Waiting).await, 5, "nobody is lost");
    let rows = app.app.store().recipients(id, None, 0, 10).await.expect("a database");
    assert!(rows.iter().all(|row| row.attempts == 0), "nobody was dialled: {rows:?}");
    app.finish().await;
}

#[actix_web::test]
async fn a_number_that_is_none_fails_alone() {
    let app = Setup::new()
        .set("CALLSPAN_MAX_CPS", "1000")
        .phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy))
        .start()
        .await;
    let message = "The number is not valid".to_owned();
    app.twilio.fail_next(
        RestOperation::CreateCall,
        RestFault::Error { status: 400, code: 21_211, message },
    );
    let id = app.campaign(&few(1), 3).await;
    app.campaign_is(id, CampaignState::Completed).await;
    assert_eq!(app.campaign_count(id, RecipientState::Invalid).await, 1);
    assert_eq!(app.campaign_count(id, RecipientState::Busy).await, 2);
    app.finish().await;
}

#[actix_web::test]
async fn too_many_requests_cost_nobody_an_attempt() {
    let app = Setup::new()
        .set("CALLSPAN_MAX_CPS", "1000")
        .phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy))
        .start()
        .await;
    let busy = RestFault::TooManyRequests { retry_after: Some(Duration::from_secs(3)) };
    app.twilio.fail_next(RestOperation::CreateCall, busy);
    let id = app.campaign(&few(1), 2).await;
    app.campaign_is(id, CampaignState::Completed).await;
    assert_eq!(app.campaign_count(id, RecipientState::Busy).await, 2);
    let rows = app.app.store().recipients(id, None, 0, 10).await.expect("a database");
    assert!(rows.iter().all(|row| row.attempts == 1), "{rows:?}");
    app.finish().await;
}

#[actix_web::test]
async fn an_answering_machine_is_hung_up_and_counted() {
    let machine = PhoneBehaviour::answers().detected_as("machine_start");
    let app = Setup::new().set("CALLSPAN_MAX_CPS", "1000").phones(machine).start().await;
    let detection = MachineDetection { mode: DetectionMode::Enable, on_machine: OnMachine::HangUp };
    let rules = CampaignSettings { answering_machine: Some(detection), ..few(2) };
    let id = app.campaign(&rules, 2).await;
    app.campaign_is(id, CampaignState::Completed).await;
    let counts = app.app.store().campaign_counts(id).await.expect("a database");
    assert_eq!(counts.of(RecipientState::Machine), 2);
    assert_eq!(counts.answered_by.get("machine_start"), Some(&2));
    app.finish().await;
}

#[actix_web::test]
async fn who_says_so_between_upload_and_dialling_is_not_called() {
    let app = talkers().await;
    let id = app.campaign(&few(1), 3).await;
    let phone = soon("the call", app.twilio.wait_for_call(&number(0))).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    let body = json!({"phone_number": number(1)});
    let added = app.tell(reqwest::Method::POST, "/do-not-call", &body).await;
    assert!(added.status < 300, "{added:?}");
    phone.hang_up();
    let last = soon("the call", app.twilio.wait_for_call(&number(2))).await;
    soon("the stream", last.wait_for_stream()).await.expect("a stream");
    last.hang_up();
    app.campaign_is(id, CampaignState::Completed).await;
    assert_eq!(app.campaign_count(id, RecipientState::DoNotCall).await, 1);
    assert!(app.twilio.calls_to(&number(1)).is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn calls_of_foreign_twiml_are_tracked_to_their_end() {
    let app = Setup::new()
        .set("CALLSPAN_MAX_CPS", "1000")
        .phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy))
        .start()
        .await;
    let twiml_url = Some("https://example.com/twiml".to_owned());
    let id = app.campaign(&CampaignSettings { twiml_url, ..few(1) }, 2).await;
    app.campaign_is(id, CampaignState::Completed).await;
    assert_eq!(app.campaign_count(id, RecipientState::Busy).await, 2);
    assert_eq!(app.ultravox.active_calls(), 0, "nobody needs an agent");
    app.finish().await;
}

#[actix_web::test]
async fn whoever_waits_to_be_dialled_when_all_is_canceled_is_not_dialled() {
    let app = Setup::new().set("CALLSPAN_MAX_CPS", "0.1").start().await;
    let id = app.campaign(&few(10), 10).await;
    let phone = soon("the call", app.twilio.wait_for_call(&number(0))).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    app.recipients_are(id, RecipientState::Calling, 1).await;
    assert!(app.app.store().cancel_campaign(id, true, Timestamp::now()).await.expect("ok"));
    app.app.campaigns().poke(id);
    app.campaign_is(id, CampaignState::Canceled).await;
    assert_eq!(app.campaign_count(id, RecipientState::Skipped).await, 9);
    assert_eq!(app.twilio.calls().len(), 1);
    app.finish().await;
}
