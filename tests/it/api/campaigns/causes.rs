//! What a campaign needs is taken away while it runs: it pauses, says why, and nobody is lost.

use loadtest::twilio::{RestFault, RestOperation, SimCall};
use loadtest::ultravox::{Fault, On};
use reqwest::Method;
use serde_json::{Value, json};

use super::numbers;
use crate::api::{agent_config, text};
use crate::harness::{Setup, TestApp, soon};

/// A campaign of three, one at a time, whose first call is up.
struct Interrupted {
    app: TestApp,
    id: String,
    agent: String,
    first: SimCall,
}

/// Waits until one of them is talking.
async fn talks_to(app: &TestApp, n: usize) -> SimCall {
    let number = format!("+1212555{n:04}");
    let phone = soon("the call", app.twilio.wait_for_call(&number)).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone
}

impl Interrupted {
    async fn begin() -> Self {
        let app = Setup::new().set("CALLSPAN_MAX_CPS", "1000").start().await;
        let agent = app.new_agent(&agent_config()).await;
        let order = json!({
            "name": "Reminders", "agent_id": agent, "max_concurrent_calls": 1,
            "recipients": numbers(3),
        });
        let id = text(&app.new_campaign(&order).await["id"]).to_owned();
        let first = talks_to(&app, 0).await;
        Interrupted { app, id, agent, first }
    }

    async fn is(&self, state: &str) -> Value {
        let path = format!("/campaigns/{}", self.id);
        let reached = async {
            loop {
                let campaign = self.app.ask(Method::GET, &path).await.json();
                if campaign["state"] == state {
                    return campaign;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon(&format!("the campaign to be {state}"), reached).await
    }

    /// The campaign has paused for a reason that has these words in it, and two are still waiting.
    async fn paused_for(&self, words: &[&str]) {
        let campaign = self.is("paused").await;
        let cause = text(&campaign["cause"]);
        assert!(words.iter().all(|word| cause.contains(word)), "{cause}");
        let counts = &campaign["counts"];
        assert_eq!((&counts["completed"], &counts["waiting"]), (&json!(1), &json!(2)));
    }

    /// Goes on to the end, now that all is as it should be.
    async fn goes_on(self) {
        let path = format!("/campaigns/{}/resume", self.id);
        assert_eq!(self.app.ask(Method::POST, &path).await.status, 200);
        for n in 1..3 {
            talks_to(&self.app, n).await.hang_up();
        }
        assert_eq!(self.is("completed").await["counts"]["completed"], 3);
        assert_eq!(self.app.twilio.calls().len(), 3, "each was dialled once");
        self.app.finish().await;
    }
}

#[actix_web::test]
async fn an_agent_that_is_deleted_pauses_its_campaign() {
    let running = Interrupted::begin().await;
    let path = format!("/agents/{}", running.agent);
    assert_eq!(running.app.ask(Method::DELETE, &path).await.status, 204);
    running.first.hang_up();
    running.paused_for(&[&running.agent, "not there any more"]).await;
    let again = running.app.ask(Method::POST, &format!("/campaigns/{}/resume", running.id)).await;
    assert_eq!(again.status, 200);
    running.paused_for(&["not there any more"]).await;
    assert_eq!(running.app.twilio.calls().len(), 1, "nobody is called without an agent");
    running.app.finish().await;
}

#[actix_web::test]
async fn credentials_that_twilio_has_revoked_pause_the_campaign() {
    let running = Interrupted::begin().await;
    let message = "Authenticate".to_owned();
    let revoked = RestFault::Error { status: 401, code: 20_003, message };
    running.app.twilio.fail_always(RestOperation::CreateCall, revoked);
    running.first.hang_up();
    running.paused_for(&["20003", "Authenticate"]).await;
    running.app.twilio.heal();
    running.goes_on().await;
}

#[actix_web::test]
async fn credentials_that_ultravox_has_revoked_pause_the_campaign() {
    let running = Interrupted::begin().await;
    let body = json!({"detail": "Invalid API key."});
    running
        .app
        .ultravox
        .fail_always(On::CreateCall, Fault::Answer { status: 401, body, retry_after: None });
    running.first.hang_up();
    running.paused_for(&["Invalid API key"]).await;
    running.app.ultravox.heal();
    running.goes_on().await;
}

#[actix_web::test]
async fn a_key_that_somebody_mistypes_pauses_the_campaign() {
    let running = Interrupted::begin().await;
    let right = running.app.ultravox.api_key();
    for (key, is_right) in [("mistyped-key", false), (right, true)] {
        let patch = json!({"ultravox": {"apikey": key}});
        let changed = running.app.tell(Method::PATCH, "/companies/1", &patch).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        if !is_right {
            running.first.hang_up();
            running.paused_for(&["Ultravox", "Invalid API key"]).await;
        }
    }
    running.goes_on().await;
}
