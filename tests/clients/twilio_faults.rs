//! Whatever goes wrong between us and Twilio: nobody is dialled twice, and the error says enough.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::{Telephony, Vendor, VendorError};
use callspan::clients::{HttpSettings, TwilioClient};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{
    CA, Raw, RawServer, Reply, Stub, TOKEN, Witness, closed_port, impatient, reply, settings,
    twilio_account,
};
use crate::twilio::{client, new_call};

fn created() -> Reply {
    reply(201, format!(r#"{{"sid":"{CA}","status":"queued"}}"#))
}

fn with(url: &str, witness: &Arc<Witness>, settings: HttpSettings) -> TwilioClient {
    let observer = Arc::clone(witness);
    TwilioClient::with_settings(url, observer, settings).expect("a client")
}

fn assert_unknown(error: &VendorError) {
    assert!(matches!(error, VendorError::OutcomeUnknown { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(TOKEN) && !text.contains("http://") && !text.contains("127.0.0.1"));
}

#[actix_web::test]
async fn a_refused_call_says_why_and_is_not_tried_again() {
    let body = r#"{"code": 21211, "message": "The phone number you are attempting to call, +1, is not valid.",
        "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}"#;
    let twilio = Stub::start([reply(400, body)]);

    let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;

    let expected = VendorError::Refused {
        vendor: Vendor::Twilio,
        operation: "place the call",
        status: 400,
        code: Some(21211),
        message: "The phone number you are attempting to call, +1, is not valid.".into(),
        retry_after: None,
    };
    assert_eq!(error, Err(expected));
    twilio.only();
}

#[actix_web::test]
async fn a_secret_in_the_answer_does_not_get_into_the_error() {
    let twilio = Stub::start([reply(403, format!("{TOKEN} is no good, http://x"))]);
    let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;
    let error = error.expect_err("refused");
    assert!(!format!("{error:?} {error}").contains(TOKEN), "{error}");
}

#[actix_web::test]
async fn a_call_that_got_no_answer_was_sent_once() {
    let twilio = Stub::start([Reply::Silence]);
    let witness = Witness::new();

    let client = with(&twilio.url, &witness, impatient());
    let error = client.place(&twilio_account(), &new_call()).await.expect_err("no answer");

    assert_unknown(&error);
    twilio.only();
    assert_eq!(witness.reports(), ["twilio place timeout"]);
}

#[actix_web::test]
async fn a_call_whose_connection_broke_was_sent_once() {
    let raw = |bytes: &str| Raw::Bytes(bytes.as_bytes().to_vec());
    let cases = [
        ("broken", Raw::Reset),
        ("broken", raw("")),
        ("broken", raw("\u{1}\u{2} no HTTP at all\r\n\r\n")),
        ("broken", raw("HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"sid\":")),
        ("timeout", Raw::Silence),
    ];
    for (status, behaviour) in cases {
        let twilio = RawServer::start(behaviour.clone()).await;
        let witness = Witness::new();
        let client = with(&twilio.url(), &witness, impatient());
        let error = client.place(&twilio_account(), &new_call()).await;
        assert_unknown(&error.expect_err("no answer"));
        assert_eq!(witness.reports(), [format!("twilio place {status}")], "{behaviour:?}");
        assert_eq!(twilio.connections(), 1, "{behaviour:?}");
    }
}

#[actix_web::test]
async fn a_kept_connection_that_breaks_does_not_send_a_call_twice() {
    // The account is read first; the call goes down the same connection, which breaks only after
    // the whole request has arrived.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    actix_web::rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            actix_web::rt::spawn(async move {
                let mut bytes = Vec::new();
                while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if text.starts_with("GET") && text.ends_with("\r\n\r\n") {
                        seen.lock().expect("not poisoned").push("GET".into());
                        bytes.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                        stream.write_all(answer).await.expect("sent");
                    } else if text.contains("TimeLimit=") {
                        seen.lock().expect("not poisoned").push("POST".into());
                        return;
                    }
                }
            });
        }
    });
    let client = client(&url);
    client.verify(&twilio_account()).await.expect("an account");

    let error = client.place(&twilio_account(), &new_call()).await.expect_err("no answer");

    assert_unknown(&error);
    assert_eq!(*requests.lock().expect("not poisoned"), ["GET", "POST"]);
}

#[actix_web::test]
async fn a_success_that_cannot_be_read_leaves_the_outcome_open() {
    for body in ["", "<html>", "{}", "[]", r#"{"sid":null}"#, r#"{"sid":"XX1"}"#] {
        let twilio = Stub::start([reply(201, body)]);
        let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;
        assert_unknown(&error.expect_err(body));
        twilio.only();
    }
}

#[actix_web::test]
async fn an_endless_answer_is_cut_off() {
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n");
    let small = HttpSettings { max_body_bytes: 10_000, ..settings() };

    let twilio = RawServer::start(Raw::Endless(head("201 Created").into_bytes())).await;
    let client = with(&twilio.url(), &Witness::new(), small.clone());
    let error = client.place(&twilio_account(), &new_call()).await.expect_err("too long");
    assert_unknown(&error);
    assert!(error.to_string().contains("longer than 10000 bytes"), "{error}");

    let twilio = RawServer::start(Raw::Endless(head("400 Bad Request").into_bytes())).await;
    let client = with(&twilio.url(), &Witness::new(), small);
    let error = client.place(&twilio_account(), &new_call()).await.expect_err("refused");
    let VendorError::Refused { status: 400, message, .. } = error else { panic!("{error:?}") };
    assert_eq!(message, format!("{}…", "x".repeat(300)));
}

#[actix_web::test]
async fn a_gateways_error_leaves_the_outcome_open_and_twilios_own_does_not() {
    let cases = [
        (502, "<html>Bad Gateway</html>", false),
        (504, "", false),
        (500, r#"{"message":"Internal server error"}"#, false),
        (500, r#"{"code":20500,"message":"Internal Server Error"}"#, true),
        (503, "no capacity", true),
    ];
    for (status, body, refused) in cases {
        let twilio = Stub::start([reply(status, body)]);
        let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;
        let error = error.expect_err("an error");
        assert_eq!(matches!(error, VendorError::Refused { .. }), refused, "{error:?}");
        twilio.only();
    }
}

#[actix_web::test]
async fn a_call_that_never_left_is_tried_again() {
    let port = closed_port();
    let started: Arc<Mutex<Option<std::net::TcpListener>>> = Arc::default();
    let listener = Arc::clone(&started);
    // Twilio comes up after the first attempt has failed.
    let witness = Witness::reacting(move |status| {
        if status == "unreachable" {
            let bound = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
            *listener.lock().expect("not poisoned") = Some(bound);
        }
    });
    let client = with(&format!("http://127.0.0.1:{port}"), &witness, settings());
    let account = twilio_account();
    let call = new_call();

    let placing = client.place(&account, &call);
    let serving = async {
        loop {
            if let Some(listener) = started.lock().expect("not poisoned").take() {
                return Stub::on(listener, [created()]);
            }
            tokio::task::yield_now().await;
        }
    };
    let (placed, twilio) = tokio::join!(placing, serving);

    assert_eq!(placed.expect("placed").sid.as_str(), CA);
    twilio.only();
    assert_eq!(witness.reports(), ["twilio place unreachable", "twilio place 201"]);
}

#[actix_web::test]
async fn an_unreachable_twilio_is_given_up_in_the_end() {
    let url = format!("http://127.0.0.1:{}", closed_port());
    let witness = Witness::new();
    let error = with(&url, &witness, settings()).place(&twilio_account(), &new_call()).await;
    let error = error.expect_err("nobody there");
    assert!(matches!(error, VendorError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused") && !error.to_string().contains("2010-04-01"));
    assert_eq!(witness.reports(), ["twilio place unreachable"; 3]);

    // A name that does not exist, and a server that speaks no TLS.
    let plain = RawServer::start(Raw::Bytes(b"HTTP/1.1 400 no\r\n\r\n".to_vec())).await;
    for url in ["https://callspan.invalid".to_owned(), plain.url().replace("http", "https")] {
        let brief = HttpSettings { connect_timeout: Duration::from_millis(500), ..settings() };
        let client = with(&url, &Witness::new(), brief);
        let error = client.place(&twilio_account(), &new_call()).await.expect_err("no TLS");
        assert!(matches!(error, VendorError::Unreachable { .. }), "{error:?}");
    }
}

#[actix_web::test]
async fn a_request_twilio_never_processed_is_tried_again() {
    let busy = reply(429, r#"{"code":20429,"message":"Too Many Requests","status":429}"#);
    let twilio = Stub::start([busy.clone(), busy.clone().with("retry-after", "0"), created()]);
    let witness = Witness::new();
    let client = with(&twilio.url, &witness, settings());
    let placed = client.place(&twilio_account(), &new_call()).await.expect("placed");
    assert_eq!(placed.sid.as_str(), CA);
    let reports = ["twilio place 429", "twilio place 429", "twilio place 201"];
    assert_eq!(witness.reports(), reports);

    // Every attempt is the same request.
    let forms: Vec<_> = twilio.seen().iter().map(|seen| seen.form()).collect();
    assert!(forms.windows(2).all(|pair| pair[0] == pair[1]));
}

#[actix_web::test]
async fn a_cap_on_calls_or_a_long_wait_is_the_callers_business() {
    let cap = reply(429, r#"{"code":10004,"message":"Call concurrency limit exceeded"}"#);
    let busy = reply(429, r#"{"code":20429,"message":"Too Many Requests"}"#);
    let at = reply(429, r#"{"code":20429,"message":"Too Many Requests"}"#)
        .with("date", "Wed, 21 Oct 2015 07:28:00 GMT")
        .with("retry-after", "Wed, 21 Oct 2015 08:28:00 GMT");
    let hour = Some(Duration::from_secs(3600));
    for (answer, wait) in [(cap, None), (busy.with("retry-after", "3600"), hour), (at, hour)] {
        let twilio = Stub::start([answer]);
        let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;
        assert_eq!(error.expect_err("busy").busy(), Some(wait));
        twilio.only();
    }
}

#[actix_web::test]
async fn what_does_no_harm_twice_is_tried_again() {
    let sid = CA.parse().expect("a sid");
    let over = || reply(200, format!(r#"{{"sid":"{CA}","status":"completed"}}"#));
    let faults = [
        [reply(502, "<html>"), reply(500, ""), over()],
        [reply(429, ""), reply(503, "").with("retry-after", "0"), over()],
    ];
    for replies in faults {
        let twilio = Stub::start(replies.clone());
        let fetched = client(&twilio.url).fetch(&twilio_account(), &sid).await;
        assert!(matches!(fetched, Ok(Some(_))), "{fetched:?}");
        assert_eq!(twilio.seen().len(), 3);

        let twilio = Stub::start(replies);
        let ended = client(&twilio.url).hang_up(&twilio_account(), &sid).await;
        assert!(matches!(ended, Ok(Some(_))), "{ended:?}");
        assert_eq!(twilio.seen().len(), 3);
    }

    let twilio = Stub::start([Reply::Silence, over()]);
    let witness = Witness::new();
    let client = with(&twilio.url, &witness, impatient());
    let ended = client.hang_up(&twilio_account(), &sid).await;
    assert!(matches!(ended, Ok(Some(_))), "{ended:?}");
    assert_eq!(witness.reports(), ["twilio hang_up timeout", "twilio hang_up 200"]);
}

#[actix_web::test]
async fn credentials_do_not_follow_a_redirect() {
    let elsewhere = Stub::start([created()]);
    let twilio = Stub::start([reply(307, "").with("location", elsewhere.url.clone())]);
    let error = client(&twilio.url).place(&twilio_account(), &new_call()).await;
    assert!(matches!(error, Err(VendorError::Refused { status: 307, .. })), "{error:?}");
    assert_eq!(elsewhere.seen().len(), 0);
}
