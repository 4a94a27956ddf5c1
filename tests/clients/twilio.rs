//! What Twilio is asked, and how its answers are read.

use std::time::Duration;

use actors::call::CallStatus;
use actors::ids::CompanyId;
use actors::machine::DetectionMode;
use actors::ports::{Detection, NewPhoneCall, PhoneCall, Telephony, Urgency, VendorError, Wish};
use callspan::clients::TwilioClient;

use crate::server::{AC, CA, Reply, Seen, Stub, Witness, reply, settings, twilio_account};

/// The answer of a real create, as published.
const CREATED: &str = r#"{"date_updated": null, "price_unit": "USD", "parent_call_sid": null,
    "caller_name": null, "duration": null, "from": "+15017122661", "to": "+15558675310",
    "annotation": null, "answered_by": null, "sid": "CA00000000000000000000000000000001",
    "queue_time": "0", "price": null, "api_version": "2010-04-01", "status": "queued",
    "direction": "outbound-api", "start_time": null, "date_created": null,
    "uri": "/2010-04-01/Accounts/AC1/Calls/CA1.json", "subresource_uris": {"events": "/x"}}"#;

pub(crate) fn client(url: &str) -> TwilioClient {
    TwilioClient::with_settings(url, Witness::new(), settings()).expect("a client")
}

pub(crate) fn new_call() -> NewPhoneCall {
    NewPhoneCall {
        to: "+15558675310".parse().expect("a number"),
        answer_url: "https://bridge.example.com/twilio/answer?call=1&x=ü".into(),
        status_url: "https://bridge.example.com/twilio/status?call=1".into(),
        ring_timeout: Duration::from_secs(60),
        time_limit: Duration::from_secs(3600),
        company: CompanyId(1),
        urgency: Urgency::Single,
        wish: Wish::default(),
        detection: None,
    }
}

fn call(sid: &str, status: CallStatus) -> PhoneCall {
    PhoneCall { sid: sid.parse().expect("a sid"), status, duration: None }
}

fn sid(n: u32) -> String {
    format!("CA{n:032}")
}

fn is_authorised(seen: &Seen) -> bool {
    // echo -n "AC00000000000000000000000000000001:t0ken-s3cret" | base64
    let basic = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0MGtlbi1zM2NyZXQ=";
    seen.header("authorization") == Some(basic)
}

#[actix_web::test]
async fn a_call_is_placed_with_every_parameter_twilio_needs() {
    let twilio = Stub::start([reply(201, CREATED)]);

    let placed = client(&twilio.url).place(&twilio_account(), &new_call()).await;

    assert_eq!(placed, Ok(call(CA, CallStatus::Initiated)));
    let seen = twilio.only();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.path, format!("/2010-04-01/Accounts/{AC}/Calls.json"));
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(is_authorised(&seen), "{:?}", seen.headers);
    let expected = [
        ("To", "+15558675310"),
        ("From", "+15017122661"),
        ("Url", "https://bridge.example.com/twilio/answer?call=1&x=ü"),
        ("StatusCallback", "https://bridge.example.com/twilio/status?call=1"),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
        ("Timeout", "60"),
        ("TimeLimit", "3600"),
    ];
    assert_eq!(seen.form(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[actix_web::test]
async fn machines_are_detected_while_the_call_goes_on() {
    let url = "https://bridge.example.com/twilio/machine/1".to_owned();
    for (mode, word) in
        [(DetectionMode::Enable, "Enable"), (DetectionMode::DetectMessageEnd, "DetectMessageEnd")]
    {
        let twilio = Stub::start([reply(201, CREATED)]);
        let detection = Some(Detection { mode, url: url.clone() });
        let new = NewPhoneCall { detection, ..new_call() };
        client(&twilio.url).place(&twilio_account(), &new).await.expect("a call");
        let form = twilio.only().form();
        let expected = [
            ("MachineDetection", word),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", url.as_str()),
            ("AsyncAmdStatusCallbackMethod", "POST"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(form.ends_with(&expected), "{form:?}");
    }
}

#[actix_web::test]
async fn a_message_is_said_once_and_ends_the_call() {
    let sid = CA.parse().expect("a sid");
    let twilio = Stub::start([reply(200, CREATED)]);
    let text = "Fish & Chips: </Say><Dial>+1</Dial>";
    let said = client(&twilio.url).say_and_hang_up(&twilio_account(), &sid, text).await;
    assert_eq!(said, Ok(()));
    let seen = twilio.only();
    assert_eq!(seen.path, format!("/2010-04-01/Accounts/{AC}/Calls/{CA}.json"));
    let twiml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say>Fish &amp; Chips: \
                 &lt;/Say&gt;&lt;Dial&gt;+1&lt;/Dial&gt;</Say><Hangup/></Response>";
    assert_eq!(seen.form(), [("Twiml".to_owned(), twiml.to_owned())]);

    let over = r#"{"code":21220,"message":"Call is not in-progress. Cannot redirect."}"#;
    let twilio = Stub::start([reply(400, over)]);
    let refused = client(&twilio.url).say_and_hang_up(&twilio_account(), &sid, text).await;
    assert!(matches!(refused, Err(VendorError::Refused { code: Some(21_220), .. })));
}

#[actix_web::test]
async fn a_call_is_fetched_and_an_unknown_one_is_none() {
    let over = format!(r#"{{"sid":"{CA}","status":"completed","duration":"42","trunk_sid":""}}"#);
    let unknown = r#"{"code":20404,"message":"not found","status":404}"#;
    let twilio = Stub::start([reply(200, over), reply(404, unknown)]);
    let client = client(&twilio.url);
    let sid = CA.parse().expect("a sid");

    let fetched = client.fetch(&twilio_account(), &sid).await;
    let duration = Some(Duration::from_secs(42));
    assert_eq!(fetched, Ok(Some(PhoneCall { duration, ..call(CA, CallStatus::Completed) })));
    assert_eq!(client.fetch(&twilio_account(), &sid).await, Ok(None));

    let seen = &twilio.seen()[0];
    let path = format!("/2010-04-01/Accounts/{AC}/Calls/{CA}.json");
    assert_eq!((seen.method.as_str(), &seen.path), ("GET", &path));
    assert!(is_authorised(seen));
}

#[actix_web::test]
async fn hanging_up_completes_the_call() {
    let over = format!(r#"{{"sid":"{CA}","status":"completed","duration":"7"}}"#);
    let twilio = Stub::start([reply(200, over)]);
    let sid = CA.parse().expect("a sid");

    let ended = client(&twilio.url).hang_up(&twilio_account(), &sid).await;

    let duration = Some(Duration::from_secs(7));
    assert_eq!(ended, Ok(Some(PhoneCall { duration, ..call(CA, CallStatus::Completed) })));
    let seen = twilio.only();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.path, format!("/2010-04-01/Accounts/{AC}/Calls/{CA}.json"));
    assert_eq!(seen.form(), [("Status".to_owned(), "completed".to_owned())]);
}

#[actix_web::test]
async fn a_call_that_is_already_over_counts_as_hung_up() {
    let state = r#"{"code":21220,"message":"Call is not in-progress. Cannot redirect."}"#;
    let busy = format!(r#"{{"sid":"{CA}","status":"busy"}}"#);
    let gone = r#"{"code":20404,"message":"not found"}"#;
    let cases: [(&[Reply], _); 3] = [
        (&[reply(400, state), reply(200, busy)], Some(call(CA, CallStatus::Busy))),
        (&[reply(400, state), reply(404, gone)], None),
        (&[reply(404, gone)], None),
    ];
    for (replies, expected) in cases {
        let twilio = Stub::start(replies.to_vec());
        let sid = CA.parse().expect("a sid");
        let ended = client(&twilio.url).hang_up(&twilio_account(), &sid).await;
        assert_eq!(ended, Ok(expected));
        assert_eq!(twilio.seen().len(), replies.len());
    }
}

#[actix_web::test]
async fn lost_calls_are_found_newest_first_by_twilios_clock() {
    let entry = |n: u32, status: &str, created: &str, direction: &str| {
        format!(
            r#"{{"sid":"{}","status":"{status}","date_created":{created},"direction":"{direction}"}}"#,
            sid(n)
        )
    };
    let out = "outbound-api";
    // Twilio's clock is years behind ours; ages are still right.
    let first = [
        entry(1, "queued", "null", out),
        entry(2, "ringing", r#""Tue, 31 Aug 2010 20:36:28 +0000""#, out),
        entry(3, "in-progress", r#""Tue, 31 Aug 2010 20:36:29 +0000""#, out),
        entry(4, "in-progress", r#""Tue, 31 Aug 2010 20:36:30 +0000""#, "outbound-dial"),
    ];
    let second = [
        entry(5, "busy", r#""Tue, 31 Aug 2010 20:35:00 +0000""#, out),
        entry(6, "busy", r#""Tue, 31 Aug 2010 20:00:00 +0000""#, out),
    ];
    let third = [entry(7, "failed", r#""Tue, 31 Aug 2010 19:00:00 +0000""#, out)];
    let next = format!("/2010-04-01/Accounts/{AC}/Calls.json?To=%2B15558675310&PageToken=PA1");
    let page = |calls: &[String], next: &str| {
        let body = format!(r#"{{"calls":[{}],"next_page_uri":{next}}}"#, calls.join(","));
        reply(200, body).with("date", "Tue, 31 Aug 2010 20:36:40 GMT")
    };
    let more = format!("{next:?}");
    let twilio = Stub::start([
        page(&first, &more),
        page(&second, &more),
        page(&third, &more),
        reply(500, "a fourth page is not asked for: the third is too old"),
    ]);
    let to = "+15558675310".parse().expect("a number");

    let found = client(&twilio.url).find(&twilio_account(), &to, Duration::from_secs(120)).await;

    let expected = vec![
        call(&sid(1), CallStatus::Initiated),
        call(&sid(3), CallStatus::InProgress),
        call(&sid(2), CallStatus::Ringing),
        call(&sid(5), CallStatus::Busy),
    ];
    assert_eq!(found, Ok(expected));
    let seen = twilio.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.method == "GET" && is_authorised(seen)));
    assert_eq!(seen[0].path, format!("/2010-04-01/Accounts/{AC}/Calls.json"));
    let query = [("To", "+15558675310"), ("From", "+15017122661"), ("PageSize", "50")];
    assert_eq!(seen[0].query, query.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(seen[1].query[1], ("PageToken".to_owned(), "PA1".to_owned()));
}

#[actix_web::test]
async fn a_list_that_leads_elsewhere_or_nowhere_is_not_followed() {
    let elsewhere = Stub::start([reply(200, r#"{"calls":[]}"#)]);
    let new = format!(r#"{{"sid":"{CA}","status":"queued"}}"#);
    let body = format!(r#"{{"calls":[{new}],"next_page_uri":"{}/x"}}"#, elsewhere.url);
    let twilio = Stub::start([reply(200, body)]);
    let to = "+15558675310".parse().expect("a number");
    let age = Duration::from_secs(60);
    let error = client(&twilio.url).find(&twilio_account(), &to, age).await;
    assert!(matches!(error, Err(VendorError::OutcomeUnknown { .. })), "{error:?}");
    assert_eq!(elsewhere.seen().len(), 0, "the credentials went elsewhere");

    let round = format!(r#"{{"calls":[{new}],"next_page_uri":"/again"}}"#);
    let twilio = Stub::start([reply(200, round)]);
    let found = client(&twilio.url).find(&twilio_account(), &to, age).await;
    assert_eq!(found.map(|calls| calls.len()), Ok(10), "one for each page that was read");
}

#[actix_web::test]
async fn an_account_is_read_and_a_wrong_token_refused() {
    let account = r#"{"sid":"AC1","status":"active","type":"Trial","friendly_name":"Mine"}"#;
    let denied = r#"{"code":20003,"message":"Authenticate","status":401}"#;
    let twilio = Stub::start([reply(200, account), reply(401, denied)]);
    let client = client(&twilio.url);

    let info = client.verify(&twilio_account()).await.expect("an account");
    assert_eq!((info.status.as_str(), info.kind.as_str()), ("active", "Trial"));
    assert_eq!(twilio.only().path, format!("/2010-04-01/Accounts/{AC}.json"));
    let error = client.verify(&twilio_account()).await.expect_err("a wrong token");
    let text = "Twilio refused to read the account: Authenticate (HTTP 401, code 20003)";
    assert_eq!(error.to_string(), text);
}
