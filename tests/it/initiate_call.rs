//! `POST /api/ultravox-calls/initiate-call`: every documented answer, and what the vendors are sent.

use actors::call::{CallStatus, EndReason};
use actors::ids::CallId;
use callspan::store::{CompanySettings, TwilioSettings};
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use serde_json::{Value, json};

use crate::harness::requests::Answer;
use crate::harness::requests::INITIATE;
use crate::harness::{ADMIN_KEY, CALLEE, Setup, TestApp, soon};

/// Twilio's account of company 1, to be another company's.
async fn twilio_only(app: &TestApp) -> CompanySettings {
    let account = app.app.store().twilio_account(actors::ids::CompanyId(1)).await;
    let account = account.expect("a database").expect("company 1 has a phone line");
    CompanySettings { twilio: Some(TwilioSettings::from(account)), ..CompanySettings::default() }
}

#[actix_web::test]
async fn the_documented_example_is_answered_as_documented() {
    let app = TestApp::start().await;
    let body = r#"{
  "companyId": 1,
  "destinationNumber": "+919398178764"
}"#;
    let answer = app.post_initiate(Some(ADMIN_KEY), body).await;

    assert_eq!(answer.status, 200);
    let phone = soon("the call", app.twilio.wait_for_call("+919398178764")).await;
    let agent = soon("the agent", app.ultravox.wait_for_call()).await;
    assert_eq!(
        answer.json(),
        json!({
            "message": "Call initiated successfully",
            "callSid": phone.sid(),
            "joinUrl": agent.join_url(),
        })
    );
    phone.wait_for_stream().await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn without_a_number_the_company_s_own_is_called() {
    let app = TestApp::start().await;
    for body in [r#"{"companyId":1}"#, r#"{"companyId":1,"destinationNumber":null}"#] {
        let answer = app.post_initiate(Some(ADMIN_KEY), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let own = app.twilio.phone_number();
        let phone = soon("the call", app.twilio.wait_for_call(own)).await;
        assert_eq!((phone.to(), phone.from()), (own, own));
        phone.wait_for_stream().await.expect("a stream");
        phone.hang_up();
    }
    app.finish().await;
}

#[actix_web::test]
async fn what_is_missing_is_said_in_the_documented_words() {
    let app = TestApp::start().await;
    app.add_company(2, &CompanySettings::default()).await;
    let no_agent = twilio_only(&app).await;
    app.add_company(3, &no_agent).await;

    let cases = [
        ("{}", 400, "Company ID is required"),
        (r#"{"destinationNumber":"+12125550123"}"#, 400, "Company ID is required"),
        (r#"{"companyId":null}"#, 400, "Company ID is required"),
        (r#"{"companyId":99}"#, 404, "Twilio configuration not found"),
        (r#"{"companyId":2}"#, 404, "Twilio configuration not found"),
        (r#"{"companyId":3}"#, 404, "Ultravox configuration not found"),
    ];
    for (body, status, error) in cases {
        let answer = app.post_initiate(Some(ADMIN_KEY), body).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": error })), "{body}");
    }
    assert!(app.twilio.requests().is_empty() && app.ultravox.requests().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn a_body_that_makes_no_sense_is_answered_with_an_error_in_json() {
    let app = TestApp::start().await;
    let mut bodies: Vec<String> = [
        "",
        "{",
        "null",
        "[]",
        "\"companyId\"",
        "companyId=1",
        "{\"companyId\":1",
        r#"{"companyId":"1"}"#,
        r#"{"companyId":1.5}"#,
        r#"{"companyId":-1}"#,
        r#"{"companyId":{}}"#,
        r#"{"companyId":99999999999999999999}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    let numbers = [
        json!(12_125_550_123_u64),
        json!(["+12125550123"]),
        json!(""),
        json!("12125550123"),
        json!("+1"),
        json!("+1212555CALL"),
        json!("+1234567890123456789"),
        json!("+1212\u{0}5550123"),
    ];
    let with = |number: Value| json!({ "companyId": 1, "destinationNumber": number }).to_string();
    bodies.extend(numbers.map(with));
    for body in bodies {
        let answer = app.post_initiate(Some(ADMIN_KEY), &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(!answer.error().is_empty(), "{body}");
    }
    let not_utf8 = app.http.post(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY);
    let answer = Answer::to(not_utf8.body(vec![0xFF, 0xFE, 0x00])).await;
    assert_eq!(answer.status, 400);
    answer.error();
    assert!(app.twilio.requests().is_empty() && app.ultravox.requests().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn a_body_without_a_content_type_is_read_all_the_same() {
    let app = TestApp::start().await;
    let body = json!({ "companyId": 1, "destinationNumber": CALLEE }).to_string();
    let request = app.http.post(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY).body(body);
    let answer = Answer::to(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    phone.wait_for_stream().await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_body_beyond_the_limit_is_refused_in_json() {
    let app = TestApp::start().await;
    let huge = format!(r#"{{"companyId":1,"note":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let answer = app.post_initiate(Some(ADMIN_KEY), &huge).await;
    assert_eq!(answer.status, 413);
    assert!(!answer.error().is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn other_methods_are_refused_in_json() {
    let app = TestApp::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = app.http.request(method.clone(), app.url(INITIATE));
        let answer = Answer::to(request.header("X-API-Key", ADMIN_KEY)).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert!(!answer.error().is_empty(), "{method}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn nobody_calls_without_a_valid_key() {
    let app = TestApp::start().await;
    let body = json!({ "companyId": 1, "destinationNumber": CALLEE }).to_string();
    let long = "k".repeat(201);
    let spaces = " ".repeat(12);
    let keys =
        [None, Some(""), Some("short"), Some(&long), Some(&spaces), Some("not-the-admin-key")];
    for key in keys {
        let answer = app.post_initiate(key, &body).await;
        assert_eq!(answer.status, 401, "{key:?}");
        assert!(answer.error().contains("API key"), "{answer:?}");
    }
    // Who asks is checked before what is asked.
    assert_eq!(app.post_initiate(None, "{").await.status, 401);
    assert_eq!(app.twilio.dials_to(CALLEE), 0);
    app.finish().await;
}

#[actix_web::test]
async fn a_company_s_key_calls_for_that_company_alone() {
    let app = TestApp::start().await;
    let other = twilio_only(&app).await;
    app.add_company(2, &other).await;
    app.add_key(1, "the-key-of-company-one").await;
    app.add_key(2, "the-key-of-company-two").await;
    let body = json!({ "companyId": 1, "destinationNumber": CALLEE }).to_string();

    let stranger = app.post_initiate(Some("the-key-of-company-two"), &body).await;
    assert_eq!(stranger.status, 404);
    assert_eq!(stranger.error(), "Twilio configuration not found");
    assert_eq!(app.twilio.dials_to(CALLEE), 0);

    let own = app.post_initiate(Some("the-key-of-company-one"), &body).await;
    assert_eq!(own.status, 200, "{own:?}");
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    phone.wait_for_stream().await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn twilio_is_asked_with_every_field_it_needs() {
    let app = Setup::new()
        .set("CALLSPAN_RING_TIMEOUT_SECONDS", "45")
        .set("CALLSPAN_MAX_CALL_SECONDS", "900")
        .start()
        .await;
    let phone = app.place_call(CALLEE).await;

    let placed = app.placed();
    assert_eq!(
        placed.path,
        format!("/2010-04-01/Accounts/{}/Calls.json", app.twilio.account_sid())
    );
    assert_eq!(placed.user.as_deref(), Some(app.twilio.account_sid()));
    let fields: Vec<_> = placed.form.iter().map(|(name, value)| (&**name, &**value)).collect();
    let id = app.call_ids()[0];
    let (answer, status) =
        (app.url(&format!("/twilio/answer/{id}")), app.url(&format!("/twilio/status/{id}")));
    assert_eq!(
        fields,
        [
            ("To", CALLEE),
            ("From", app.twilio.phone_number()),
            ("Url", answer.as_str()),
            ("StatusCallback", status.as_str()),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", "45"),
            ("TimeLimit", "900"),
        ]
    );
    phone.wait_for_stream().await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn ultravox_is_asked_for_an_agent_that_fits_a_phone() {
    let app = Setup::new()
        .set("CALLSPAN_RING_TIMEOUT_SECONDS", "45")
        .set("CALLSPAN_MAX_CALL_SECONDS", "900")
        .start()
        .await;
    let phone = app.place_call(CALLEE).await;

    let agent = soon("the agent", app.ultravox.wait_for_call()).await;
    let asked = agent.request();
    assert_eq!(asked["model"], "fixie-ai/ultravox");
    assert_eq!(asked["voice"], "terrence");
    assert_eq!(asked["firstSpeakerSettings"], json!({ "user": {} }));
    assert_eq!(asked.get("firstSpeaker"), None);
    assert_eq!(asked["joinTimeout"], "75s");
    assert_eq!(asked["maxDuration"], "900s");
    let medium = &asked["medium"]["serverWebSocket"];
    assert_eq!(medium["inputSampleRate"], 8_000);
    assert_eq!(medium["outputSampleRate"], 8_000);
    assert_eq!(medium["clientBufferSizeMs"], 30_000);
    let id: CallId = asked["metadata"]["callspanCallId"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("our call id");
    let row = app.row(&phone).await;
    assert_eq!(row.id, id);
    assert_eq!(row.ultravox_call_id.as_deref(), Some(agent.id()));

    phone.wait_for_stream().await.expect("a stream");
    phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn an_answered_call_is_connected_to_a_stream_and_nothing_else() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let hooks = app.hooks();

    let documents = call.phone.twiml();
    let [twiml] = documents.as_slice() else { panic!("not one document: {documents:?}") };
    assert_eq!(twiml.url.as_deref(), Some(hooks.answer.as_str()));
    assert!(!hooks.media.contains('?'), "Twilio takes no query: {}", hooks.media);
    for part in [
        format!(r#"<Connect action="{}">"#, hooks.stream_ended),
        format!(r#"url="{}""#, hooks.media),
        format!(r#"statusCallback="{}""#, hooks.stream_status),
        r#"<Parameter name="token" value=""#.to_owned(),
        "</Connect><Hangup/></Response>".to_owned(),
    ] {
        assert!(twiml.body.contains(&part), "no {part} in {}", twiml.body);
    }
    call.phone.hang_up();
    app.finish().await;
}

#[actix_web::test]
async fn a_client_that_goes_away_does_not_stop_the_call() {
    let app = TestApp::start().await;
    app.ultravox.fail_next(
        loadtest::ultravox::On::CreateCall,
        loadtest::ultravox::Fault::Slow(std::time::Duration::from_millis(500)),
    );
    app.twilio.set_phone(CALLEE, PhoneBehaviour::ends_in(PhoneOutcome::Busy));
    let body = json!({ "companyId": 1, "destinationNumber": CALLEE });
    let request = app.http.post(app.url(INITIATE)).header("X-API-Key", ADMIN_KEY).json(&body);
    let hasty = request.timeout(std::time::Duration::from_millis(200)).send().await;
    assert!(hasty.expect_err("the client left").is_timeout());

    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    app.quiet().await;
    let row = app.row(&phone).await;
    assert_eq!((row.status, row.end_reason), (CallStatus::Busy, Some(EndReason::Busy)));
    app.finish().await;
}
