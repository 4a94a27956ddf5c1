use std::collections::HashMap;
use std::path::Path;

use clap::Command;
use secrecy::ExposeSecret;

use super::*;

const MASTER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn parse(values: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let values: HashMap<&str, &str> = values.iter().copied().collect();
    Config::parse(|name| {
        let value = (*values.get(name)?).to_owned();
        Some(Found { value, source: Source::Environment })
    })
}

fn problems(values: &[(&str, &str)]) -> HashMap<String, String> {
    let ConfigErrors(problems) = parse(values).expect_err("mistakes");
    let count = problems.len();
    let by_name: HashMap<_, _> =
        problems.into_iter().map(|problem| (problem.name, problem.message)).collect();
    assert_eq!(by_name.len(), count, "one problem for each variable");
    by_name
}

/// Loads as `serve` does, with these arguments and this environment.
fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let command = with_settings(Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(args).expect("good arguments");
    let env: HashMap<String, OsString> =
        env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    Config::load(&matches, |name| env.get(name).cloned())
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("callspan.toml");
    std::fs::write(&path, text).expect("own folder");
    path.display().to_string()
}

#[test]
fn nothing_needs_to_be_set() {
    let config = parse(&[]).expect("defaults");
    assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
    assert_eq!(config.public_url.to_string(), "http://localhost:8000");
    assert_eq!(config.ring_timeout, Duration::from_secs(60));
    assert_eq!(config.max_active_calls, 1000);
    assert_eq!(config.recordings, Recordings::Off);
    assert_eq!(config.apology, "We are sorry, this call cannot be continued. Goodbye.");
    assert!(config.twilio.is_none() && config.company_settings().is_none());
    assert!(config.trusted_proxies.is_empty(), "no header is believed unless somebody says so");
    assert!(config.unused().is_empty());
}

#[test]
fn every_mistake_is_reported_at_once_by_name() {
    let values = [
        ("CALLSPAN_BIND", "localhost"),
        ("CALLSPAN_PUBLIC_URL", "https://user:hush@example.com"),
        ("DATABASE_URL", "mysql://calls:hush@localhost/calls"),
        ("CALLSPAN_MASTER_KEY", "hush"),
        ("CALLSPAN_ADMIN_KEY", "hush"),
        ("CALLSPAN_METRICS_TOKEN", "hush hush"),
        ("TWILIO_ACCOUNT_SID", "hush"),
        ("TWILIO_AUTH_TOKEN", "hush\u{e9}"),
        ("TWILIO_PHONE_NUMBER", "2125550123"),
        ("CALLSPAN_TWILIO_API_URL", "api.twilio.com"),
        ("CALLSPAN_ULTRAVOX_API_URL", "wss://api.ultravox.ai"),
        ("CALLSPAN_RATE_LIMIT_PER_MINUTE", "-1"),
        ("CALLSPAN_RATE_LIMIT_PER_HOUR", "many"),
        ("CALLSPAN_RATE_LIMIT_BURST", "1.5"),
        ("CALLSPAN_MAX_CPS", "0"),
        ("CALLSPAN_MAX_ACTIVE_CALLS", "100001"),
        ("CALLSPAN_RING_TIMEOUT_SECONDS", "4"),
        ("CALLSPAN_MAX_CALL_SECONDS", "59"),
        ("CALLSPAN_DRAIN_SECONDS", "86401"),
        ("CALLSPAN_RECORDINGS", "ftp://recordings"),
        ("CALLSPAN_WORKERS", "0"),
        ("CALLSPAN_TRUSTED_PROXIES", "10.0.0.1, the proxy"),
        ("CALLSPAN_TLS_CERT", "cert.pem"),
        ("CALLSPAN_LOG", "callspan=loud"),
        ("CALLSPAN_LOG_FORMAT", "xml"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
    ];
    let problems = problems(&values);
    for (name, _) in values {
        let expected = if name == "CALLSPAN_TLS_CERT" { "CALLSPAN_TLS_KEY" } else { name };
        assert!(problems.contains_key(expected), "{expected} is not reported");
    }
    assert_eq!(problems.len(), values.len());
    assert!(problems["CALLSPAN_RING_TIMEOUT_SECONDS"].contains("5 to 600"), "{problems:?}");

    let shown = parse(&values).expect_err("mistakes").to_string();
    assert!(!shown.contains("hush") && !shown.contains("5550123"), "{shown}");
    assert!(shown.starts_with("the configuration has 26 mistakes:"), "{shown}");
    assert!(shown.contains("CALLSPAN_BIND (environment): \"localhost\" is not an address"));
}

#[test]
fn twilio_is_configured_whole_or_not_at_all() {
    let token = [("TWILIO_AUTH_TOKEN", "hush")];
    let problems = problems(&token);
    let mut names: Vec<_> = problems.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["TWILIO_ACCOUNT_SID", "TWILIO_PHONE_NUMBER"]);

    let sid = "AC00000000000000000000000000000001";
    let whole = [
        ("TWILIO_AUTH_TOKEN", "hush"),
        ("TWILIO_ACCOUNT_SID", sid),
        ("TWILIO_PHONE_NUMBER", "+12125550123"),
    ];
    let config = parse(&whole).expect("whole");
    let settings = config.company_settings().expect("Twilio");
    assert!(settings.ultravox.is_none());
    let account_sid = settings.twilio.and_then(|twilio| twilio.account_sid);
    assert_eq!(account_sid.expect("an account").as_str(), sid);
}

#[test]
fn postgresql_needs_a_master_key() {
    let url = ("DATABASE_URL", "postgres://calls:hush@localhost/calls");
    assert!(problems(&[url])["CALLSPAN_MASTER_KEY"].contains("required"));
    assert!(parse(&[url, ("CALLSPAN_MASTER_KEY", MASTER_KEY)]).is_ok());
}

#[test]
fn an_empty_value_counts_as_none() {
    assert!(parse(&[("TWILIO_AUTH_TOKEN", ""), ("CALLSPAN_BIND", " ")]).is_ok());
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "bind = '127.0.0.1:7001'");
    let config = load(&["--config", &path, "--bind", ""], &[("CALLSPAN_BIND", "")]);
    assert_eq!(config.expect("good").bind.port(), 7001);
}

#[test]
fn secrets_never_show() {
    let config = parse(&[
        ("DATABASE_URL", "postgres://calls:hush@localhost/calls"),
        ("CALLSPAN_MASTER_KEY", MASTER_KEY),
        ("CALLSPAN_ADMIN_KEY", "hush-hush-hush-hush"),
        ("CALLSPAN_METRICS_TOKEN", "hush"),
        ("ULTRAVOX_API_KEY", "hush"),
        ("TWILIO_AUTH_TOKEN", "hush"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_PHONE_NUMBER", "+12125550123"),
    ])
    .expect("good");
    let shown = format!("{config:?} {:?} {}", config.company_settings(), config.database_url);
    assert!(!shown.contains("hush") && !shown.contains(MASTER_KEY), "{shown}");
    assert!(shown.contains("admin_key: Some(***)"), "{shown}");
    assert!(!shown.contains("5550123"), "{shown}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "bind = '127.0.0.1:7001'\nring_timeout_seconds = 30\nmax_cps = 0.5\napology = 'Sorry.'",
    );
    let env = [("CALLSPAN_BIND", "127.0.0.1:7002"), ("CALLSPAN_APOLOGY", "So sorry."), ("X", "Y")];
    let config = load(&["--config", &path, "--bind", "127.0.0.1:7003"], &env).expect("good");
    assert_eq!(config.bind.port(), 7003);
    assert_eq!(config.apology, "So sorry.");
    assert_eq!(config.ring_timeout, Duration::from_secs(30));
    assert_eq!(config.max_cps, 0.5);
    assert!(config.unused().is_empty());

    let config = load(&[], &[("CALLSPAN_CONFIG", &path)]).expect("good");
    assert_eq!(config.bind.port(), 7001);
}

#[test]
fn mistakes_of_all_layers_come_together_and_say_where_they_were_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "twilio_auth_tokn = 'hush'\nworkers = ['hush']\nring_timeout_seconds = 1\nzebra = true",
    );
    let env = [("CALLSPAN_LOG_FORMAT", "xml"), ("CALLSPAN_ADMIN_KEY_FILE", "/nowhere/at/all")];
    let errors = load(&["--config", &path, "--bind", "x"], &env).expect_err("mistakes");
    let shown = errors.to_string();
    for expected in [
        "twilio_auth_tokn (file ",
        "did you mean twilio_auth_token?",
        "CALLSPAN_WORKERS (file ",
        "CALLSPAN_RING_TIMEOUT_SECONDS (file ",
        "zebra (file ",
        "CALLSPAN_LOG_FORMAT (environment): \"xml\" must be pretty or json",
        "CALLSPAN_ADMIN_KEY_FILE (environment): cannot read /nowhere/at/all",
        "CALLSPAN_BIND (flag --bind): \"x\"",
    ] {
        assert!(shown.contains(expected), "{expected} is not in: {shown}");
    }
    assert_eq!(errors.0.len(), 7, "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_broken_file_is_reported_by_line_without_its_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "bind = '127.0.0.1:7001'\nadmin_key = hush hush\n");
    let shown = load(&["--config", &path], &[]).expect_err("broken").to_string();
    assert!(shown.contains("line 2 is not TOML") && !shown.contains("hush"), "{shown}");

    let shown = load(&["--config", "/nowhere.toml"], &[]).expect_err("missing").to_string();
    assert!(shown.contains("CALLSPAN_CONFIG (flag --config): cannot read"), "{shown}");
}

#[test]
fn a_secret_may_lie_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ultravox");
    std::fs::write(&path, "hush\n").expect("own folder");
    let path = path.display().to_string();
    let config = load(&[], &[("ULTRAVOX_API_KEY_FILE", &path)]).expect("good");
    assert_eq!(config.ultravox_api_key.expect("read").expose_secret(), "hush");

    let both = [("ULTRAVOX_API_KEY_FILE", path.as_str()), ("ULTRAVOX_API_KEY", "other")];
    let shown = load(&[], &both).expect_err("two").to_string();
    assert!(shown.contains("set only one of them"), "{shown}");
}
