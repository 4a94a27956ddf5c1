//! The REST API.

use std::time::Duration;

use callspan_loadtest::tls::Authority;
use callspan_loadtest::twilio::{
    AccountOptions, CallStatus, PhoneBehaviour, RestFault, RestOperation, SimTwilio, TwilioOptions,
};
use serde_json::Value;

use crate::service::Service;

const PHONE: &str = "+12125550123";

fn silent() -> TwilioOptions {
    let phone = PhoneBehaviour::answers().ringing_for(Duration::from_secs(3_600));
    TwilioOptions { phone, ..TwilioOptions::default() }
}

#[actix_web::test]
async fn a_new_call_is_queued_and_mostly_null() {
    let service = Service::start(silent()).await;
    let form = [("To", PHONE), ("From", "+15017122661"), ("Twiml", "<Response/>")];
    let response = service.post("Calls.json", &form).await.expect("an answer");
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-api-domain"], "api.twilio.com");
    assert!(response.headers().contains_key("twilio-request-id"));
    let json: Value = response.json().await.expect("JSON");
    assert_eq!(json["status"], "queued");
    assert_eq!(json["from_formatted"], "(501) 712-2661");
    assert_eq!(json["queue_time"], "0");
    assert_eq!(json["phone_number_sid"], "PN00000000000000000000000000000001");
    for name in ["date_created", "start_time", "end_time", "duration", "answered_by", "trunk_sid"] {
        assert_eq!(json[name], Value::Null, "{name}");
    }

    let call = service.twilio.wait_for_call(PHONE).await;
    call.wait_for_status(CallStatus::Ringing).await.expect("it rings");
    let (status, json) = service.get(json["uri"].as_str().expect("a string")).await;
    assert_eq!((status, &json["status"], &json["duration"]), (200, &"ringing".into(), &"0".into()));
    assert!(json["date_created"].as_str().is_some_and(|date| date.ends_with(" +0000")));
    let request = &service.twilio.requests()[0];
    assert_eq!((request.field("To"), request.status), (Some(PHONE), Some(201)));
    assert!(service.twilio.violations().is_empty());
}

#[actix_web::test]
async fn bad_requests_are_refused_with_the_right_code() {
    let service = Service::start(silent()).await;
    let long = format!("<Response>{}</Response>", " ".repeat(4_000));
    let url = ("Url", "http://localhost/voice");
    let cases: &[(&[(&str, &str)], u32)] = &[
        (&[("From", "+15017122661"), url], 21_201),
        (&[("To", PHONE), url], 21_213),
        (&[("To", "12125550123"), ("From", "+15017122661"), url], 21_211),
        (&[("To", "+15005550001"), ("From", "+15005550006"), url], 21_217),
        (&[("To", "+15005550002"), ("From", "+15005550006"), url], 21_214),
        (&[("To", "+15005550003"), ("From", "+15005550006"), url], 21_215),
        (&[("To", "+15005550004"), ("From", "+15005550006"), url], 21_216),
        (&[("To", PHONE), ("From", "+15005550001"), url], 21_212),
        (&[("To", PHONE), ("From", "+13035550100"), url], 21_210),
        (&[("To", PHONE), ("From", "+15017122661")], 21_205),
        (&[("To", PHONE), ("From", "+15017122661"), ("Url", "voice")], 21_205),
        (&[("To", PHONE), ("From", "+15017122661"), url, ("Timeout", "601")], 21_208),
        (&[("To", PHONE), ("From", "+15017122661"), url, ("Method", "PUT")], 21_209),
        (&[("To", PHONE), ("From", "+15017122661"), url, ("SendDigits", "x")], 21_206),
        (&[("To", PHONE), ("From", "+15017122661"), ("Twiml", &long)], 20_001),
        (
            &[("To", PHONE), ("From", "+15017122661"), url, ("StatusCallback", "http://a_b/")],
            21_609,
        ),
    ];
    for (form, code) in cases {
        let response = service.post("Calls.json", form).await.expect("an answer");
        assert_eq!(response.status(), 400, "{form:?}");
        let json: Value = response.json().await.expect("JSON");
        assert_eq!(json["code"], *code, "{form:?}");
        assert_eq!(json["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    service.twilio.refuse(PHONE, 400, 21_219, "unverified");
    let form = [("To", PHONE), ("From", "+15017122661"), url];
    let refused = service.post("Calls.json", &form).await.expect("an answer");
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], 21_219);
    assert_eq!(service.twilio.dials_to(PHONE), 0);
    assert!(service.twilio.violations().is_empty());
}

#[actix_web::test]
async fn undocumented_parameters_are_violations() {
    let service = Service::start(silent()).await;
    let base = [("To", PHONE), ("From", "+15017122661"), ("Url", "http://localhost/voice")];
    for (name, value) in [
        ("StatusCallbackEvent", "initiated ringing"),
        ("statusCallback", "http://localhost/"),
        ("To", "+12125550124"),
        ("Twiml", "<Response/>"),
        ("AsyncAmd", "true"),
    ] {
        let before = service.twilio.violations().len();
        let mut form = base.to_vec();
        form.push((name, value));
        let response = service.post("Calls.json", &form).await.expect("an answer");
        assert_eq!(response.status(), 201);
        assert_eq!(service.twilio.violations().len(), before + 1, "{name}");
    }
    assert_eq!(service.twilio.violations()[0].code, Some(21_626));
}

#[actix_web::test]
async fn strangers_and_wrong_paths_are_turned_away() {
    let service = Service::start(silent()).await;
    service.twilio.add_account(AccountOptions {
        sid: "AC00000000000000000000000000000002".into(),
        auth_token: "other".into(),
        api_keys: vec![("SK2".into(), "secret".into())],
        ..AccountOptions::default()
    });
    let api = service.twilio.api_url();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let first = service.twilio.account_sid();
    let second = "AC00000000000000000000000000000002";
    for (user, password, path, status, code) in [
        (first, "wrong", format!("{first}/Calls.json"), 401, 20_003),
        (first, service.twilio.auth_token(), format!("{second}/Calls.json"), 401, 20_003),
        (first, service.twilio.auth_token(), "AC3/Calls.json".into(), 404, 20_404),
        (first, service.twilio.auth_token(), format!("{first}/Calls/CA1.json"), 404, 20_404),
        (first, service.twilio.auth_token(), format!("{first}/Calls"), 404, 20_404),
        ("SK2", "secret", format!("{second}.json"), 200, 0),
        (second, "other", format!("{second}/Calls.json"), 200, 0),
    ] {
        let url = format!("{api}/2010-04-01/Accounts/{path}");
        let request = client.get(url).basic_auth(user, Some(password));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status, "{user} {path}");
        let json: Value = response.json().await.expect("JSON");
        assert_eq!(json["code"].as_u64().unwrap_or(0), code, "{user} {path}");
    }
}

#[actix_web::test]
async fn lists_come_in_pages() {
    let service = Service::start(silent()).await;
    for n in 0..5 {
        service.place(&format!("+1212555010{n}"), &[]).await;
    }
    let account = service.twilio.account_sid();
    let mut uri = Some(format!("/2010-04-01/Accounts/{account}/Calls.json?PageSize=2"));
    let mut seen = Vec::new();
    while let Some(next) = uri {
        let (status, page) = service.get(&next).await;
        assert_eq!(status, 200);
        for call in page["calls"].as_array().expect("an array") {
            seen.push(call["to"].as_str().expect("a string").to_owned());
        }
        uri = page["next_page_uri"].as_str().map(str::to_owned);
    }
    let newest_first: Vec<_> = (0..5).rev().map(|n| format!("+1212555010{n}")).collect();
    assert_eq!(seen, newest_first);
    let one = format!("/2010-04-01/Accounts/{account}/Calls.json?To=%2B12125550103");
    assert_eq!(service.get(&one).await.1["calls"].as_array().map(Vec::len), Some(1));
    assert!(service.twilio.violations().is_empty());
}

#[actix_web::test]
async fn requests_fail_as_they_are_told_to() {
    let service = Service::start(silent()).await;
    let form = [("To", PHONE), ("From", "+15017122661"), ("Url", "http://localhost/voice")];
    let create = RestOperation::CreateCall;
    let twilio = &service.twilio;

    twilio
        .fail_next(None, RestFault::TooManyRequests { retry_after: Some(Duration::from_secs(7)) });
    let limited = service.post("Calls.json", &form).await.expect("an answer");
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"7".parse().expect("a value"))
    );

    twilio.fail_next(create, RestFault::Html { status: 503 });
    assert_eq!(service.post("Calls.json", &form).await.expect("an answer").status(), 503);
    twilio.fail_next(create, RestFault::Drop);
    assert!(service.post("Calls.json", &form).await.is_err());
    assert_eq!(twilio.dials_to(PHONE), 0);

    twilio.fail_next(create, RestFault::DropAfterEffect);
    assert!(service.post("Calls.json", &form).await.is_err());
    assert_eq!(twilio.dials_to(PHONE), 1);
    twilio.fail_next(create, RestFault::Garbage);
    let garbage = service.post("Calls.json", &form).await.expect("an answer");
    assert_eq!(garbage.status(), 201);
    assert!(garbage.json::<Value>().await.is_err());
    assert_eq!(twilio.dials_to(PHONE), 2);

    twilio.fail_next(create, RestFault::NeverAnswers);
    let before = twilio.requests().len();
    tokio::select! {
        answer = service.post("Calls.json", &form) => panic!("an answer: {answer:?}"),
        () = twilio.wait_until(|twilio| twilio.requests().len() > before) => {}
    }
    twilio.fail_always(None, RestFault::Html { status: 502 });
    assert_eq!(service.post("Calls.json", &form).await.expect("an answer").status(), 502);
    twilio.heal();
    assert_eq!(service.post("Calls.json", &form).await.expect("an answer").status(), 201);
    assert_eq!(twilio.dials_to(PHONE), 3);
}

#[actix_web::test]
async fn calls_wait_in_the_queue_for_their_turn() {
    let mut options = silent();
    options.account.cps = Some(0.001);
    options.account.max_concurrent_calls = Some(3);
    let service = Service::start(options).await;
    let first = service.place(PHONE, &[]).await;
    first.wait_for_status(CallStatus::Ringing).await.expect("it rings");
    let second = service.place(PHONE, &[]).await;
    let (_, json) = service
        .get(&format!("/2010-04-01/Accounts/{}/Calls/{}.json", second.account_sid(), second.sid()))
        .await;
    assert_eq!(json["status"], "queued");
    let queue_time: u64 = json["queue_time"].as_str().expect("a string").parse().expect("a number");
    assert!(queue_time > 900_000);

    let path = format!("Calls/{}.json", second.sid());
    service.post(&path, &[("Status", "canceled")]).await.expect("an answer");
    assert_eq!(second.wait_until_settled().await, CallStatus::Canceled);
    assert!(second.callbacks().is_empty(), "a call canceled in the queue is not reported");

    service.place(PHONE, &[]).await;
    service.place(PHONE, &[]).await;
    let form = [("To", PHONE), ("From", "+15017122661"), ("Url", "http://localhost/voice")];
    let refused = service.post("Calls.json", &form).await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], 10_004);
}

#[actix_web::test]
async fn what_is_fetched_may_lag_behind() {
    let options = TwilioOptions { consistency_delay: Duration::from_secs(3_600), ..silent() };
    let service = Service::start(options).await;
    let call = service.place(PHONE, &[]).await;
    call.wait_for_status(CallStatus::Ringing).await.expect("it rings");
    let account = service.twilio.account_sid();
    let (_, page) = service.get(&format!("/2010-04-01/Accounts/{account}/Calls.json")).await;
    assert_eq!(page["calls"][0]["status"], "queued");
    assert!(call.status_since(CallStatus::Queued) <= call.status_since(CallStatus::Ringing));
}

#[actix_web::test]
async fn a_request_over_tls_is_answered_or_cut_off_like_any_other() {
    let tls = Authority::new().and_then(|authority| authority.peers()).expect("a certificate");
    let twilio = SimTwilio::start(TwilioOptions { tls: Some(tls.clone()), ..silent() });
    let twilio = twilio.expect("a free port");
    let http = tls.http_client().no_proxy().build().expect("a client");
    let (sid, token) = (twilio.account_sid(), twilio.auth_token());
    let url = format!("{}/2010-04-01/Accounts/{sid}.json", twilio.api_url());
    let ask = || http.get(&url).basic_auth(sid, Some(token)).send();
    twilio.fail_next(None, RestFault::Drop);
    ask().await.expect_err("it is cut off");
    assert_eq!(ask().await.expect("an answer").status(), 200);
}
