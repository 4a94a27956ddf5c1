//! What became of each recipient.

use reqwest::Method;
use serde_json::{Value, json};

use super::{numbers, order};
use crate::api::text;
use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, TestApp};

#[actix_web::test]
async fn results_come_in_pages_and_by_state() {
    let app = TestApp::start().await;
    let recipients = json!(["+12125550101", "x", "+12125550102", "+12125550101", "+12125550103"]);
    let created = app.new_campaign(&order(&recipients)).await;
    let path = format!("/campaigns/{}/calls", text(&created["id"]));
    let page = async |query: &str| {
        let page = app.ask(Method::GET, &format!("{path}?{query}")).await.json();
        let rows = page["recipients"].as_array().expect("a list").iter();
        let rows = rows.map(|row| (row["seq"].clone(), text(&row["state"]).to_owned()));
        (rows.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
    };
    let row = |seq: u32, state: &str| (json!(seq), state.to_owned());
    let (first, cursor) = page("limit=2").await;
    assert_eq!((first, cursor.as_deref()), (vec![row(1, "waiting"), row(2, "invalid")], Some("2")));
    let (next, cursor) = page("limit=2&cursor=2").await;
    assert_eq!(
        (next, cursor.as_deref()),
        (vec![row(3, "waiting"), row(4, "duplicate")], Some("4"))
    );
    assert_eq!(page("limit=2&cursor=4").await, (vec![row(5, "waiting")], None));
    let waiting = [1, 3, 5].map(|seq| row(seq, "waiting")).to_vec();
    assert_eq!(page("state=waiting").await, (waiting, None));
    assert_eq!(page("state=busy").await, (vec![], None));

    let invalid = app.ask(Method::GET, &format!("{path}?state=invalid")).await.json();
    let invalid = &invalid["recipients"][0];
    assert_eq!((&invalid["phone_number"], &invalid["attempts"]), (&json!("x"), &json!(0)));
    assert!(text(&invalid["detail"]).starts_with("phone_number "), "{invalid}");
    assert_eq!((&invalid["call_id"], &invalid["answered_by"]), (&Value::Null, &Value::Null));
    for bad in ["state=asleep", "limit=1001", "limit=0", "cursor=-1", "cursor=x", "format=xml"] {
        let answer = app.ask(Method::GET, &format!("{path}?{bad}")).await;
        answer.refused(400, "validation_error");
    }
    app.finish().await;
}

#[actix_web::test]
async fn results_are_one_file_for_a_spreadsheet() {
    let app = TestApp::start().await;
    // More than are read from the database at once.
    let mut recipients = numbers(2_500);
    recipients[1] = json!("=HYPERLINK(\"http://example.com\", \"+1\")");
    recipients[2] = json!({"phone_number": "+13125550123", "template_context": {"a": "x, \"y\""}});
    let created = app.new_campaign(&order(&recipients)).await;
    let path = format!("/campaigns/{}/calls", text(&created["id"]));
    let by_query = app.ask(Method::GET, &format!("{path}?format=csv")).await;
    assert_eq!(by_query.status, 200, "{by_query:?}");
    assert_eq!(by_query.header("content-type"), Some("text/csv; charset=utf-8"));
    let disposition = by_query.header("content-disposition").expect("a file name");
    assert!(disposition.starts_with("attachment; filename=\"campaign-"), "{disposition}");
    let request = app.api(Method::GET, &path, ADMIN_KEY).header("Accept", "text/csv");
    assert_eq!(Answer::to(request).await.body, by_query.body);

    let mut lines = by_query.body.lines();
    assert_eq!(
        lines.next(),
        Some(
            "seq,phone_number,state,attempts,due_at,call_id,call_sid,end_reason,detail,answered_by,\
             duration_seconds,timezone,priority,updated_at,template_context"
        )
    );
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2_500);
    assert!(lines[0].starts_with("1,+12125550000,waiting,0,,,,,,,,,0,2"), "{}", lines[0]);
    let defused = "2,\"'=HYPERLINK(\"\"http://example.com\"\", \"\"+1\"\")\",invalid,";
    assert!(lines[1].starts_with(defused), "{}", lines[1]);
    assert!(lines[2].ends_with(r#""{""a"":""x, \""y\""""}""#), "{}", lines[2]);
    assert!(lines[2_499].starts_with("2500,+12125552499,waiting,"), "{}", lines[2_499]);
    let some = app.ask(Method::GET, &format!("{path}?format=csv&state=invalid")).await;
    assert_eq!(some.body.lines().count(), 2);
    app.finish().await;
}
