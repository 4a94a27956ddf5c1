//! A company dials no faster than it may, whatever it is asked.

use std::time::{Duration, Instant};

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome, SimTwilio};
use reqwest::Method;
use serde_json::json;

use crate::harness::requests::INITIATE;
use crate::harness::{ADMIN_KEY, Setup, TestApp};

async fn app(max_cps: &str) -> TestApp {
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
    Setup::new().set("CALLSPAN_MAX_CPS", max_cps).phones(busy).start().await
}

fn number(n: usize) -> String {
    format!("+1212555{n:04}")
}

/// When Twilio was asked for calls.
fn creates(twilio: &SimTwilio) -> Vec<Instant> {
    let requests = twilio.requests().into_iter();
    let creates =
        requests.filter(|asked| asked.method == "POST" && asked.path.ends_with("/Calls.json"));
    let mut times: Vec<Instant> = creates.map(|asked| asked.at).collect();
    times.sort();
    times
}

/// The most that were seen in any second.
fn most_in_a_second(times: &[Instant]) -> usize {
    let second = Duration::from_secs(1);
    let within =
        |from: Instant| times.iter().filter(|at| **at >= from && **at < from + second).count();
    times.iter().map(|from| within(*from)).max().unwrap_or_default()
}

#[actix_web::test]
async fn twilio_never_sees_six_calls_in_a_second_of_a_company_that_may_place_five() {
    let app = app("5").await;
    let numbers: Vec<String> = (0..30).map(number).collect();
    let answers = futures_util::future::join_all(numbers.iter().map(|to| app.call(to))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let times = creates(&app.twilio);
    assert_eq!(times.len(), 30);
    assert!(most_in_a_second(&times) <= 5, "{times:?}");
    app.finish().await;
}

#[actix_web::test]
async fn a_company_that_may_dial_faster_does() {
    let app = app("0.01").await;
    assert_eq!(app.call(&number(0)).await.status, 200);
    let refused = app.call(&number(1)).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let faster = json!({"twilio": {"max_cps": 500}});
    let changed = app.tell(Method::PATCH, "/companies/1", &faster).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let dialled = async {
        while app.call(&number(2)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    crate::harness::soon("the new pace", dialled).await;
    app.finish().await;
}

#[actix_web::test]
async fn nobody_waits_at_the_end_of_a_long_line() {
    let app = app("0.01").await;
    assert_eq!(app.call(&number(0)).await.status, 200);
    let refused = app.call(&number(1)).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!((1..=90).contains(&refused.retry_after()), "{refused:?}");
    assert!(refused.error().contains("may place 0.01 calls a second"), "{refused:?}");

    let agent = app.new_agent(&crate::api::agent_config()).await;
    let wish = json!({"phone_number": number(2)});
    let refused = app.tell(Method::POST, &format!("/calls/{agent}"), &wish).await;
    assert!(refused.retry_after() >= 1, "{refused:?}");
    let message = refused.refused(429, "calls_per_second_exceeded");
    assert!(message.contains("try again later, or raise its max_cps"), "{message}");
    assert_eq!(app.call_ids().len(), 1, "nothing was made ready for who was refused");
    app.finish().await;
}

#[actix_web::test]
async fn a_refusal_leaves_the_idempotency_key_free() {
    let app = app("0.01").await;
    assert_eq!(app.call(&number(0)).await.status, 200);
    let ask = || async {
        let request = app.http.post(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY);
        let request = request.header("Idempotency-Key", "one");
        let body = json!({"companyId": 1, "destinationNumber": number(1)});
        crate::harness::requests::Answer::to(request.json(&body)).await
    };
    assert_eq!(ask().await.status, 429);
    let faster = json!({"twilio": {"max_cps": 500}});
    assert_eq!(app.tell(Method::PATCH, "/companies/1", &faster).await.status, 200);
    let dialled = async {
        while ask().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    crate::harness::soon("the new pace", dialled).await;
    assert_eq!(ask().await.header("idempotent-replayed"), Some("true"));
    app.finish().await;
}
