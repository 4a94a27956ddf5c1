//! Campaigns of CSV files.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::never_now;
use crate::api::text;
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, TestApp, soon};

async fn upload(app: &TestApp, query: &str, file: impl Into<reqwest::Body>) -> Answer {
    let path = format!("/campaigns?{query}");
    let request = app.api(Method::POST, &path, ADMIN_KEY);
    Answer::to(request.header("Content-Type", "text/csv; charset=utf-8").body(file)).await
}

/// Settings of a campaign that dials nobody yet, as a query.
fn settings(more: &[(&str, &str)]) -> String {
    let hours = never_now().to_string();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("name", "A file").append_pair("hours", &hours);
    query.extend_pairs(more);
    query.finish()
}

async fn rows(app: &TestApp, id: &Value) -> Vec<Value> {
    let path = format!("/campaigns/{}/calls?limit=1000", text(id));
    let page = app.ask(Method::GET, &path).await.json();
    page["recipients"].as_array().expect("a list").clone()
}

#[actix_web::test]
async fn a_file_is_read_with_its_columns_and_its_settings() {
    let app = TestApp::start().await;
    let query = settings(&[
        ("max_concurrent_calls", "3"),
        ("max_cps", "0.25"),
        ("retries", r#"{"max_attempts": 2, "on": ["failed"]}"#),
        ("answering_machine", r#"{"action": "hang_up"}"#),
        ("template_context", r#"{"shop": "Acme"}"#),
    ]);
    let file = "\u{feff}Name;Phone Number;priority;timezone;not_before;city\r\n\
        Ann;+1 (212) 555-0101;5;Europe/Berlin;2030-01-01T00:00:00Z;\"Rome; Italy\"\r\n\
        Bob;'+12125550102;;;;\r\n\
        \r\n\
        Cid;12125550103;;;;x\r\n\
        Dan;+12125550104;high;;;x\r\n\
        Eve;+12125550105;1\r\n\
        Flo;+12125550101;1;;;x\r\n";
    let query = query.replace("Name", "name");
    let answer = upload(&app, &query, file).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let created = answer.json();
    let counted = (&created["accepted"], &created["invalid"], &created["duplicates"]);
    assert_eq!(counted, (&json!(2), &json!(3), &json!(1)));
    let rejected = created["rejected"].as_array().expect("a list");
    let reasons: Vec<(u64, &str)> = rejected
        .iter()
        .map(|row| (row["line"].as_u64().expect("a line"), text(&row["reason"])))
        .collect();
    assert_eq!(reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7, 8]);
    for ((line, reason), words) in
        reasons.iter().zip(["has no '+'", "priority must be", "has 3 fields", "line 2 has already"])
    {
        assert!(reason.contains(words), "line {line}: {reason}");
    }
    let settings = &created["settings"];
    assert_eq!(
        (&settings["max_cps"], &settings["retries"]["on"]),
        (&json!(0.25), &json!(["failed"]))
    );
    assert_eq!(settings["template_context"], json!({"shop": "Acme"}));

    let rows = rows(&app, &created["id"]).await;
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0]["template_context"], json!({"Name": "Ann", "city": "Rome; Italy"}));
    assert_eq!((&rows[0]["priority"], &rows[0]["timezone"]), (&json!(5), &json!("Europe/Berlin")));
    assert_eq!(rows[0]["due_at"], "2030-01-01T00:00:00.000Z");
    assert_eq!(rows[1]["template_context"], json!({"Name": "Bob"}), "an empty field is not given");
    assert_eq!(
        (&rows[1]["phone_number"], &rows[1]["due_at"]),
        (&json!("+12125550102"), &Value::Null)
    );
    app.finish().await;
}

#[actix_web::test]
async fn a_file_in_another_alphabet_is_read_and_noted() {
    let app = TestApp::start().await;
    let file = b"phone_number,city\n+12125550101,Z\xfcrich\n".to_vec();
    let created = upload(&app, &settings(&[]), file).await.json();
    assert!(text(&created["note"]).contains("line 2 is not UTF-8"), "{created}");
    assert_eq!(rows(&app, &created["id"]).await[0]["template_context"]["city"], "Zürich");
    app.finish().await;
}

#[actix_web::test]
async fn a_file_that_cannot_be_read_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let files: [(&[u8], &str, &str); 8] = [
        (b"", "invalid_csv", "The file is empty"),
        (b"\n \n", "invalid_csv", "The file is empty"),
        (b"phone_number\n", "invalid_csv", "no rows below it"),
        (b"+12125550101\n", "invalid_csv", "must name the columns"),
        (b"name,city\nAnn,Rome\n", "invalid_csv", "must name the columns"),
        (b"phone_number,First Name\n+12125550101,Ann\n", "invalid_csv", "the key 'First Name'"),
        (b"PK\x03\x04\x00\x00", "invalid_csv", "is a spreadsheet"),
        (b"phone_number\nx\ny\n", "validation_error", "none of 2 can"),
    ];
    for (file, word, said) in files {
        let answer = upload(&app, &settings(&[]), file.to_vec()).await;
        let message = answer.refused(400, word);
        assert!(message.contains(said), "no {said:?} in {message}");
    }
    let answer = upload(&app, "max_cps=0&hours=x&nmae=y", "phone_number\n+12125550101\n").await;
    let message = answer.refused(400, "validation_error");
    for problem in ["name is required", "max_cps must be", "hours must be an object", "nmae is not"]
    {
        assert!(message.contains(problem), "no {problem:?} in {message}");
    }
    app.no_campaigns().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_dry_run_of_a_file_stores_nothing() {
    let app = TestApp::start().await;
    let file = "phone_number\n+12125550101\nx\n";
    let answer = upload(&app, &settings(&[("dry_run", "true")]), file).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((&answer.json()["accepted"], &answer.json()["id"]), (&json!(1), &Value::Null));
    assert!(app.campaign_ids().await.is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn a_million_rows_are_refused_with_the_limit() {
    let app = TestApp::start().await;
    let rows = (0..1_000_000).map(|row| format!("+1{row:09}\n"));
    let body = "phone_number\n".to_owned() + &rows.collect::<String>();
    let dry = settings(&[("dry_run", "true")]);
    let message = upload(&app, &dry, body).await.refused(400, "validation_error");
    assert!(message.contains("at most 200000 recipients"), "{message}");
    app.finish().await;
}

#[actix_web::test]
async fn what_is_stored_of_a_broken_upload_is_taken_back() {
    let app = TestApp::start().await;
    let rows = (0..3_000).map(|row| format!("+1{row:09}\n"));
    let head = format!(
        "POST /api/v1/campaigns?{} HTTP/1.1\r\nHost: callspan\r\nX-API-Key: {ADMIN_KEY}\r\n\
         Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\nphone_number\n",
        settings(&[])
    );
    let url = app.url("");
    let address = url.strip_prefix("http://").expect("a URL");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let some = head + &rows.collect::<String>();
    client.write_all(some.as_bytes()).await.expect("it reads");
    let loading = async {
        loop {
            let page = app.ask(Method::GET, "/campaigns?state=loading").await.json();
            if page["campaigns"][0]["total"].as_u64().is_some_and(|total| total > 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("a part of the upload to be stored", loading).await;
    drop(client);
    app.no_campaigns().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_body_of_another_kind_or_with_a_key_is_refused() {
    let app = TestApp::start().await;
    let request = app.api(Method::POST, "/campaigns", ADMIN_KEY).body("x");
    let answer = Answer::to(request.header("Content-Type", "application/xml")).await;
    let said = answer.refused(415, "unsupported_media_type");
    assert!(said.contains("application/json or text/csv"), "{said}");
    let path = format!("/campaigns?{}", settings(&[]));
    let request = app.api(Method::POST, &path, ADMIN_KEY).header("Idempotency-Key", "monday");
    let request = request.header("Content-Type", "text/csv").body("phone_number\n+12125550101\n");
    let said = Answer::to(request).await.refused(400, "validation_error");
    assert!(said.contains("needs a JSON body"), "{said}");
    app.finish().await;
}
