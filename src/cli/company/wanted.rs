//! The body that the REST API would get for the same wish.
//!
//! Values have rules, and the API knows them: here is checked only what no body can be made
//! without.

use std::path::PathBuf;

use clap::ArgMatches;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::super::admin::AdminError;
use super::secrets::Secrets;

/// Where a field is: in this object, or in the body itself, and under this name.
type Place = (Option<&'static str>, &'static str);

const NAME: Place = (None, "name");
const INBOUND_AGENT: Place = (None, "inbound_agent_id");
const NUMBERS: Place = (None, "numbers");
const AUTH_TOKEN: Place = (Some("twilio"), "auth_token");
const MAX_CPS: Place = (Some("twilio"), "max_cps");
const FALLBACK_NUMBER: Place = (Some("twilio"), "fallback_number");
const ALLOWED_PREFIXES: Place = (Some("twilio"), "allowed_prefixes");
const API_KEY: Place = (Some("ultravox"), "apikey");
const API_URL: Place = (Some("ultravox"), "apiurl");
const SYSTEM_PROMPT: Place = (Some("ultravox"), "system_prompt");
const FIRST_SPEAKER: Place = (Some("ultravox"), "firstspeaker");

/// Flags whose text is the value.
const TEXTS: [(&str, Place); 9] = [
    ("name", NAME),
    ("inbound-agent", INBOUND_AGENT),
    ("account-sid", (Some("twilio"), "account_sid")),
    ("phone-number", (Some("twilio"), "phone_number")),
    ("fallback-number", FALLBACK_NUMBER),
    ("apiurl", API_URL),
    ("system-prompt", SYSTEM_PROMPT),
    ("model", (Some("ultravox"), "model")),
    ("voice", (Some("ultravox"), "voice")),
];

/// What `--clear` takes: its name, its place, and the flag that sets it.
pub(super) const CLEARABLE: [(&str, Place, &str); 6] = [
    ("max-cps", MAX_CPS, "max-cps"),
    ("fallback-number", FALLBACK_NUMBER, "fallback-number"),
    ("allowed-prefixes", ALLOWED_PREFIXES, "allowed-prefix"),
    ("apiurl", API_URL, "apiurl"),
    ("inbound-agent", INBOUND_AGENT, "inbound-agent"),
    ("numbers", NUMBERS, "number"),
];

/// The body; empty when nothing was given.
pub(super) fn body(
    matches: &ArgMatches,
    secrets: &Secrets,
) -> Result<Map<String, Value>, AdminError> {
    let mut body = Map::new();
    let text = |name: &str| matches.get_one::<String>(name);
    let several = |name: &str| -> Option<Vec<&String>> {
        matches.get_many::<String>(name).map(Iterator::collect)
    };
    for (name, place) in TEXTS {
        put(&mut body, place, text(name).map(|text| json!(text)));
    }
    put(&mut body, MAX_CPS, text("max-cps").map(|text| number(text)));
    put(&mut body, ALLOWED_PREFIXES, several("allowed-prefix").map(|prefixes| json!(prefixes)));
    put(
        &mut body,
        NUMBERS,
        several("number").map(|numbers| numbers.into_iter().map(route).collect()),
    );
    put(&mut body, FIRST_SPEAKER, text("first-speaker").map(|who| speaker(who)));
    let prompt = matches.get_one::<PathBuf>("system-prompt-file").map(read_prompt).transpose()?;
    put(&mut body, SYSTEM_PROMPT, prompt.map(Value::String));
    let secret =
        |secret: &Option<SecretString>| secret.as_ref().map(|secret| json!(secret.expose_secret()));
    put(&mut body, AUTH_TOKEN, secret(&secrets.auth_token));
    put(&mut body, API_KEY, secret(&secrets.api_key));
    // `add` knows no such flag.
    let cleared = matches.try_get_many::<String>("clear").ok().flatten().into_iter().flatten();
    for cleared in cleared {
        let (name, place, flag) = CLEARABLE
            .into_iter()
            .find(|(name, ..)| name == cleared)
            .expect("clap lets no other through");
        if matches.contains_id(flag) {
            let message = format!("--{flag} and --clear {name} contradict each other");
            return Err(AdminError::Usage(message));
        }
        // A list that is empty says what null says of the others.
        let empty = if place == NUMBERS { json!([]) } else { Value::Null };
        put(&mut body, place, Some(empty));
    }
    Ok(body)
}

fn put(body: &mut Map<String, Value>, (object, field): Place, value: Option<Value>) {
    let Some(value) = value else { return };
    let Some(object) = object else {
        body.insert(field.to_owned(), value);
        return;
    };
    let inner = body.entry(object).or_insert_with(|| json!({}));
    inner[field] = value;
}

/// What is no number stays a text, for which the API has words.
fn number(text: &str) -> Value {
    text.parse().map_or_else(|_| json!(text), |number: f64| json!(number))
}

fn route(text: &String) -> Value {
    match text.split_once('=') {
        Some((number, agent)) => json!({ "number": number, "agent_id": agent }),
        None => json!({ "number": text }),
    }
}

fn speaker(who: &str) -> Value {
    json!(match who {
        "agent" => "FIRST_SPEAKER_AGENT",
        _ => "FIRST_SPEAKER_USER",
    })
}

/// The line break at the end of a file is no part of the prompt.
fn read_prompt(path: &PathBuf) -> Result<String, AdminError> {
    let wrong =
        |error| AdminError::Usage(format!("--system-prompt-file: {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(line: &[&str]) -> Result<Value, String> {
        let matches = super::super::command()
            .try_get_matches_from(["company"].iter().chain(line))
            .map_err(|error| error.to_string())?;
        let (_, matches) = matches.subcommand().expect("a command");
        let body = body(matches, &Secrets::default()).map_err(|error| error.to_string())?;
        Ok(Value::Object(body))
    }

    #[test]
    fn a_command_line_becomes_the_body_of_a_request() {
        let sid = format!("AC{}", "0".repeat(32));
        let line = [
            "add",
            "--name",
            "Acme",
            "--account-sid",
            &sid,
            "--phone-number",
            "+12125550100",
            "--max-cps",
            "2.5",
            "--fallback-number",
            "+12125550101",
            "--allowed-prefix",
            "+1",
            "+44",
            "--allowed-prefix",
            "+49",
            "--apiurl",
            "https://a.b",
            "--system-prompt",
            "Be kind.",
            "--model",
            "m",
            "--voice",
            "v",
            "--first-speaker",
            "agent",
            "--inbound-agent",
            "a1",
            "--number",
            "+12125550102",
            "+12125550103=a2",
        ];
        let expected = json!({
            "name": "Acme",
            "inbound_agent_id": "a1",
            "numbers": [
                {"number": "+12125550102"},
                {"number": "+12125550103", "agent_id": "a2"}
            ],
            "twilio": {
                "account_sid": sid,
                "phone_number": "+12125550100",
                "max_cps": 2.5,
                "fallback_number": "+12125550101",
                "allowed_prefixes": ["+1", "+44", "+49"]
            },
            "ultravox": {
                "apiurl": "https://a.b",
                "system_prompt": "Be kind.",
                "model": "m",
                "voice": "v",
                "firstspeaker": "FIRST_SPEAKER_AGENT"
            }
        });
        assert_eq!(body_of(&line), Ok(expected));
    }

    #[test]
    fn what_is_cleared_becomes_null_and_no_numbers_are_an_empty_list() {
        let clear = |what: &[&str]| {
            let line = what.iter().flat_map(|what| ["--clear", *what]);
            body_of(&["set", "7"].into_iter().chain(line).collect::<Vec<_>>())
        };
        let expected = json!({
            "inbound_agent_id": null,
            "numbers": [],
            "twilio": {"max_cps": null, "fallback_number": null, "allowed_prefixes": null},
            "ultravox": {"apiurl": null}
        });
        assert_eq!(clear(&CLEARABLE.map(|(name, ..)| name)), Ok(expected));
        assert!(clear(&["name"]).is_err());
        let both = body_of(&["set", "7", "--max-cps", "1", "--clear", "max-cps"]);
        assert_eq!(both, Err("--max-cps and --clear max-cps contradict each other".to_owned()));
        assert_eq!(body_of(&["set", "7"]), Ok(json!({})));
    }

    #[test]
    fn what_is_no_number_is_left_to_the_api() {
        let max_cps = |text: &str| {
            let body = body_of(&["set", "7", "--max-cps", text]).expect("a body");
            body["twilio"]["max_cps"].clone()
        };
        assert_eq!((max_cps("-1"), max_cps("many")), (json!(-1.0), json!("many")));
        assert_eq!(max_cps("NaN"), Value::Null, "JSON has no such number");
    }

    #[test]
    fn a_prompt_may_come_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("prompt.txt");
        std::fs::write(&path, "Be kind.\nBe brief.\n").expect("own folder");
        let read = |path: &str| body_of(&["set", "7", "--system-prompt-file", path]);
        let body = read(path.to_str().expect("text")).expect("a body");
        assert_eq!(body["ultravox"]["system_prompt"], "Be kind.\nBe brief.");
        let error = read("/nowhere/at/all").expect_err("no file");
        assert!(error.starts_with("--system-prompt-file: /nowhere/at/all: "), "{error}");
    }

    #[test]
    fn no_secret_can_be_an_argument() {
        for line in
            [["add", "--name", "x", "--auth-token", "y"], ["add", "--name", "x", "--apikey", "y"]]
        {
            assert!(body_of(&line).is_err(), "{line:?}");
        }
    }
}
