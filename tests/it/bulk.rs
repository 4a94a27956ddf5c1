//! The bulk routes of the call routes document: many numbers in one request.

use std::time::Duration;

use actors::ids::CampaignId;
use callspan::store::{CampaignRow, CampaignState};
use loadtest::twilio::{CallStatus, PhoneBehaviour, PhoneOutcome, SimCall, SimTwilio};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::process::World;
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, LIMIT, Setup, TestApp, soon, within};

const BASE: &str = "/api/ultravox-calls";
const SEQUENTIAL: &str = "/api/ultravox-calls/bulk-calls-sequential";
const BULK: &str = "/api/ultravox-calls/bulk-calls";
const INTELLIGENT: &str = "/api/ultravox-calls/intelligent-bulk-calls";

fn number(n: usize) -> String {
    format!("+1212555{n:04}")
}

fn body(numbers: &[String]) -> Value {
    json!({"companyId": 1, "phoneNumbers": numbers})
}

fn post(app: &TestApp, path: &str, body: &Value) -> RequestBuilder {
    app.http.post(app.url(path)).header("X-API-Key", ADMIN_KEY).json(body)
}

async fn ask(app: &TestApp, path: &str, body: &Value) -> Answer {
    Answer::to(post(app, path, body)).await
}

/// Phones that are busy at once.
async fn busy() -> TestApp {
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
    Setup::new().phones(busy).start().await
}

/// The id that `Location` and the body name.
fn campaign_of(answer: &Answer) -> CampaignId {
    let location = answer.header("location").expect("Location");
    let id = location.strip_prefix("/api/v1/campaigns/").expect("the path of a campaign");
    assert_eq!(answer.json()["campaignId"], id);
    id.parse().expect("an id")
}

async fn campaign(app: &TestApp, id: CampaignId) -> CampaignRow {
    app.app.store().campaign(id).await.expect("a database").expect("the campaign is stored")
}

/// Waits until a campaign is over.
async fn over(app: &TestApp, id: CampaignId) -> CampaignRow {
    let over = async {
        while !campaign(app, id).await.state.is_final() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(LIMIT * 2, "the end of the campaign", over).await;
    campaign(app, id).await
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["callResults"].as_array().expect("an array");
    results.iter().map(|result| result["status"].as_str().expect("a word")).collect()
}

#[actix_web::test]
async fn bad_requests_are_refused_as_those_of_single_calls_are() {
    let app = busy().await;
    for path in [SEQUENTIAL, BULK, INTELLIGENT, "/bulk-calls-sequential"] {
        let refused = ask(&app, path, &json!({"phoneNumbers": [number(0)]})).await;
        assert_eq!((refused.status, refused.error().as_str()), (400, "Company ID is required"));
        let refused = ask(&app, path, &body(&[])).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.error().starts_with("phoneNumbers must be an array of 1 to 10000"));
        let elsewhere = json!({"companyId": 99, "phoneNumbers": [number(0)]});
        let refused = ask(&app, path, &elsewhere).await;
        let missing = "Twilio configuration not found";
        assert_eq!((refused.status, refused.error().as_str()), (404, missing));
        let unsafe_url =
            json!({"companyId": 1, "phoneNumbers": [number(0)], "twimlUrl": "http://x.example"});
        let refused = ask(&app, path, &unsafe_url).await;
        assert_eq!(refused.error(), "twimlUrl must be an https:// URL");
        let stranger = app.http.post(app.url(path)).json(&body(&[number(0)]));
        assert_eq!(Answer::to(stranger).await.status, 401, "{path}");
        let wrong = app.http.get(app.url(path)).header("X-API-Key", ADMIN_KEY);
        assert_eq!(Answer::to(wrong).await.status, 405, "{path}");
    }
    app.add_company(2, &callspan::store::CompanySettings::default()).await;
    app.add_key(2, "the-key-of-company-two").await;
    let foreign = app.http.post(app.url(BULK)).header("X-API-Key", "the-key-of-company-two");
    let refused = Answer::to(foreign.json(&body(&[number(0)]))).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    app.finish().await;
}

#[actix_web::test]
async fn when_nobody_can_be_called_every_number_says_why() {
    let app = busy().await;
    let given = ["Ann".to_owned(), "+1".to_owned(), String::new()];
    let answer = ask(&app, INTELLIGENT, &body(&given)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["totalCalls"], statuses(&answer)), (&json!(3), vec!["failed"; 3]));
    for (n, number) in given.iter().enumerate() {
        let result = &answer["callResults"][n];
        assert_eq!((&result["phoneNumber"], &result["callSid"]), (&json!(number), &Value::Null));
        let why = result["error"].as_str().expect("a reason");
        assert!(why.starts_with("phoneNumber "), "{why}");
    }
    assert_eq!(answer["failedCalls"], answer["callResults"]);
    app.finish().await;
}

#[actix_web::test]
async fn a_campaign_has_the_rules_of_its_route() {
    let app = busy().await;
    let asked = json!({
        "companyId": 1, "phoneNumbers": [number(0), "Ann"],
        "maxConcurrentCalls": 3, "maxCallDuration": 90
    });
    let rules = [
        (SEQUENTIAL, json!("bulk_sequential"), json!(1), Value::Null),
        ("/bulk-calls-sequential", json!("bulk_sequential"), json!(1), Value::Null),
        (BULK, json!("bulk"), json!(3), Value::Null),
        (INTELLIGENT, json!("intelligent_bulk"), json!(3), json!(90)),
    ];
    for (path, origin, concurrent, seconds) in rules {
        let request = post(&app, path, &asked).header("Prefer", "respond-async");
        let answer = Answer::to(request).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        assert_eq!(answer.json()["totalCalls"], 2);
        let row = campaign(&app, campaign_of(&answer)).await;
        assert_eq!(
            (row.name.as_str(), row.recipients),
            (&path[path.rfind('/').expect("a path") + 1..], 2)
        );
        let settings: Value = serde_json::from_str(&row.settings).expect("JSON");
        assert_eq!(settings["origin"], origin);
        assert_eq!(settings["max_concurrent_calls"], concurrent);
        assert_eq!(settings["max_call_seconds"], seconds);
        over(&app, row.id).await;
    }
    app.finish().await;
}

#[actix_web::test]
async fn every_number_has_its_row_in_the_order_of_the_request() {
    let app = Setup::new().set("CALLSPAN_RING_TIMEOUT_SECONDS", "5").start().await;
    let outcomes = [
        (PhoneOutcome::Busy, "busy"),
        (PhoneOutcome::NoAnswer, "no-answer"),
        (PhoneOutcome::Failed, "failed"),
        (PhoneOutcome::Canceled, "canceled"),
    ];
    let mut numbers = Vec::new();
    for (n, (outcome, _)) in outcomes.iter().enumerate() {
        let behaviour = PhoneBehaviour::ends_in(*outcome).ringing_for(Duration::ZERO);
        app.twilio.set_phone(&number(n), behaviour);
        numbers.push(number(n));
    }
    numbers.extend(["+1".to_owned(), number(0)]);
    let answer = ask(&app, BULK, &body(&numbers)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["message"], "Bulk calls processed");
    let expected = ["busy", "no-answer", "failed", "canceled", "failed", "failed"];
    assert_eq!((&answer["totalCalls"], statuses(&answer)), (&json!(6), expected.to_vec()));
    assert!(answer.get("failedCalls").is_none());
    for (n, number) in numbers.iter().enumerate() {
        let result = &answer["callResults"][n];
        assert_eq!(result["phoneNumber"], *number);
        let calls = app.twilio.calls_to(number);
        match n {
            0..4 => {
                assert_eq!(calls.len(), 1, "{number} is called once");
                assert_eq!(result["callSid"], calls[0].sid());
                assert!(result["joinUrl"].as_str().is_some_and(|url| url.starts_with("ws")));
            }
            _ => assert_eq!((&result["callSid"], &result["joinUrl"]), (&json!(null), &json!(null))),
        }
    }
    app.finish().await;
}

/// Calls that are not over. A call that is over still counts as live for as long as its last callback
/// is under way.
fn ongoing(twilio: &SimTwilio) -> Vec<SimCall> {
    twilio.calls().into_iter().filter(|call| !call.is_over()).collect()
}

#[actix_web::test]
async fn the_next_call_begins_when_the_one_before_has_ended_at_twilio() {
    let app = TestApp::start().await;
    let numbers: Vec<String> = (0..3).map(number).collect();
    let request = post(&app, "/bulk-calls-sequential", &body(&numbers));
    let answer = actix_web::rt::spawn(Answer::to(request));
    for to in &numbers {
        let phone = soon("the call", app.twilio.wait_for_call(to)).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        assert_eq!(ongoing(&app.twilio).len(), 1, "strictly one after another");
        assert!(!answer.is_finished(), "the request stays open");
        phone.hang_up();
    }
    let answer = soon("the answer", answer).await.expect("no panic").json();
    assert_eq!(answer["message"], "Bulk calls processed sequentially");
    assert_eq!(statuses(&answer), ["completed"; 3]);
    for (before, after) in numbers.iter().zip(&numbers[1..]) {
        let [before, after] = [before, after].map(|to| app.twilio.calls_to(to)[0].clone());
        let ended = before.status_since(CallStatus::Completed).expect("it was reached");
        let asked = app.twilio.requests().into_iter().find(|asked| {
            asked.path.ends_with("/Calls.json") && asked.field("To") == Some(after.to())
        });
        assert!(asked.expect("it was asked for").at >= ended);
    }
    app.finish().await;
}

#[actix_web::test]
async fn as_many_calls_at_a_time_as_were_asked_for() {
    let app = TestApp::start().await;
    let numbers: Vec<String> = (0..6).map(number).collect();
    let mut body = body(&numbers);
    body["maxConcurrentCalls"] = json!(2);
    let answer = actix_web::rt::spawn(Answer::to(post(&app, BULK, &body)));
    for _ in 0..numbers.len() {
        soon("a call", app.twilio.wait_until(|twilio| !ongoing(twilio).is_empty())).await;
        let live = ongoing(&app.twilio);
        assert!(live.len() <= 2);
        let phone = live.first().expect("nobody else hangs up");
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
        soon("its end", phone.wait_until_over()).await;
    }
    let answer = soon("the answer", answer).await.expect("no panic").json();
    assert_eq!(statuses(&answer), ["completed"; 6]);
    app.finish().await;
}

#[actix_web::test]
async fn a_call_that_lasts_too_long_is_ended_and_told() {
    let app = TestApp::start().await;
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
    app.twilio.set_phone(&number(1), busy);
    let mut body = body(&[number(0), number(1)]);
    body["maxCallDuration"] = json!(2);
    let answer = ask(&app, INTELLIGENT, &body).await.json();
    assert_eq!(answer["message"], "Intelligent bulk calls processed");
    assert_eq!(statuses(&answer), ["completed", "busy"]);
    assert_eq!(answer["callResults"][0]["terminated"], true);
    assert_eq!(answer["callResults"][1]["terminated"], false);
    assert_eq!(answer["failedCalls"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["failedCalls"][0], answer["callResults"][1]);
    let phone = &app.twilio.calls_to(&number(0))[0];
    assert_eq!(phone.status(), CallStatus::Completed, "Twilio's side is ended too");
    app.finish().await;
}

#[actix_web::test]
async fn a_client_that_goes_away_stops_no_call() {
    let app = TestApp::start().await;
    let numbers: Vec<String> = (0..3).map(number).collect();
    let request = post(&app, SEQUENTIAL, &body(&numbers));
    let leaving = actix_web::rt::spawn(request.send());
    let first = soon("the first call", app.twilio.wait_for_call(&numbers[0])).await;
    leaving.abort();
    soon("the stream", first.wait_for_stream()).await.expect("a stream");
    first.hang_up();
    for to in &numbers[1..] {
        let phone = soon("the next call", app.twilio.wait_for_call(to)).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_client_need_not_wait() {
    let app = TestApp::start().await;
    let numbers = [number(0), number(1)];
    let request = post(&app, SEQUENTIAL, &body(&numbers)).header("Prefer", "wait=1");
    let answer = Answer::to(request).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("wait=1")));
    let id = campaign_of(&answer);
    for to in &numbers {
        let phone = soon("the call", app.twilio.wait_for_call(to)).await;
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
    }
    assert_eq!(over(&app, id).await.state, CampaignState::Completed);

    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
    app.twilio.set_default_phone(busy);
    let request = post(&app, SEQUENTIAL, &body(&[number(2)])).header("Prefer", "wait=60");
    let answer = Answer::to(request).await;
    assert_eq!(answer.status, 200, "it is over before: {answer:?}");
    app.finish().await;
}

#[actix_web::test]
async fn a_key_begins_its_calls_once() {
    let app = TestApp::start().await;
    let body = body(&[number(0), number(1)]);
    let keyed = |key: &'static str| post(&app, SEQUENTIAL, &body).header("Idempotency-Key", key);
    let first = actix_web::rt::spawn(Answer::to(keyed("one")));
    let phone = soon("the first call", app.twilio.wait_for_call(&number(0))).await;
    let again = Answer::to(keyed("one")).await;
    assert_eq!((again.status, again.retry_after()), (409, 1), "{again:?}");
    for phone in [Some(phone), None] {
        let phone = match phone {
            Some(phone) => phone,
            None => soon("the second call", app.twilio.wait_for_call(&number(1))).await,
        };
        soon("the stream", phone.wait_for_stream()).await.expect("a stream");
        phone.hang_up();
    }
    let first = soon("the answer", first).await.expect("no panic");
    let again = Answer::to(keyed("one")).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(app.twilio.calls().len(), 2);

    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
    app.twilio.set_default_phone(busy);
    let hasty = || keyed("two").header("Prefer", "respond-async");
    let first = Answer::to(hasty()).await;
    let again = Answer::to(hasty()).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(campaign_of(&first), campaign_of(&again), "Location is replayed too");
    over(&app, campaign_of(&first)).await;
    app.finish().await;
}

#[actix_web::test]
async fn calls_may_follow_somebody_elses_twiml() {
    let app = busy().await;
    let mut body = body(&[number(0)]);
    body["twimlUrl"] = json!("https://demo.twilio.com/docs/voice.xml");
    let answer = ask(&app, BULK, &body).await.json();
    assert_eq!(statuses(&answer), ["busy"]);
    assert_eq!(answer["callResults"][0]["joinUrl"], Value::Null, "there is no agent");
    let placed = app.placed();
    assert_eq!(placed.field("Url"), Some("https://demo.twilio.com/docs/voice.xml"));
    app.finish().await;
}

#[actix_web::test]
async fn there_is_no_bulk_route_but_the_documented_ones() {
    let app = busy().await;
    for path in [format!("{BASE}/bulk"), "/bulk-calls".to_owned()] {
        assert_eq!(ask(&app, &path, &body(&[number(0)])).await.status, 404, "{path}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn after_a_kill_the_same_key_gets_the_answer_and_nobody_is_called_twice() {
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::from_millis(200));
    let world = World::with_twilio(|twilio| twilio.phone = busy);
    let mut program = world.start().await;
    let numbers: Vec<String> = (0..10).map(number).collect();
    let (http, url) = (reqwest::Client::new(), format!("{}{BULK}", world.public_url()));
    let ask = || {
        let request = http.post(&url).header("X-API-Key", ADMIN_KEY);
        request.header("Idempotency-Key", "once").json(&body(&numbers)).send()
    };
    let first = actix_web::rt::spawn(ask());
    soon("a call", world.twilio.wait_until(|twilio| !twilio.calls().is_empty())).await;
    program.signal("KILL");
    assert_eq!(program.exit_code().await, None);
    assert!(soon("the break", first).await.expect("no panic").is_err());

    let mut program = world.start().await;
    let again = async {
        loop {
            let answer = ask().await.expect("an answer");
            // Until it is clear that the first node is gone.
            if answer.status().as_u16() != 409 {
                return answer;
            }
            assert_eq!(answer.headers()["retry-after"], "1");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answer = within(LIMIT * 4, "the answer", again).await;
    assert_eq!(answer.status().as_u16(), 200);
    let answer: Value = answer.json().await.expect("a JSON body");
    assert_eq!((&answer["totalCalls"], statuses(&answer).len()), (&json!(10), 10));
    for to in &numbers {
        assert_eq!(world.twilio.dials_to(to), 1, "{to}");
    }
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
}
