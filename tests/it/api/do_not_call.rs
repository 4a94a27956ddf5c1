//! Whom a company must not call: kept by request and by file, and never dialled.

use actors::call::{CallStatus, CallUpdate};
use actors::ids::{CallId, CompanyId};
use callspan::store::{Direction, NewCall, NodeId};
use jiff::Timestamp;
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{agent_config, assert_is_time, text};
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, CALLEE, LIMIT, Setup, TestApp, soon};

const LIST: &str = "/do-not-call";

fn listed(number: &str) -> String {
    format!("{LIST}/{number}")
}

async fn send_csv(app: &TestApp, csv: impl Into<Body>) -> Answer {
    let request = app.api(Method::POST, LIST, ADMIN_KEY).header("Content-Type", "text/csv");
    Answer::to(request.body(csv)).await
}

fn counts(answer: &Answer) -> (Value, Value, Value) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    (json["added"].clone(), json["known"].clone(), json["bad"].clone())
}

#[actix_web::test]
async fn a_number_is_on_the_list_from_its_adding_to_its_removal() {
    let app = TestApp::start().await;
    let path = listed(CALLEE);
    app.ask(Method::GET, &path).await.refused(404, "number_not_listed");
    let body = json!({"phone_number": CALLEE, "note": "asked by letter"});
    let added = app.tell(Method::POST, LIST, &body).await;
    assert_eq!(added.body, r#"{"added":1,"known":0,"bad":0,"bad_rows":[],"note":null}"#);
    let again = app.tell(Method::POST, LIST, &json!({"phone_number": CALLEE})).await;
    assert_eq!(counts(&again), (json!(0), json!(1), json!(0)));

    let read = app.ask(Method::GET, &path).await;
    assert_eq!(read.status, 200, "{read:?}");
    let row = read.json();
    assert_eq!(text(&row["phone_number"]), CALLEE);
    assert_eq!((text(&row["source"]), text(&row["note"])), ("api", "asked by letter"));
    assert_is_time(text(&row["created_at"]));
    let encoded = app.ask(Method::GET, &path.replace('+', "%2B")).await;
    assert_eq!(encoded.json(), row, "however the plus is written");
    let page = app.ask(Method::GET, LIST).await.json();
    assert_eq!(page, json!({"numbers": [row], "next_cursor": null}));

    assert_eq!(app.ask(Method::DELETE, &path).await.status, 204);
    app.ask(Method::DELETE, &path).await.refused(404, "number_not_listed");
    app.finish().await;
}

#[actix_web::test]
async fn a_number_on_the_list_is_not_dialled_by_either_document() {
    let app = Setup::new().phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy)).start().await;
    let agent = app.new_agent(&agent_config()).await;
    let list = json!({"phone_numbers": [CALLEE, "+12125550100"]});
    assert_eq!(counts(&app.tell(Method::POST, LIST, &list).await), (json!(2), json!(0), json!(0)));

    let body = json!({"phone_number": CALLEE});
    let refused = app.tell(Method::POST, &format!("/calls/{agent}"), &body).await;
    let message = refused.refused(403, "number_on_do_not_call_list");
    let compat = app.call(CALLEE).await;
    assert_eq!((compat.status, compat.error()), (403, message));
    let asked = app.twilio.requests();
    assert!(asked.iter().all(|request| !request.path.ends_with("/Calls.json")), "{asked:?}");
    assert!(app.call_ids().is_empty(), "no agent was made");

    app.add_company(2, &Default::default()).await;
    app.add_key(2, "the key of company 2").await;
    let other = Answer::to(app.api(Method::GET, &listed(CALLEE), "the key of company 2")).await;
    other.refused(404, "number_not_listed");
    let other = Answer::to(app.api(Method::DELETE, &listed(CALLEE), "the key of company 2")).await;
    other.refused(404, "number_not_listed");

    assert_eq!(app.ask(Method::DELETE, &listed(CALLEE)).await.status, 204);
    assert_eq!(app.call(CALLEE).await.status, 200, "it may be called again");
    app.quiet().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_file_is_taken_over_and_its_bad_rows_told_by_their_lines() {
    let app = TestApp::start().await;
    let csv = b"\xef\xbb\xbfName;Phone Number;Note\r\n\
        Ann;+49 151 123-45;\"asked;\r\ntwice\"\r\n\
        M\xfcller;+442071838750;\r\n\
        Bob;4,91E+12;\r\n\
        \r\n\
        Cid;;\r\n\
        Dan;+49 151 12345;again\r\n\
        Eve;+12125550123\r\n";
    let answer = send_csv(&app, csv.to_vec()).await;
    assert_eq!(counts(&answer), (json!(2), json!(1), json!(3)));
    let json = answer.json();
    let bad = json["bad_rows"].as_array().expect("a list");
    let lines: Vec<&Value> = bad.iter().map(|row| &row["line"]).collect();
    assert_eq!(lines, [5, 7, 9]);
    assert!(text(&bad[0]["reason"]).contains("rounded by a spreadsheet"), "{json}");
    assert_eq!(text(&bad[1]["reason"]), "has a Phone Number that is empty");
    assert!(text(&json["note"]).starts_with("line 4 is not UTF-8"), "{json}");
    let row = app.ask(Method::GET, &listed("+4915112345")).await.json();
    assert_eq!((text(&row["source"]), text(&row["note"])), ("upload", "asked;\r\ntwice"));
    app.finish().await;
}

#[actix_web::test]
async fn of_many_bad_rows_the_first_are_told_and_all_are_counted() {
    let app = TestApp::start().await;
    let rows = (0..100_000).map(|n| match n % 10 {
        0 => format!("{n}\n"),
        _ => format!("+1212{n:07}\n"),
    });
    let csv: String = std::iter::once("phone_number\n".to_owned()).chain(rows).collect();
    let answer = send_csv(&app, csv).await;
    assert_eq!(counts(&answer), (json!(90_000), json!(0), json!(10_000)));
    assert_eq!(answer.json()["bad_rows"].as_array().map(Vec::len), Some(100));

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    // Each page is as long as was asked for, and no number is on two.
    for _ in 0..3 {
        let page = app.ask(Method::GET, &format!("{LIST}?limit=1000{cursor}")).await.json();
        let numbers = page["numbers"].as_array().expect("a list");
        assert_eq!(numbers.len(), 1_000);
        seen.extend(numbers.iter().map(|row| text(&row["phone_number"]).to_owned()));
        cursor = format!("&cursor={}", text(&page["next_cursor"]));
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "a page repeats another");
    app.finish().await;
}

#[actix_web::test]
async fn a_file_that_is_none_is_refused_in_words() {
    let app = TestApp::start().await;
    for (csv, words) in [
        (&b""[..], "The file is empty"),
        (b"phone_number\n", "no rows below it"),
        (b"+12125550123\n+12125550124\n", "it is: '+12125550123'"),
        (b"phone_number,note,Note\n+12125550123,,\n", "names the column 'Note' twice"),
        (b"\xff\xfep\0h\0", "UTF-16"),
    ] {
        let message = send_csv(&app, csv.to_vec()).await.refused(400, "invalid_csv");
        assert!(message.contains(words), "{message}");
    }
    let request = app.api(Method::POST, LIST, ADMIN_KEY).header("Content-Type", "text/plain");
    let message = Answer::to(request.body("+12125550123")).await;
    let message = message.refused(415, "unsupported_media_type");
    assert!(message.ends_with("application/json or text/csv"), "{message}");
    let nowhere = app.api(Method::POST, LIST, ADMIN_KEY).header("X-Company-Id", "7");
    let nowhere = nowhere.header("Content-Type", "text/csv").body("phone_number\n+12125550123\n");
    Answer::to(nowhere).await.refused(404, "company_not_found");
    assert_eq!(app.ask(Method::GET, LIST).await.json()["numbers"], json!([]));
    app.finish().await;
}

#[actix_web::test]
async fn a_file_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let app = TestApp::start().await;
    let request = |length: &str| {
        format!(
            "POST /api/v1/do-not-call HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\n\
             Content-Type: text/csv\r\n{length}\r\n\r\n"
        )
    };
    let said = request(&format!("Content-Length: {}", 32 * 1024 * 1024 + 1));
    let answer = soon("an answer", exchange(&app, &said, "", 0)).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");

    let unsaid = request("Transfer-Encoding: chunked") + "d\r\nphone_number\n\r\n";
    let row = format!("{}\n", "x".repeat(0xffff));
    let chunk = format!("{:x}\r\n{row}\r\n", row.len());
    let answer = soon("an answer", exchange(&app, &unsaid, &chunk, 33 * 16)).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    app.finish().await;
}

/// Sends the head and so many chunks, and gives what is answered, to the end of its body.
async fn exchange(app: &TestApp, head: &str, chunk: &str, chunks: usize) -> String {
    let address = app.url("").replace("http://", "");
    let stream = TcpStream::connect(address).await.expect("connects");
    let (mut read, mut write) = stream.into_split();
    let send = async {
        write.write_all(head.as_bytes()).await.expect("a head is read");
        for _ in 0..chunks {
            // It may have been answered already.
            if write.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    let receive = async {
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            match read.read_buf(&mut answer).await {
                Ok(1..) => {}
                _ => break,
            }
        }
        String::from_utf8(answer).expect("text")
    };
    tokio::join!(send, receive).1
}

#[actix_web::test]
async fn what_is_wrong_with_a_json_body_is_said() {
    let app = TestApp::start().await;
    let many = json!({"phone_numbers": vec![CALLEE; 10_001]});
    for (body, words) in [
        (json!({}), "phone_number is required"),
        (json!({"phone_number": null}), "phone_number is required"),
        (json!({"phone_number": "12125550123"}), "phone_number must be in international format"),
        (json!({"phone_numbers": []}), "phone_numbers must have 1 to 10000 numbers"),
        (many, "phone_numbers must have 1 to 10000 numbers"),
        (json!({"phone_numbers": [CALLEE, "+1"]}), "phone_numbers has at place 2: must be 8 to 18"),
        (json!({"phone_number": CALLEE, "phone_numbers": [CALLEE]}), "beside phone_number"),
        (json!({"phone_number": CALLEE, "notes": "x"}), "notes is not known here"),
        (json!({"phone_number": CALLEE, "note": "x".repeat(1_001)}), "note must have at most 1000"),
    ] {
        let message = app.tell(Method::POST, LIST, &body).await.refused(400, "validation_error");
        assert!(message.contains(words), "{message}");
    }
    for path in ["/do-not-call/12125550123", "/do-not-call/nobody"] {
        app.ask(Method::GET, path).await.refused(400, "validation_error");
    }
    for query in ["limit=0", "limit=1001", "cursor=x", "cursor="] {
        app.ask(Method::GET, &format!("{LIST}?{query}")).await.refused(400, "validation_error");
    }
    assert_eq!(app.ask(Method::GET, LIST).await.json()["numbers"], json!([]));
    app.finish().await;
}

#[actix_web::test]
async fn the_person_of_a_call_is_put_on_the_list_in_one_step() {
    let app = TestApp::start().await;
    let call = app.live_call().await;
    let path = format!("/calls/{}/do-not-call", call.phone.sid());
    let answer = app.ask(Method::POST, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let row = answer.json();
    let note = format!("asked for in call {}", call.phone.sid());
    assert_eq!(text(&row["phone_number"]), CALLEE);
    assert_eq!((text(&row["source"]), text(&row["note"])), ("agent", note.as_str()));
    assert_eq!(app.ask(Method::POST, &path).await.json(), row, "it is safe to repeat");
    app.hang_up(&call).await;
    assert_eq!(app.call(CALLEE).await.status, 403);

    let inbound = |from: &str| NewCall {
        id: CallId::generate(),
        company: CompanyId(1),
        node: NodeId::generate(),
        to: "+12125550199".into(),
        from: from.into(),
        direction: Direction::Inbound,
        agent: None,
        at: Timestamp::now(),
    };
    let (shown, withheld) = (inbound("+442071838750"), inbound("anonymous"));
    for call in [&shown, &withheld] {
        let (store, end) = (app.app.store(), CallUpdate::Status(CallStatus::Completed));
        store.insert_call(call).await.expect("stored");
        store.apply(call.id, end, Timestamp::now()).await.expect("stored");
    }
    let answer = app.ask(Method::POST, &format!("/calls/{}/do-not-call", shown.id)).await;
    assert_eq!(text(&answer.json()["phone_number"]), "+442071838750");
    let answer = app.ask(Method::POST, &format!("/calls/{}/do-not-call", withheld.id)).await;
    answer.refused(409, "number_withheld");
    app.ask(Method::POST, "/calls/CA0/do-not-call").await.refused(404, "call_not_found");
    app.finish().await;
}

#[actix_web::test]
async fn a_number_in_a_path_is_not_remembered_among_the_requests() {
    let app = TestApp::start().await;
    app.ask(Method::GET, &listed(CALLEE)).await.refused(404, "number_not_listed");
    app.quiet().await;
    assert!(app.app.flush(LIMIT).await, "not all is written");
    let requests = app.ask(Method::GET, "/metrics/api-calls").await.body;
    assert!(requests.contains("/api/v1/do-not-call/{phone_number}"), "{requests}");
    assert!(!requests.contains(CALLEE.trim_start_matches('+')), "{requests}");
    app.finish().await;
}
