//! The part of the configuration that says where the database is, for commands that work on it
//! beside a running service.
//!
//! It is read from the same places as the service's, so the same environment serves both. Whatever
//! else is set there, well or badly, is not looked at.

use clap::Command;
use secrecy::SecretString;

use super::{ConfigErrors, DatabaseUrl, Layers, Reader, help, settings};

/// What has a flag.
const FLAGS: [&str; 2] = ["CALLSPAN_CONFIG", "DATABASE_URL"];

/// Where the database is. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// Keys that stored secrets are sealed under; known to be well-formed.
    pub master_key: Option<SecretString>,
}

impl DatabaseConfig {
    /// Parses what the layers hold, which are those of a command made by
    /// [`with_database_settings`].
    pub fn load(layers: &Layers) -> Result<DatabaseConfig, ConfigErrors> {
        let mut read = Reader { lookup: |name: &str| layers.find(name), problems: Vec::new() };
        let (url, master_key) = read.database();
        let mut problems = layers.problems.clone();
        problems.extend(read.problems);
        if problems.is_empty() {
            Ok(DatabaseConfig { url, master_key })
        } else {
            Err(ConfigErrors(problems))
        }
    }
}

/// Adds the flags that say where the database is.
pub fn with_database_settings(command: Command) -> Command {
    let settings = FLAGS.iter().filter_map(|name| settings::setting(name));
    command
        .args(settings.filter_map(help::argument).map(|argument| argument.help_heading("Database")))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn load(args: &[&str], env: &[(&str, &str)]) -> Result<DatabaseConfig, ConfigErrors> {
        let args = ["list"].iter().chain(args);
        let matches = with_database_settings(Command::new("list")).get_matches_from(args);
        let value = |name: &str| env.iter().find(|(known, _)| *known == name);
        let layers = Layers::gather(&matches, |name| value(name).map(|(_, text)| text.into()));
        DatabaseConfig::load(&layers)
    }

    #[test]
    fn what_only_the_service_needs_is_not_looked_at() {
        let half = [("TWILIO_AUTH_TOKEN", "hush"), ("CALLSPAN_BIND", "everywhere")];
        let config = load(&["--database-url", "sqlite://calls.db"], &half).expect("good");
        assert_eq!(config.url.expose(), "sqlite://calls.db");
    }

    #[test]
    fn the_database_has_the_rules_of_the_service() {
        let said = |env: &[(&str, &str)]| load(&[], env).expect_err("refused").to_string();
        let postgres = ("DATABASE_URL", "postgres://calls:hush@localhost/calls");
        assert!(said(&[postgres]).contains("CALLSPAN_MASTER_KEY: is required"));
        let bad = said(&[("DATABASE_URL", "mysql://a:hush@b"), ("CALLSPAN_MASTER_KEY", "hush")]);
        assert!(bad.contains("DATABASE_URL") && bad.contains("CALLSPAN_MASTER_KEY"), "{bad}");
        assert!(!bad.contains("hush"), "{bad}");
    }

    #[test]
    fn secrets_of_the_configuration_file_are_the_service_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, secret) = (folder.path().join("a.toml"), folder.path().join("secret"));
        std::fs::write(&file, "twilio_auth_token = \"filed\"").expect("own folder");
        std::fs::write(&secret, "named").expect("own folder");
        let given = |name: &str, value: &std::path::Path| {
            let matches = with_database_settings(Command::new("list")).get_matches_from([
                OsString::from("list"),
                "--config".into(),
                file.clone().into(),
            ]);
            let layers = Layers::gather(&matches, |wanted| (wanted == name).then(|| value.into()));
            layers.find_given("TWILIO_AUTH_TOKEN").map(|found| found.value)
        };
        assert_eq!(given("NOTHING", &secret), None);
        assert_eq!(given("TWILIO_AUTH_TOKEN_FILE", &secret).as_deref(), Some("named"));
        assert_eq!(given("TWILIO_AUTH_TOKEN", "set".as_ref()).as_deref(), Some("set"));
    }
}
