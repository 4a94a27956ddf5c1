use super::*;

fn parse(toml: &str) -> Result<Scenario, ScenarioError> {
    rules::parse("mine", toml)
}

fn problems(toml: &str) -> Vec<String> {
    match parse(toml).expect_err("it is wrong") {
        ScenarioError::Wrong { problems, .. } => problems,
        other => vec![other.to_string()],
    }
}

#[test]
fn every_scenario_of_the_program_is_sound_and_says_what_it_is_about() {
    for scenario in BUILT_IN {
        let found = find(scenario.name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.name, scenario.name);
        assert!(found.about.len() > 20, "{}", scenario.name);
    }
    let names: Vec<_> = BUILT_IN.iter().map(|scenario| scenario.name).collect();
    for name in ["steady", "ramp", "spike", "churn", "long", "talk-over", "slow-agent"] {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn what_is_left_out_is_as_in_steady() {
    let mine = parse("about = \"mine\"").expect("valid");
    let steady = find("steady").expect("valid");
    assert_eq!(mine, Scenario { name: "mine".into(), about: "mine".into(), ..steady });
}

#[test]
fn every_mistake_is_told_at_once_with_what_is_allowed() {
    let found = problems(
        r#"
        abuot = "misspelt"
        [load]
        shape = "square"
        calls = 0
        seconds = 1.5
        ramp_seconds = -1
        profile = [[0, 50], [100, 101]]
        [phone]
        speech = "pauses"
        speaks_ms = 5
        burst_frames = "many"
        [agent]
        speed = 3
        [expect]
        lost_to_agent = "maybe"
        "#,
    );
    assert_eq!(
        found,
        [
            "about must be some text",
            "abuot is not known here; allowed are about, load, phone, agent, expect",
            "load.calls must be a whole number from 1 to 5000",
            "load.seconds must be a whole number from 1 to 3600",
            "load.ramp_seconds must be a number from 0 to 3600",
            "load.shape must be one of hold, churn, campaign, rest",
            "load.profile must be at most 50 pairs [percent of the seconds, percent of the \
             calls]: from 0 to 100 seconds, each later than the one before, and 100 calls in one \
             of them",
            "phone.speaks_ms must be a whole number from 20 to 60000",
            "phone.burst_frames must be a whole number from 0 to 50",
            "agent.speed is not known here; allowed are speech, rest_after_reading_ms",
            "expect.lost_to_agent must be one of fail, count",
        ]
    );
}

#[test]
fn numbers_have_bounds_in_every_shape() {
    let load = |load: &str| problems(&format!("about = \"mine\"\n[load]\n{load}"));
    assert_eq!(load("shape = \"rest\"\nrates = [10, 201]").len(), 1);
    assert_eq!(load("shape = \"rest\"\nrates = []").len(), 1);
    assert_eq!(load("shape = \"campaign\"\ncalls = 1001\nrecipients = 0").len(), 2);
    assert_eq!(
        load("shape = \"churn\"\ncalls = 500\ncall_seconds = 2"),
        ["load.calls must be at most 400 when calls last 2 s: 200 calls a second are the most \
             that are placed"]
    );
    assert_eq!(load("shape = \"churn\"\nprofile = [[0, 100], [100, 100]]").len(), 1);
}

#[test]
fn interrupting_needs_somebody_who_talks() {
    assert_eq!(problems("about = \"mine\"\n[phone]\nspeech = \"interrupts\"").len(), 1);
    assert_eq!(problems("about = \"mine\"\n[agent]\nspeech = \"talks\"").len(), 1);
}

#[test]
fn what_is_not_toml_is_said_so_with_its_place() {
    let problem = parse("calls = ").expect_err("no TOML").to_string();
    assert!(
        problem.starts_with("scenario mine is not TOML: TOML parse error at line 1"),
        "{problem}"
    );
}

#[test]
fn the_command_line_changes_the_numbers() {
    let steady = || find("steady").expect("valid");
    let plain = steady().with(Overrides::default());
    assert_eq!((plain.calls, plain.seconds, plain.ramp), (100, 30, Duration::from_secs(2)));
    let more = steady().with(Overrides { calls: Some(500), ..Overrides::default() });
    assert_eq!((more.calls, more.ramp), (500, Duration::from_secs(10)));
    let changes = Overrides { calls: Some(10), seconds: Some(5), ramp: Some(1) };
    let few = steady().with(changes);
    assert_eq!((few.calls, few.seconds, few.ramp), (10, 5, Duration::from_secs(1)));
}

#[test]
fn a_campaign_calls_as_many_as_fit_in_its_time() {
    let campaign = find("campaign").expect("valid");
    assert_eq!(campaign.recipients(), 500);
    let changes = Overrides { calls: Some(10), seconds: Some(6), ramp: None };
    assert_eq!(campaign.with(changes).recipients(), 20);
    assert_eq!(find("steady").expect("valid").recipients(), 0);
}

#[test]
fn a_phone_is_silent_before_it_hangs_up() {
    let churn = find("churn").expect("valid");
    assert_eq!(churn.speech_length(), Some(Duration::from_millis(2_500)));
    let short = Scenario { shape: Shape::Churn { call_length: FRAME * 20 }, ..churn };
    assert_eq!(short.speech_length(), Some(FRAME * 10));
}

#[test]
fn scenarios_are_found_by_name_and_by_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "about = \"mine\"\n[load]\ncalls = 7").expect("it is written");
    let path = path.to_str().expect("UTF-8");
    let mine = find(path).expect("valid");
    assert_eq!((mine.name.as_str(), mine.calls), (path, 7));
    assert!(matches!(find("stedy"), Err(ScenarioError::Unknown { .. })));
    assert!(matches!(find("/no/such.toml"), Err(ScenarioError::Unreadable { .. })));
    let unknown = find("stedy").expect_err("unknown").to_string();
    assert!(unknown.contains("steady, ramp, spike"), "{unknown}");
}
