//! `callspan openapi` and `callspan completions`, the real program.

use serde_json::Value;

use crate::harness::TestApp;
use crate::harness::process::run;

#[actix_web::test]
async fn the_document_is_the_one_the_service_gives() {
    let app = TestApp::start().await;
    let served: Value = app.get("/openapi.json").await.json();
    app.finish().await;

    let output = run(&["openapi"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), served);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    let file = file.to_str().expect("text");
    let to_file = run(&["openapi", "--out", file], &[]).await;
    assert_eq!((to_file.status.code(), to_file.stdout), (Some(0), Vec::new()));
    assert_eq!(std::fs::read(file).expect("it is written"), output.stdout);

    let nowhere = run(&["openapi", "--out", "/nowhere/at/all.json"], &[]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    let said = String::from_utf8(nowhere.stderr).expect("text");
    assert!(said.starts_with("/nowhere/at/all.json cannot be written: "), "{said}");
}

#[actix_web::test]
async fn a_shell_gets_its_completions_and_no_other_is_known() {
    let output = run(&["completions", "bash"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let script = String::from_utf8(output.stdout).expect("text");
    assert!(script.contains("complete -F _callspan"), "{script}");
    assert_eq!(run(&["completions", "csh"], &[]).await.status.code(), Some(2));
}
