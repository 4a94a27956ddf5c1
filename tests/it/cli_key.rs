//! `callspan key`, the real program, beside the real service.

use std::process::Output;

use serde_json::Value;

use crate::harness::ADMIN_KEY;
use crate::harness::process::World;
use crate::harness::requests::Answer;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

async fn done(world: &World, args: &[&str]) -> Output {
    let output = world.run(args, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    output
}

async fn get(world: &World, path: &str, key: &str) -> Answer {
    let url = format!("{}{path}", world.public_url());
    Answer::to(reqwest::Client::new().get(url).header("X-API-Key", key)).await
}

#[actix_web::test]
async fn a_key_is_printed_alone_works_at_once_and_not_after_it_was_revoked() {
    let world = World::new();
    let mut program = world.start().await;
    let output = done(&world, &["key", "create", "--name", "shop", "--company", "1"]).await;
    let key = text(&output.stdout).trim_end();
    assert!(key.starts_with("csk_") && !key.contains(char::is_whitespace), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("good for company 1") && !said.contains(key), "{said}");
    assert_eq!(get(&world, "/api/v1/agents", key).await.status, 200);
    assert_eq!(get(&world, "/api/v1/companies", key).await.status, 403, "it is no admin key");

    let id = said.split(' ').next().expect("its id");
    let output = done(&world, &["key", "revoke", id]).await;
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("", &*format!("{id} is revoked\n")));
    assert_eq!(get(&world, "/api/v1/agents", key).await.status, 401);

    let again = world.run(&["key", "revoke", id], &[]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stderr), "There is no such key in use\n");

    let output = done(&world, &["key", "create", "--name", "boss", "--admin"]).await;
    let admin = text(&output.stdout).trim_end();
    assert_eq!(get(&world, "/api/v1/companies", admin).await.status, 200);
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    let log = program.log();
    assert!(!log.contains(key) && !log.contains(admin), "{log}");
    world.finish().await;
}

#[actix_web::test]
async fn the_list_is_that_of_the_rest_api_and_shows_no_key() {
    let world = World::new();
    let mut program = world.start().await;
    let mut keys = Vec::new();
    for whose in [["--company", "1"].as_slice(), &["--admin"]] {
        let args = [&["key", "create", "--name", "of \u{1b}[2J"], whose].concat();
        keys.push(text(&done(&world, &args).await.stdout).trim_end().to_owned());
    }
    for (filter, query) in [([].as_slice(), ""), (&["--company", "1"], "?company_id=1")] {
        let args = [&["key", "list", "--json"], filter].concat();
        let output = done(&world, &args).await;
        let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rest = get(&world, &format!("/api/v1/api-keys{query}"), ADMIN_KEY).await.json();
        assert_eq!(listed, rest);
        let shown = done(&world, &[&["key", "list"], filter].concat()).await;
        let shown = text(&shown.stdout);
        let ids = rest["api_keys"].as_array().expect("a list");
        assert_eq!(shown.lines().count(), ids.len() + 1, "{shown}");
        for (line, key) in shown.lines().skip(1).zip(ids) {
            assert!(line.starts_with(key["id"].as_str().expect("an id")), "{shown}");
        }
        assert!(!shown.contains('\u{1b}'), "a name commands the terminal: {shown:?}");
        for key in &keys {
            assert!(!shown.contains(key) && !listed.to_string().contains(key), "{shown}");
        }
    }
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}

#[actix_web::test]
async fn every_way_to_fail_has_its_exit_code() {
    let world = World::new();
    let output = world.run(&["key", "create", "--name", "x", "--admin"], &[]).await;
    assert_eq!(output.status.code(), Some(1), "there is no database yet: {output:?}");
    let files = std::fs::read_dir(world.folder()).expect("a folder").count();
    assert_eq!(files, 0, "a file was made");

    let mut program = world.start().await;
    let fails = async |args: &[&str], code: i32, words: &str| {
        let output = world.run(&[&["key"], args].concat(), &[]).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        assert!(text(&output.stderr).contains(words), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    fails(&["create", "--name", "x", "--company", "7"], 1, "There is no company 7").await;
    fails(&["create", "--name", "", "--admin"], 2, "name must have 1 to 100 characters").await;
    fails(&["create", "--name", "x"], 2, "--company").await;
    fails(&["create", "--name", "x", "--admin", "--company", "1"], 2, "--company").await;
    fails(&["revoke", "key_0"], 1, "There is no such key in use").await;
    fails(&["list", "--database-url", "mysql://a"], 2, "DATABASE_URL").await;
    fails(&["list", "--company", "0"], 2, "--company").await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    world.finish().await;
}
