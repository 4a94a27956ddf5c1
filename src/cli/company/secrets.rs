//! Where the secrets of a company come from: the environment, or standard input.
//!
//! The environment beside a service is often the service's own, whose secrets are company 1's. A
//! new company gets them and that is said; of a known one they change nothing unless a flag says
//! so.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use clap::ArgMatches;
use secrecy::SecretString;

use crate::config::Layers;

use super::super::admin::AdminError;
use super::super::output::say;

const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
const API_KEY: &str = "ULTRAVOX_API_KEY";

/// Longer than any secret that is accepted.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Flags that make a company's Twilio configuration, which is nothing without a token.
const TWILIO_FLAGS: [&str; 5] =
    ["account-sid", "phone-number", "max-cps", "fallback-number", "allowed-prefix"];

/// Secrets of a company, as far as they were given.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) auth_token: Option<SecretString>,
    pub(super) api_key: Option<SecretString>,
    /// The variables that were read.
    from: Vec<&'static str>,
}

impl Secrets {
    /// Of a company that is to be made: what the environment holds counts.
    pub(super) fn of_new(matches: &ArgMatches, layers: &Layers) -> Result<Self, AdminError> {
        let mut secrets = Secrets::from_input(matches)?;
        let has_twilio = TWILIO_FLAGS.iter().any(|flag| matches.contains_id(flag));
        if has_twilio && secrets.auth_token.is_none() {
            secrets.auth_token = secrets.take(layers, AUTH_TOKEN);
        }
        if secrets.api_key.is_none() {
            secrets.api_key = secrets.take(layers, API_KEY);
        }
        Ok(secrets)
    }

    /// Of a company that is there: what the environment holds counts where a flag says so.
    pub(super) fn of_known(matches: &ArgMatches, layers: &Layers) -> Result<Self, AdminError> {
        let mut secrets = Secrets::from_input(matches)?;
        let unset = |flag: &str, name: &str| {
            AdminError::Usage(format!("--{flag}: {name} is not set in the environment"))
        };
        if matches.get_flag("auth-token-env") {
            let token = secrets.take(layers, AUTH_TOKEN);
            secrets.auth_token = Some(token.ok_or_else(|| unset("auth-token-env", AUTH_TOKEN))?);
        }
        if matches.get_flag("apikey-env") {
            let key = secrets.take(layers, API_KEY);
            secrets.api_key = Some(key.ok_or_else(|| unset("apikey-env", API_KEY))?);
        }
        Ok(secrets)
    }

    /// Which variables were read, for whoever did not expect it.
    pub(super) fn told(&self) -> String {
        match self.from.is_empty() {
            true => String::new(),
            false => format!(", with what the environment holds in {}", self.from.join(" and ")),
        }
    }

    fn from_input(matches: &ArgMatches) -> Result<Self, AdminError> {
        let wanted = |flag| matches.get_flag(flag);
        let (token, key) = (wanted("auth-token-stdin"), wanted("apikey-stdin"));
        if (token || key) && io::stdin().is_terminal() {
            say("Secrets, one a line (they are seen as you type):");
        }
        let mut input = io::stdin().lock();
        let mut line = |wanted: bool, what: &str| match wanted {
            true => read_line(&mut input, what).map(Some),
            false => Ok(None),
        };
        Ok(Secrets {
            auth_token: line(token, "Twilio auth token")?,
            api_key: line(key, "Ultravox API key")?,
            from: Vec::new(),
        })
    }

    fn take(&mut self, layers: &Layers, name: &'static str) -> Option<SecretString> {
        let found = layers.find_given(name)?;
        self.from.push(name);
        Some(found.value.into())
    }
}

/// What to say to whoever changes nothing.
pub(super) fn nothing_to_change(layers: &Layers) -> String {
    let is_given = |name: &str| layers.find_given(name).is_some();
    let hint = [(AUTH_TOKEN, "--auth-token-env"), (API_KEY, "--apikey-env")]
        .into_iter()
        .filter(|(name, _)| is_given(name))
        .map(|(name, flag)| format!("; {flag} stores what {name} holds"));
    format!("nothing to change was given{}", hint.collect::<String>())
}

/// The error never repeats what was read.
fn read_line(input: &mut impl BufRead, what: &str) -> Result<SecretString, AdminError> {
    let mut line = String::new();
    let read = input.take(MAX_LINE_BYTES).read_line(&mut line);
    let wrong = |why: String| AdminError::Usage(format!("standard input {why}"));
    read.map_err(|error| wrong(format!("cannot be read for the {what}: {error}")))?;
    match line.trim() {
        "" => Err(wrong(format!("does not hold the {what}"))),
        secret => Ok(secret.into()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn each_secret_has_its_line() {
        let mut input = "token\r\n key \n".as_bytes();
        let mut line = |what| {
            let secret = read_line(&mut input, what);
            secret.map(|secret| secret.expose_secret().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!(line("token"), Ok("token".to_owned()));
        assert_eq!(line("key"), Ok("key".to_owned()));
        assert_eq!(line("key"), Err("standard input does not hold the key".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_not_repeated() {
        let error = read_line(&mut b"hush\xff\n".as_slice(), "key").expect_err("no text");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
