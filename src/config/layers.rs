//! Where values come from: flags, then the environment, then the configuration file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::errors::{Problem, Source};
use super::settings::{SETTINGS, Setting};

/// The configuration file that is read when none is named.
pub const DEFAULT_FILE: &str = "callspan.toml";

/// A value, and where it came from.
#[derive(Clone)]
pub struct Found {
    /// As it was written.
    pub value: String,
    /// Where.
    pub source: Source,
}

/// All layers, read once. Mistakes made on the way are kept, to be reported with the others.
#[derive(Default)]
pub struct Layers {
    values: HashMap<&'static str, Found>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// Reads flags, environment and files. `matches` are those of a command made by
    /// [`with_settings`](super::with_settings); `env` is the process environment, or a test's.
    pub fn gather(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> Layers {
        let mut layers = Layers::default();
        layers.take_flags(matches);
        layers.take_environment(env);
        layers.take_file();
        layers
    }

    /// The value that counts.
    pub fn find(&self, name: &str) -> Option<Found> {
        self.values.get(name).cloned()
    }

    /// The value that counts, if whoever runs the command has given it, by the environment or by a
    /// file that a variable names. What the configuration file says is meant for the service.
    pub fn find_given(&self, name: &str) -> Option<Found> {
        self.find(name).filter(|found| !matches!(found.source, Source::File(_)))
    }

    /// Keeps a value unless it is empty or an earlier layer has spoken.
    fn offer(&mut self, setting: &Setting, value: &str, source: Source) {
        if !value.trim().is_empty() {
            let found = Found { value: value.trim().to_owned(), source };
            self.values.entry(setting.name).or_insert(found);
        }
    }

    fn report(&mut self, name: impl Into<String>, source: Source, message: impl Into<String>) {
        let problem = Problem { name: name.into(), source: Some(source), message: message.into() };
        self.problems.push(problem);
    }

    fn take_flags(&mut self, matches: &ArgMatches) {
        for setting in SETTINGS {
            let Some(flag) = setting.flag else { continue };
            let Ok(Some(value)) = matches.try_get_one::<String>(setting.name) else { continue };
            if matches.value_source(setting.name) == Some(ValueSource::CommandLine) {
                self.offer(setting, value, Source::Flag(flag));
            }
        }
    }

    fn take_environment(&mut self, env: impl Fn(&str) -> Option<OsString>) {
        let text = |layers: &mut Layers, name: &str| match env(name)?.into_string() {
            Ok(value) => Some(value).filter(|value| !value.trim().is_empty()),
            Err(_) => {
                layers.report(name, Source::Environment, "is not valid UTF-8");
                None
            }
        };
        for setting in SETTINGS {
            let value = text(self, setting.name);
            let by_file = format!("{}_FILE", setting.name);
            let path = if setting.may_be_in_a_file() { text(self, &by_file) } else { None };
            match (value, path) {
                (Some(_), Some(_)) => {
                    let message = format!("{by_file} is set too: set only one of them");
                    self.report(setting.name, Source::Environment, message);
                }
                (Some(value), None) => self.offer(setting, &value, Source::Environment),
                (None, Some(path)) => {
                    let path = PathBuf::from(path);
                    match std::fs::read_to_string(&path) {
                        Ok(value) if value.trim().is_empty() => {
                            let message = format!("the file {} is empty", path.display());
                            self.report(by_file, Source::Environment, message);
                        }
                        Ok(value) => {
                            let source = Source::NamedFile { variable: by_file, path };
                            self.offer(setting, &value, source);
                        }
                        Err(error) => {
                            let message = format!("cannot read {}: {error}", path.display());
                            self.report(by_file, Source::Environment, message);
                        }
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn take_file(&mut self) {
        let named = self.find("CALLSPAN_CONFIG");
        let path = named.as_ref().map_or(Path::new(DEFAULT_FILE), |found| Path::new(&found.value));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let source = named.map(|found| found.source);
                self.problems.push(Problem { name: "CALLSPAN_CONFIG".into(), source, message });
                return;
            }
        };
        let path = path.to_owned();
        self.take_toml(&text, &path);
    }

    fn take_toml(&mut self, text: &str, path: &Path) {
        let source = Source::File(path.to_owned());
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                // The error as a whole quotes the line, which may hold a secret.
                let error: toml::de::Error = error;
                let at = error.span().map_or(0, |span| span.start.min(text.len()));
                let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.report("CALLSPAN_CONFIG", source, format!("line {line} is not TOML"));
                return;
            }
        };
        for (key, value) in &table {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.file_key == Some(key))
            else {
                self.report(key, source.clone(), unknown_key(key));
                continue;
            };
            match value {
                toml::Value::String(value) => self.offer(setting, value, source.clone()),
                toml::Value::Integer(value) => {
                    self.offer(setting, &value.to_string(), source.clone());
                }
                toml::Value::Float(value) => {
                    self.offer(setting, &value.to_string(), source.clone());
                }
                toml::Value::Boolean(value) => {
                    self.offer(setting, &value.to_string(), source.clone());
                }
                _ => self.report(setting.name, source.clone(), "must be a text or a number"),
            }
        }
    }
}

fn unknown_key(key: &str) -> String {
    /// Below this similarity a guess confuses more than it helps.
    const CLOSE: f64 = 0.8;
    let keys = SETTINGS.iter().filter_map(|setting| setting.file_key);
    // Whoever writes the variable's own name means the key.
    let meant = key.to_lowercase().trim_start_matches("callspan_").replace('-', "_");
    let closest = keys
        .map(|known| (strsim::jaro_winkler(known, &meant), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(similarity, _)| *similarity >= CLOSE);
    match closest {
        Some((_, known)) => format!("there is no such setting; did you mean {known}?"),
        None => "there is no such setting".to_owned(),
    }
}
