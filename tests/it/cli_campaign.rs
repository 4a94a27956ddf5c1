//! `callspan campaign`, the real program: against the real service, and against one that fails by
//! plan.

use std::process::Output;

use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use serde_json::{Value, json};

use crate::harness::process::{Program, World, run};
use crate::harness::scripted::Scripted;
use crate::harness::{ADMIN_KEY, soon};

const FIRST: &str = "+12125550101";
const SECOND: &str = "+12125550102";
const TWO: &str = "phone_number\n+12125550101\n+12125550102\n";

/// Phones that are busy: the shortest calls there are.
fn busy() -> World {
    let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy);
    World::with_twilio(|twilio| twilio.phone = busy).set("CALLSPAN_MAX_CPS", "1000")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

async fn campaign(world: &World, args: &[&str], code: i32) -> Output {
    let output = world.run(&[&["campaign"], args].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    output
}

/// Begins to call these numbers, and gives the campaign's id.
async fn detached(world: &World, csv: &str, args: &[&str]) -> String {
    let args = [&["campaign", "run", "-", "--detach"], args].concat();
    let output = world.run_with_input(&args, &[], csv).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let id = stdout(&output).trim_end().to_owned();
    let way_back = format!("callspan campaign show {id} --follow");
    assert!(stderr(&output).contains(&way_back), "{output:?}");
    id
}

async fn shown(world: &World, id: &str) -> Value {
    let output = campaign(world, &["show", id, "--json"], 0).await;
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn stop(mut program: Program, world: World) {
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    world.finish().await;
}

#[actix_web::test]
async fn a_list_is_called_to_its_end_and_its_bad_rows_are_told() {
    let world = busy();
    let program = world.start().await;
    let file = world.folder().join("Spring list.csv");
    let rows = "phone_number;name\n+12125550101;Ann\n12125550109;Bob\n+12125550101;Ann\n\
                +12125550102;Cy\n";
    std::fs::write(&file, rows).expect("own folder");
    let output = campaign(&world, &["run", file.to_str().expect("text")], 0).await;

    let said = stderr(&output);
    assert!(said.starts_with("line 3: \"12125550109\": "), "{said}");
    assert!(said.contains("\nline 4: \"+12125550101\": "), "{said}");
    assert!(said.contains("\naccepted: 2, invalid: 1, duplicates: 1\n"), "{said}");
    assert!(said.contains("\ncompleted: 4 of 4 done (100.0%)"), "{said}");
    assert!(said.ends_with("\nthe campaign is completed\n"), "{said}");
    assert!(!said.contains('\u{1b}'), "it is no terminal: {said:?}");
    let (id, table) = stdout(&output).split_once('\n').expect("an id and a table");
    let expected = "STATE      COUNT  SHARE\n\
                    busy       2      50.0%\n\
                    invalid    1      25.0%\n\
                    duplicate  1      25.0%\n\
                    total      4      100.0%\n";
    assert_eq!(table, expected);
    assert_eq!((world.twilio.dials_to(FIRST), world.twilio.dials_to(SECOND)), (1, 1));
    let known = shown(&world, id).await;
    assert_eq!((&known["name"], &known["state"]), (&json!("Spring list"), &json!("completed")));
    stop(program, world).await;
}

#[actix_web::test]
async fn settings_of_the_command_line_are_the_campaigns() {
    let world = busy();
    let program = world.start().await;
    let args = [
        "--name=Reminders",
        "--max-concurrent=20",
        "--max-cps=50",
        "--max-attempts=2",
        "--retry-on=busy",
        "--backoff=0",
        "--timezone=UTC",
        "--hours=mon-sun/00:00-24:00",
        "--recipient-time",
        "--answering-machine=leave-message=Call us.",
        "--json",
    ];
    let args = [&["campaign", "run", "-"][..], &args].concat();
    let output = world.run_with_input(&args, &[], TWO).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let told: Vec<Value> = lines.collect();
    assert_eq!((&told[0]["accepted"], &told[0]["name"]), (&json!(2), &json!("Reminders")));
    let settings = &told[0]["settings"];
    assert_eq!(settings["retries"]["on"], json!(["busy"]));
    assert_eq!(settings["hours"]["zone"], "recipient");
    let machine = json!({"action": "leave_message", "message": "Call us.", "spoken_by": "agent"});
    assert_eq!((&settings["answering_machine"], &settings["max_cps"]), (&machine, &json!(50.0)));
    let end = told.last().expect("some lines");
    assert_eq!((&end["state"], &end["counts"]["busy"]), (&json!("completed"), &json!(2)));
    assert_eq!((world.twilio.dials_to(FIRST), world.twilio.dials_to(SECOND)), (2, 2));
    stop(program, world).await;
}

#[actix_web::test]
async fn a_dry_run_tells_bad_rows_and_calls_nobody() {
    let world = busy();
    let program = world.start().await;
    let csv = "phone_number\n+12125550101\n0\n";
    let output = world.run_with_input(&["campaign", "run", "-", "--dry-run"], &[], csv).await;
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), ""), "{output:?}");
    assert!(stderr(&output).starts_with("line 3: \"0\": "), "{output:?}");
    assert!(stderr(&output).ends_with("accepted: 1, invalid: 1, duplicates: 0\n"), "{output:?}");
    let output = campaign(&world, &["list"], 0).await;
    assert_eq!(stdout(&output), "ID  STATE  TOTAL  CREATED  NAME\n");
    assert!(world.twilio.calls().is_empty());
    stop(program, world).await;
}

#[actix_web::test]
async fn ctrl_c_leaves_the_campaign_running_and_says_how_to_come_back() {
    let world = World::new();
    let program = world.start().await;
    let file = world.folder().join("two.csv");
    std::fs::write(&file, TWO).expect("own folder");
    let file = file.to_str().expect("text");
    let url = world.public_url();
    let mut command =
        world.begin(&["campaign", "run", file, "--max-concurrent=1", "--company=1", "--url", &url]);
    let phone = soon("the first call", world.twilio.wait_for_call(FIRST)).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    soon("a line", command.wait_for_log("calling 1")).await;
    command.signal("INT");
    assert_eq!(command.exit_code().await, Some(130));
    let said = command.log();
    let campaigns = campaign(&world, &["list", "--state=running", "--json"], 0).await;
    let campaigns: Value = serde_json::from_slice(&campaigns.stdout).expect("JSON");
    let id = campaigns["campaigns"][0]["id"].as_str().expect("it runs").to_owned();
    let place = format!("--company 1 --url {url}");
    for way in [format!("show {id} --follow {place}"), format!("cancel {id} {place}")] {
        assert!(said.contains(&format!("callspan campaign {way}`")), "no {way} in {said}");
    }

    let mut follower = world.begin(&["campaign", "show", &id, "--follow"]);
    soon("a line", follower.wait_for_log("calling 1")).await;
    phone.hang_up();
    let phone = soon("the second call", world.twilio.wait_for_call(SECOND)).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    phone.hang_up();
    assert_eq!(follower.exit_code().await, Some(0), "{}", follower.log());
    assert!(follower.log().contains("completed  2      100.0%"), "{}", follower.log());
    stop(program, world).await;
}

#[actix_web::test]
async fn a_campaign_is_paused_resumed_and_canceled() {
    let world = World::new();
    let program = world.start().await;
    let id = detached(&world, TWO, &["--max-concurrent=1"]).await;
    let phone = soon("the first call", world.twilio.wait_for_call(FIRST)).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");

    let output = campaign(&world, &["pause", &id], 0).await;
    assert!(stderr(&output).starts_with("paused: 0 of 2 done"), "{output:?}");
    let output = campaign(&world, &["pause", &id], 3).await;
    assert!(stderr(&output).contains("The campaign is paused"), "{output:?}");
    let output = campaign(&world, &["list"], 0).await;
    assert!(stdout(&output).contains(&format!("{id}  paused  2")), "{output:?}");
    let output = campaign(&world, &["show", &id], 0).await;
    let known = stdout(&output);
    assert!(known.contains("name               standard input\n"), "{known}");
    assert!(known.contains("\nwaiting  1      50.0%\n"), "{known}");
    campaign(&world, &["resume", &id], 0).await;

    let mut follower = world.begin(&["campaign", "show", &id, "--follow"]);
    soon("a line", follower.wait_for_log("running: ")).await;
    campaign(&world, &["cancel", &id, "--end-calls"], 0).await;
    assert_eq!(follower.exit_code().await, Some(5), "{}", follower.log());
    assert!(follower.log().contains("the campaign is canceled\n"), "{}", follower.log());
    campaign(&world, &["cancel", &id], 0).await;
    let output = campaign(&world, &["resume", &id], 3).await;
    assert!(stderr(&output).contains("The campaign is canceled"), "{output:?}");
    assert_eq!(world.twilio.dials_to(SECOND), 0);
    stop(program, world).await;
}

#[actix_web::test]
async fn what_became_of_each_number_is_a_table_a_page_or_a_file() {
    let world = busy();
    let program = world.start().await;
    let csv = format!("{TWO}0\n");
    let id = detached(&world, &csv, &[]).await;
    campaign(&world, &["show", &id, "--follow"], 0).await;

    let output = campaign(&world, &["results", &id], 0).await;
    let rows: Vec<Vec<&str>> =
        stdout(&output).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["1", FIRST, "busy", "1", "-", "-", "busy"]);
    assert_eq!((rows.len(), &rows[3][..3]), (4, &["3", "0", "invalid"][..]));
    let output = campaign(&world, &["results", &id, "--limit=1", "--after=1"], 0).await;
    assert!(stdout(&output).contains(SECOND) && !stdout(&output).contains(FIRST), "{output:?}");
    assert!(stderr(&output).contains("--after 2"), "{output:?}");
    let output = campaign(&world, &["results", &id, "--state=invalid", "--json"], 0).await;
    let page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(page["recipients"][0]["seq"], 3);
    assert_eq!(page["recipients"].as_array().map(Vec::len), Some(1));

    let output = campaign(&world, &["results", &id, "--csv=-"], 0).await;
    assert_eq!(stdout(&output).lines().count(), 4, "{output:?}");
    campaign(&world, &["results", &id, "--csv=busy.csv", "--state=busy"], 0).await;
    let file = std::fs::read_to_string(world.folder().join("busy.csv")).expect("a file");
    let busy: Vec<&str> = stdout(&output).lines().take(3).collect();
    assert_eq!(file.lines().collect::<Vec<_>>(), busy);
    let output = campaign(&world, &["results", &id, "--csv=no/where.csv"], 2).await;
    assert!(stderr(&output).starts_with("no/where.csv: "), "{output:?}");
    stop(program, world).await;
}

#[actix_web::test]
async fn a_campaign_that_pauses_itself_says_why_and_how_to_go_on() {
    let world = busy();
    world.twilio.refuse(FIRST, 400, 21_215, "Geo Permission configuration is not permitting");
    let program = world.start().await;
    let args = ["campaign", "run", "-", "--max-concurrent=1"];
    let output = world.run_with_input(&args, &[], TWO).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let id = stdout(&output).lines().next().expect("an id");
    let said = stderr(&output);
    assert!(said.contains("has paused itself: "), "{said}");
    assert!(said.contains("21215"), "{said}");
    assert!(said.contains(&format!("`callspan campaign resume {id}`")), "{said}");

    world.twilio.accept(FIRST);
    campaign(&world, &["resume", id], 0).await;
    campaign(&world, &["show", id, "--follow"], 0).await;
    stop(program, world).await;
}

#[actix_web::test]
async fn whoever_follows_sees_the_service_go_and_come_back() {
    let world = World::new();
    let mut program = world.start().await;
    let id = detached(&world, TWO, &["--max-concurrent=1"]).await;
    let phone = soon("the first call", world.twilio.wait_for_call(FIRST)).await;
    soon("the stream", phone.wait_for_stream()).await.expect("a stream");
    campaign(&world, &["pause", &id], 0).await;
    phone.hang_up();
    let mut follower = world.begin(&["campaign", "show", &id, "--follow"]);
    soon("a line", follower.wait_for_log("paused: ")).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    soon("the loss", follower.wait_for_log("lost the service (")).await;

    let program = world.start().await;
    soon("the return", follower.wait_for_log("the service is back")).await;
    campaign(&world, &["cancel", &id], 0).await;
    assert_eq!(follower.exit_code().await, Some(5), "{}", follower.log());
    stop(program, world).await;
}

#[actix_web::test]
async fn an_upload_whose_answer_got_lost_is_not_sent_again() {
    let nothing = (200, json!({ "campaigns": [], "next_cursor": null }));
    let lost = (502, json!({ "message": "the proxy gave up" }));
    let service = Scripted::start(vec![nothing, lost]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("two.csv");
    std::fs::write(&file, TWO).expect("own folder");
    let output = service.run(&["campaign", "run", file.to_str().expect("text")]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("the proxy gave up"), "{output:?}");
    assert!(stderr(&output).contains("`callspan campaign list`"), "{output:?}");
    let lines: Vec<String> = service.finish().await.into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /api/v1/campaigns", "POST /api/v1/campaigns"]);
}

#[actix_web::test]
async fn an_upload_that_came_too_soon_is_sent_again() {
    let nothing = || (200, json!({ "campaigns": [], "next_cursor": null }));
    let later = || (429, json!({ "message": "Rate limit exceeded" }));
    let checked = || (200, json!({ "accepted": 2, "invalid": 0, "duplicates": 0 }));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("many.csv");
    // More than is read at once.
    let many = format!("{TWO}{}", "+12125550103\n".repeat(20_000));
    std::fs::write(&file, &many).expect("own folder");
    let args = ["campaign", "run", file.to_str().expect("text"), "--dry-run"];
    let service = Scripted::start(vec![nothing(), later(), later(), checked()]);
    let output = service.run(&args).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = service.finish().await;
    assert_eq!(asked.len(), 4);
    assert!(asked[1..].iter().all(|asked| asked.text == many), "all of it, each time");

    let env =
        |service: &Scripted| [("CALLSPAN_URL", service.url()), ("CALLSPAN_API_KEY", "x".into())];
    let args = ["campaign", "run", "-", "--dry-run"];
    let world = World::new();
    for (csv, code) in [(TWO, 0), (many.as_str(), 3)] {
        let service = Scripted::start(vec![nothing(), later(), checked()]);
        let env = env(&service);
        let env = env.each_ref().map(|(name, value): &(&str, String)| (*name, value.as_str()));
        let output = world.run_with_input(&args, &env, csv).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        service.finish().await;
    }
}

#[actix_web::test]
async fn every_way_to_fail_has_its_exit_code() {
    let world = busy();
    let program = world.start().await;
    let fails = async |args: &[&str], code: i32, words: &str| {
        let output = campaign(&world, args, code).await;
        assert!(stderr(&output).contains(words), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    let unknown = "0198c2a4-7d1e-7cc3-98c4-dc0c0c07398f";
    for verb in ["show", "pause", "resume", "cancel", "results"] {
        fails(&[verb, unknown], 3, "There is no such campaign").await;
    }
    fails(&["show", unknown, "--follow"], 3, "There is no such campaign").await;
    fails(&["results", unknown, "--csv=all.csv"], 3, "There is no such campaign").await;
    assert!(!world.folder().join("all.csv").exists());
    fails(&["show", "42"], 2, "campaign id").await;
    fails(&["run", "nowhere.csv"], 2, "nowhere.csv: ").await;
    fails(&["run", "."], 2, ".: ").await;
    fails(&["list", "--state=resting"], 2, "resting").await;

    let refused = async |csv: &str, args: &[&str], words: &str| {
        let args = [&["campaign", "run", "-"], args].concat();
        let output = world.run_with_input(&args, &[], csv).await;
        assert_eq!(output.status.code(), Some(3), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(words), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    refused("", &[], "The file is empty").await;
    refused("phone_number\n0\n1\n", &[], "\nline 3: ").await;
    refused(TWO, &["--max-concurrent=0"], "max_concurrent_calls must be").await;
    refused(TWO, &["--agent=agent_0"], "agent_0").await;
    let hours = ["--hours=mon/09:00-08:00", "--timezone=Mars/Olympus"];
    refused(TWO, &hours, "hours.timezone must be").await;
    assert!(world.twilio.calls().is_empty());

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("two.csv");
    std::fs::write(&file, TWO).expect("own folder");
    let file = file.to_str().expect("text");
    let key = [("CALLSPAN_ADMIN_KEY", "the-wrong-key")];
    let output = world.run(&["campaign", "run", file], &key).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(!stderr(&output).contains("the-wrong-key"), "{output:?}");
    assert_eq!(run(&["campaign", "list"], &[]).await.status.code(), Some(2), "no key");
    let url = world.public_url();
    stop(program, world).await;
    let env = [("CALLSPAN_API_KEY", ADMIN_KEY), ("CALLSPAN_URL", url.as_str())];
    for args in [&["list"][..], &["run", file], &["show", unknown, "--json"]] {
        let output = run(&[&["campaign"], args].concat(), &env).await;
        assert_eq!(output.status.code(), Some(4), "{args:?}: {output:?}");
    }
}
