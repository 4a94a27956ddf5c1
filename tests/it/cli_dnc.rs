//! `callspan dnc`, the real program, beside the real service.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::ADMIN_KEY;
use crate::harness::process::World;
use crate::harness::requests::{Answer, INITIATE};

const FIRST: &str = "+12125550101";
const SECOND: &str = "+12125550102";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

async fn run(world: &World, args: &[&str], code: i32) -> Output {
    let output = world.run(&[&["dnc"], args].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    output
}

async fn get(world: &World, path: &str) -> Answer {
    let url = format!("{}/api/v1{path}", world.public_url());
    Answer::to(reqwest::Client::new().get(url).header("X-API-Key", ADMIN_KEY)).await
}

#[actix_web::test]
async fn a_number_is_refused_at_once_and_until_it_is_taken_off() {
    let world = World::new();
    let mut program = world.start().await;
    let output = run(&world, &["check", FIRST], 0).await;
    assert_eq!(text(&output.stderr), format!("{FIRST} is not on the list\n"));
    let written = "+1 (212) 555-0101";
    let output = run(&world, &["add", written, SECOND, "--note", "by letter \u{1b}[2J"], 0).await;
    assert_eq!(text(&output.stderr), "new on the list: 2, on it before: 0\n");
    let output = run(&world, &["add", FIRST], 0).await;
    assert_eq!(text(&output.stderr), "new on the list: 0, on it before: 1\n");

    let output = run(&world, &["check", FIRST], 3).await;
    let shown = text(&output.stdout);
    assert!(shown.contains(FIRST) && shown.contains("cli"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "a note commands the terminal: {shown:?}");
    let call = reqwest::Client::new().post(format!("{}{INITIATE}", world.public_url()));
    let call = call.header("X-API-Key", ADMIN_KEY);
    let call = call.json(&json!({"companyId": 1, "destinationNumber": FIRST}));
    assert_eq!(Answer::to(call).await.status, 403);
    let output = run(&world, &["list", "--json"], 0).await;
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed, get(&world, "/do-not-call").await.json());
    let output = run(&world, &["list"], 0).await;
    let numbers: Vec<&str> = text(&output.stdout).lines().map(|line| &line[..12]).collect();
    assert_eq!(numbers, ["NUMBER      ", FIRST, SECOND]);

    let output = run(&world, &["remove", FIRST, "+12125550109"], 3).await;
    let said = format!("{FIRST} is off the list\n+12125550109 was not on the list\n");
    assert_eq!(text(&output.stderr), said);
    run(&world, &["remove", SECOND], 0).await;
    run(&world, &["check", FIRST], 0).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn a_file_is_imported_and_its_bad_rows_are_told() {
    let world = World::new();
    let mut program = world.start().await;
    let good = world.folder().join("good.csv");
    std::fs::write(&good, "phone_number;note\n+12125550101;\"a;b\"\n").expect("a file");
    let good = good.to_str().expect("a path of text");
    let output = run(&world, &["import", good], 0).await;
    assert_eq!(text(&output.stderr), "new on the list: 1, on it before: 0\n");
    let row = get(&world, &format!("/do-not-call/{FIRST}")).await.json();
    assert_eq!((&row["source"], &row["note"]), (&json!("cli"), &json!("a;b")));

    let csv = "phone_number\n+12125550101\n12125550103\n+12125550102\n";
    let output = world.run_with_input(&["dnc", "import", "-"], &[], csv).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("line 3 has a phone_number that has no '+'"), "{said:?}");
    assert_eq!(said[1], "new on the list: 1, on it before: 1, bad rows: 1");
    run(&world, &["check", SECOND], 3).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn every_way_to_fail_has_its_exit_code() {
    let world = World::new();
    let output = world.run(&["dnc", "check", FIRST], &[]).await;
    assert_eq!(output.status.code(), Some(1), "there is no database yet: {output:?}");

    let mut program = world.start().await;
    let fails = async |args: &[&str], code: i32, words: &str| {
        let output = run(&world, args, code).await;
        assert!(text(&output.stderr).contains(words), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    fails(&["add", FIRST, "--company", "7"], 1, "There is no company 7").await;
    fails(&["add", "0049 151 12345"], 2, "begins with 00").await;
    fails(&["add", FIRST, "--note", ""], 2, "1 to 1000 characters").await;
    fails(&["check", "12125550101"], 2, "has no '+'").await;
    fails(&["import", "nowhere.csv"], 2, "nowhere.csv cannot be opened").await;
    fails(&["import", "."], 2, "the file cannot be read").await;
    let output = world.run_with_input(&["dnc", "import", "-"], &[], "").await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).starts_with("The file is empty"), "{output:?}");
    fails(&["list", "--company", "0"], 2, "--company").await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}
