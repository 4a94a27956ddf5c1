//! `callspan company`, the real program, beside the real service.

use std::process::Output;

use actors::ids::CompanyId;
use loadtest::twilio::AccountOptions;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::harness::process::{Program, World};
use crate::harness::requests::{Answer, INITIATE};
use crate::harness::{ADMIN_KEY, CALLEE, soon};

const SID: &str = "AC00000000000000000000000000000077";
const NUMBER: &str = "+15005550077";
const TOKEN: &str = "77777777777777777777777777777777";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Runs the command, which must work, and gives what it prints.
async fn done(world: &World, args: &[&str], input: &str) -> String {
    let output = world.run_with_input(&[&["company"], args].concat(), &[], input).await;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    no_secret(world, &output);
    text(&output.stdout).to_owned()
}

/// Runs the command, which must fail with this code, and gives what it says.
async fn refused(world: &World, args: &[&str], code: i32) -> String {
    let output = world.run(&[&["company"], args].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    no_secret(world, &output);
    text(&output.stderr).trim_end().to_owned()
}

fn no_secret(world: &World, output: &Output) {
    for secret in [TOKEN, world.twilio.auth_token(), world.ultravox.api_key()] {
        let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!printed.contains(secret), "a secret is shown: {printed}");
    }
}

async fn ask(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    let method = method.parse().expect("a method");
    let url = format!("{}/api/v1{path}", world.public_url());
    let request = reqwest::Client::new().request(method, url).header("X-API-Key", ADMIN_KEY);
    Answer::to(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

async fn stop(mut program: Program) -> String {
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    program.log()
}

/// The secrets a company has: token and key.
async fn secrets(world: &World, company: i64) -> (Option<String>, Option<String>) {
    let store = world.store().await;
    let account = store.twilio_account(CompanyId(company)).await.expect("a database");
    let config = store.ultravox_config(CompanyId(company)).await.expect("a database");
    store.close().await;
    (
        account.map(|account| account.auth_token.expose_secret().to_owned()),
        config.map(|config| config.account.api_key.expose_secret().to_owned()),
    )
}

#[actix_web::test]
async fn a_company_added_beside_the_service_can_call_at_once() {
    let world = World::new();
    world.twilio.add_account(AccountOptions {
        sid: SID.to_owned(),
        auth_token: TOKEN.to_owned(),
        numbers: vec![NUMBER.to_owned()],
        ..AccountOptions::default()
    });
    let program = world.start().await;
    let secrets = format!("{TOKEN}\n{}\n", world.ultravox.api_key());
    let add = [
        "add",
        "--name",
        "Acme",
        "--account-sid",
        SID,
        "--phone-number",
        NUMBER,
        "--auth-token-stdin",
        "--apikey-stdin",
        "--system-prompt",
        "You are Acme's.",
    ];
    assert_eq!(done(&world, &add, &secrets).await, "2\n");
    let made = world.run(&["key", "create", "--name", "shop", "--company", "2"], &[]).await;
    let key = text(&made.stdout).trim_end();
    let body = json!({ "companyId": 2, "destinationNumber": CALLEE });
    let request = reqwest::Client::new().post(format!("{}{INITIATE}", world.public_url()));
    let answer = Answer::to(request.header("X-API-Key", key).json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let phone = soon("the call", world.twilio.wait_for_call(CALLEE)).await;
    let agent = soon("the agent", world.ultravox.wait_for_call()).await;
    assert_eq!((phone.account_sid(), phone.from()), (SID, NUMBER));
    assert_eq!(agent.request()["systemPrompt"], "You are Acme's.");
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");

    let said = refused(&world, &["remove", "2", "--yes"], 1).await;
    assert_eq!(said, "Company 2 has live calls; end them first");
    phone.hang_up();
    program.ended(&world, &phone).await;
    done(&world, &["remove", "2", "--yes"], "").await;
    assert_eq!(ask(&world, "GET", "/companies/2", None).await.status, 404);
    let log = stop(program).await;
    for secret in [TOKEN, key, world.ultravox.api_key()] {
        assert!(!log.contains(secret), "{log}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn what_is_printed_as_json_is_what_the_rest_api_answers() {
    let world = World::new();
    let program = world.start().await;
    done(&world, &["add", "--name", "Bare \u{1b}[2J"], "").await;
    let all: Value =
        serde_json::from_str(&done(&world, &["list", "--json"], "").await).expect("JSON");
    assert_eq!(all, ask(&world, "GET", "/companies", None).await.json());
    assert_eq!(all["companies"].as_array().expect("a list").len(), 2);
    let one: Value =
        serde_json::from_str(&done(&world, &["show", "1", "--json"], "").await).expect("JSON");
    assert_eq!(one, ask(&world, "GET", "/companies/1", None).await.json());

    let list = done(&world, &["list"], "").await;
    let line = list.lines().nth(1).expect("company 1");
    assert!(line.contains(world.twilio.account_sid()), "{list}");
    let shown = done(&world, &["show", "2"], "").await;
    assert!(shown.contains("twilio         not configured"), "{shown}");
    assert!(!list.contains('\u{1b}') && !shown.contains('\u{1b}'), "{list:?} {shown:?}");
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn what_is_given_changes_and_what_is_cleared_is_gone() {
    let world = World::new();
    let program = world.start().await;
    let before = secrets(&world, 1).await;
    let company = async || ask(&world, "GET", "/companies/1", None).await.json();
    let set = [
        "set",
        "1",
        "--name",
        "Acme",
        "--max-cps",
        "2.5",
        "--allowed-prefix",
        "+1",
        "+44",
        "--number",
        "+12125550103",
        "--first-speaker",
        "agent",
        "--apiurl",
        "https://a.b",
    ];
    assert_eq!(done(&world, &set, "").await, "");
    let changed = company().await;
    assert_eq!(changed["name"], "Acme");
    assert_eq!(changed["twilio"]["max_cps"], 2.5);
    assert_eq!(changed["twilio"]["allowed_prefixes"], json!(["+1", "+44"]));
    assert_eq!(changed["twilio"]["account_sid"], world.twilio.account_sid());
    assert_eq!(changed["numbers"], json!([{ "number": "+12125550103", "agent_id": null }]));
    assert_eq!(changed["ultravox"]["firstspeaker"], "FIRST_SPEAKER_AGENT");
    assert_eq!(changed["ultravox"]["apiurl"], "https://a.b");

    let clear = ["max-cps", "allowed-prefixes", "apiurl", "numbers"];
    let clear = clear.iter().flat_map(|what| ["--clear", *what]);
    done(&world, &["set", "1"].into_iter().chain(clear).collect::<Vec<_>>(), "").await;
    let cleared = company().await;
    assert_eq!(cleared["twilio"]["max_cps"], Value::Null);
    assert_eq!(cleared["twilio"]["allowed_prefixes"], Value::Null);
    assert_eq!(cleared["ultravox"]["apiurl"], Value::Null);
    assert_eq!(cleared["numbers"], json!([]));
    assert_eq!(cleared["name"], "Acme");
    assert_eq!(secrets(&world, 1).await, before);
    stop(program).await;
    world.finish().await;
}

/// The environment of every command here is that of the service, with company 1's secrets in it.
#[actix_web::test]
async fn the_secrets_of_the_service_s_environment_get_to_another_company_only_when_asked_for() {
    let world = World::new();
    let program = world.start().await;
    let (token, key) = (world.twilio.auth_token(), world.ultravox.api_key());
    let add = ["add", "--name", "B", "--account-sid", SID, "--phone-number", NUMBER];
    let stdin = [add.as_slice(), &["--auth-token-stdin", "--apikey-stdin"]].concat();
    done(&world, &stdin, &format!("{TOKEN}\nkey-of-b\n")).await;
    let both = |token: &str, key: &str| (Some(token.to_owned()), Some(key.to_owned()));
    assert_eq!(secrets(&world, 2).await, both(TOKEN, "key-of-b"));

    done(&world, &["set", "2", "--name", "C"], "").await;
    assert_eq!(secrets(&world, 2).await, both(TOKEN, "key-of-b"));
    let said = refused(&world, &["set", "2"], 2).await;
    assert!(said.contains("nothing to change") && said.contains("--auth-token-env"), "{said}");

    done(&world, &["set", "2", "--auth-token-env"], "").await;
    assert_eq!(secrets(&world, 2).await, both(token, "key-of-b"));
    done(&world, &["set", "2", "--apikey-env", "--auth-token-stdin"], TOKEN).await;
    assert_eq!(secrets(&world, 2).await, both(TOKEN, key));

    let output = world.run(&["company", "add", "--name", "D"], &[]).await;
    assert!(text(&output.stderr).contains("holds in ULTRAVOX_API_KEY\n"), "{output:?}");
    assert_eq!(secrets(&world, 3).await, (None, Some(key.to_owned())));
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn bad_values_are_refused_with_the_words_of_the_rest_api() {
    let world = World::new();
    let program = world.start().await;
    let cases = [
        (["--name", " "], json!({ "name": " " })),
        (["--account-sid", "AB1"], json!({ "twilio": { "account_sid": "AB1" } })),
        (["--phone-number", "+1"], json!({ "twilio": { "phone_number": "+1" } })),
        (["--max-cps", "many"], json!({ "twilio": { "max_cps": "many" } })),
        (["--allowed-prefix", "1"], json!({ "twilio": { "allowed_prefixes": ["1"] } })),
        (["--apiurl", "ftp://a.b"], json!({ "ultravox": { "apiurl": "ftp://a.b" } })),
        (["--inbound-agent", "nobody"], json!({ "inbound_agent_id": "nobody" })),
        (["--number", "12"], json!({ "numbers": [{ "number": "12" }] })),
    ];
    for (flag, body) in cases {
        let said = refused(&world, &[&["set", "1"], flag.as_slice()].concat(), 2).await;
        let answer = ask(&world, "PATCH", "/companies/1", Some(body)).await;
        assert_eq!(
            (answer.status, &*said),
            (400, answer.json()["message"].as_str().expect("text"))
        );
    }
    let output = world.run_with_input(&["company", "set", "1", "--apikey-stdin"], &[], "a b").await;
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert_eq!(said, "ultravox.apikey must have visible ASCII characters only\n");
    stop(program).await;
    world.finish().await;
}

#[actix_web::test]
async fn every_way_to_fail_has_its_exit_code() {
    let world = World::new();
    let said = refused(&world, &["list"], 1).await;
    assert!(said.contains("there is no database"), "{said}");
    assert_eq!(std::fs::read_dir(world.folder()).expect("a folder").count(), 0, "a file was made");

    // Half a Twilio configuration in the environment is no mistake of these commands.
    let half = [("TWILIO_ACCOUNT_SID", ""), ("TWILIO_PHONE_NUMBER", "")];
    let output = world.run(&["company", "add", "--name", "first"], &half).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1\n"), "{output:?}");
    let program = world.start().await;

    for args in [["show", "7"].as_slice(), &["set", "7", "--name", "x"], &["remove", "7", "--yes"]]
    {
        assert_eq!(refused(&world, args, 1).await, "There is no company 7");
    }
    done(&world, &["set", "1", "--number", "+12125550103"], "").await;
    let taken = refused(&world, &["add", "--name", "x", "--number", "+12125550103"], 1).await;
    assert!(taken.contains("belongs to another company"), "{taken}");
    let said = refused(&world, &["remove", "1"], 2).await;
    assert!(said.contains("--yes is needed"), "{said}");
    let said = refused(&world, &["set", "1", "--apikey-stdin"], 2).await;
    assert!(said.contains("does not hold the Ultravox API key"), "{said}");
    for args in [
        ["add"].as_slice(),
        &["add", "--name", "x", "--auth-token", "y"],
        &["show", "one"],
        &["set", "1", "--clear", "name"],
        &["list", "--database-url", "mysql://a"],
    ] {
        refused(&world, args, 2).await;
    }

    let other = [("CALLSPAN_MASTER_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")];
    let output = world.run(&["company", "add", "--name", "x"], &other).await;
    assert_eq!(output.status.code(), Some(1), "the service could not open it: {output:?}");
    let companies = ask(&world, "GET", "/companies", None).await.json();
    assert_eq!(companies["companies"].as_array().expect("a list").len(), 1);
    stop(program).await;
    world.finish().await;
}
