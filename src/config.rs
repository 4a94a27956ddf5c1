//! The service's configuration: from text to types, once, with every mistake reported together.
//!
//! [`settings::SETTINGS`] is the one table of what can be set. [`Layers`] looks values up (flags,
//! environment, file); [`Config::parse`] turns them into types and knows nothing of where they
//! come from but a name for it. Secrets never appear in `Debug` or in an error.

mod database;
mod errors;
mod help;
mod layers;
pub mod settings;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use actors::ids::{AccountSid, PhoneNumber};
use actors::ports::TwilioAccount;
use ipnet::IpNet;
use secrecy::SecretString;

pub use database::{DatabaseConfig, with_database_settings};
pub use errors::{ConfigErrors, Problem, Source};
pub use help::{secrets_help, serve_args, with_settings};
pub use layers::{DEFAULT_FILE, Found, Layers};
use settings::{Fallback, Kind, SETTINGS, Setting};
pub use values::{DatabaseUrl, LogFormat, Recordings};

use crate::public_url::PublicUrl;
use crate::secrets::Sealer;
use crate::store::{CompanySettings, TwilioSettings, UltravoxSettings};

/// Everything that can be set. `Debug` shows secrets as `***`.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub bind: SocketAddr,
    /// How Twilio reaches us.
    pub public_url: PublicUrl,
    /// Proxies that are believed when they say whom a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key, to serve TLS ourselves.
    pub tls: Option<TlsFiles>,
    /// Threads that carry audio and answer requests.
    pub workers: NonZeroUsize,
    /// How long live calls may go on after SIGTERM.
    pub drain: Duration,
    /// Where the database is.
    pub database_url: DatabaseUrl,
    /// Keys that stored secrets are sealed under; known to be well-formed.
    pub master_key: Option<SecretString>,
    /// Admin API key.
    pub admin_key: Option<SecretString>,
    /// Bearer token that `/metrics` asks for.
    pub metrics_token: Option<SecretString>,
    /// Twilio account of company 1.
    pub twilio: Option<TwilioAccount>,
    /// Ultravox key of company 1.
    pub ultravox_api_key: Option<SecretString>,
    /// Where Twilio's REST API is; no trailing slash.
    pub twilio_api_url: String,
    /// Where Ultravox's REST API is; no trailing slash.
    pub ultravox_api_url: String,
    /// How long a phone rings.
    pub ring_timeout: Duration,
    /// How long a call may last.
    pub max_call: Duration,
    /// What is spoken when a call cannot go on.
    pub apology: String,
    /// Where recordings go.
    pub recordings: Recordings,
    /// Calls of this node at once.
    pub max_active_calls: usize,
    /// Calls placed a second, per company.
    pub max_cps: f64,
    /// Limits of requests per API key.
    pub rate_limits: RateLimits,
    /// What is logged, as tracing's `EnvFilter` reads it; known to parse.
    pub log: String,
    /// How it is logged; `None`: pretty on a terminal, else JSON.
    pub log_format: Option<LogFormat>,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    unused: Vec<&'static str>,
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Limits of requests per API key; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests a minute.
    pub per_minute: u64,
    /// Requests an hour.
    pub per_hour: u64,
    /// Requests at once.
    pub burst: u64,
}

impl Config {
    /// Reads flags, environment and files, and parses what they say. `matches` are those of a
    /// command made by [`with_settings`].
    pub fn load(
        matches: &clap::ArgMatches,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, ConfigErrors> {
        let mut layers = Layers::gather(matches, env);
        let mut problems = std::mem::take(&mut layers.problems);
        match Config::parse(|name| layers.find(name)) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(ConfigErrors(problems)),
            Err(ConfigErrors(more)) => {
                problems.extend(more);
                Err(ConfigErrors(problems))
            }
        }
    }

    /// Parses what the lookup finds. An empty value counts as none.
    pub fn parse(lookup: impl Fn(&str) -> Option<Found>) -> Result<Config, ConfigErrors> {
        let mut read = Reader { lookup, problems: Vec::new() };
        let (database_url, master_key) = read.database();
        let config = Config {
            bind: read.value("CALLSPAN_BIND", |_, raw| values::address(raw)),
            public_url: read.value("CALLSPAN_PUBLIC_URL", |_, raw| values::public_url(raw)),
            trusted_proxies: read
                .optional("CALLSPAN_TRUSTED_PROXIES", |_, raw| values::networks(raw))
                .unwrap_or_default(),
            tls: read.tls(),
            workers: read
                .optional("CALLSPAN_WORKERS", |kind, raw| Ok(narrow(number(kind, raw)?)))
                .and_then(NonZeroUsize::new)
                .or_else(|| std::thread::available_parallelism().ok())
                .unwrap_or(NonZeroUsize::MIN),
            drain: read.value("CALLSPAN_DRAIN_SECONDS", seconds),
            database_url,
            master_key,
            admin_key: read.optional("CALLSPAN_ADMIN_KEY", secret),
            metrics_token: read.optional("CALLSPAN_METRICS_TOKEN", secret),
            twilio: read.twilio(),
            ultravox_api_key: read.optional("ULTRAVOX_API_KEY", secret),
            twilio_api_url: read.value("CALLSPAN_TWILIO_API_URL", |_, raw| values::http_url(raw)),
            ultravox_api_url: read
                .value("CALLSPAN_ULTRAVOX_API_URL", |_, raw| values::http_url(raw)),
            ring_timeout: read.value("CALLSPAN_RING_TIMEOUT_SECONDS", seconds),
            max_call: read.value("CALLSPAN_MAX_CALL_SECONDS", seconds),
            apology: read.value("CALLSPAN_APOLOGY", |_, raw| Ok(raw.to_owned())),
            recordings: read.value("CALLSPAN_RECORDINGS", |_, raw| values::recordings(raw)),
            max_active_calls: narrow(read.value("CALLSPAN_MAX_ACTIVE_CALLS", number)),
            max_cps: read.value("CALLSPAN_MAX_CPS", |_, raw| values::rate(raw)),
            rate_limits: RateLimits {
                per_minute: read.value("CALLSPAN_RATE_LIMIT_PER_MINUTE", number),
                per_hour: read.value("CALLSPAN_RATE_LIMIT_PER_HOUR", number),
                burst: read.value("CALLSPAN_RATE_LIMIT_BURST", number),
            },
            log: read.value("CALLSPAN_LOG", |_, raw| values::log_filter(raw)),
            log_format: read.optional("CALLSPAN_LOG_FORMAT", |_, raw| values::log_format(raw)),
            otlp_endpoint: read
                .optional("OTEL_EXPORTER_OTLP_ENDPOINT", |_, raw| values::http_url(raw)),
            unused: read.unused(),
        };
        if read.problems.is_empty() { Ok(config) } else { Err(ConfigErrors(read.problems)) }
    }

    /// The variables that were set although this version does not act on them yet.
    pub fn unused(&self) -> &[&'static str] {
        &self.unused
    }

    /// What to store of company 1 at start; `None` when nothing was given.
    pub fn company_settings(&self) -> Option<CompanySettings> {
        let twilio = self.twilio.clone();
        let api_key = self.ultravox_api_key.clone();
        (twilio.is_some() || api_key.is_some()).then(|| CompanySettings {
            twilio: twilio.map(TwilioSettings::from),
            ultravox: api_key
                .map(|key| UltravoxSettings { api_key: Some(key), ..Default::default() }),
            ..CompanySettings::default()
        })
    }
}

/// Looks values up and keeps count of what is wrong with them.
struct Reader<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<Found>> Reader<L> {
    fn found(&self, name: &str) -> Option<Found> {
        let mut found = (self.lookup)(name)?;
        found.value = found.value.trim().to_owned();
        Some(found).filter(|found| !found.value.is_empty())
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(Kind, &str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = known(name);
        let found = self.found(name)?;
        parse(setting.kind, &found.value)
            .map_err(|why| {
                let message = format!("{} {why}", shown(setting, &found.value));
                let source = Some(found.source);
                self.problems.push(Problem { name: name.to_owned(), source, message });
            })
            .ok()
    }

    /// Where the value is bad the default stands in, so that the others can be looked at too.
    fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(Kind, &str) -> Result<T, String>,
    ) -> T {
        let setting = known(name);
        let Fallback::Value(default) = setting.default else {
            unreachable!("{name} has a default in the table")
        };
        self.optional(name, &parse)
            .unwrap_or_else(|| parse(setting.kind, default).expect("defaults are good"))
    }

    fn missing(&mut self, name: &'static str, message: &str) {
        let problem = Problem { name: name.to_owned(), source: None, message: message.to_owned() };
        self.problems.push(problem);
    }

    /// Reports those of the names that are not set, when others of them are.
    fn all_or_none(&mut self, names: &[&'static str]) {
        let (set, unset): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| self.found(name).is_some());
        if let Some(given) = set.first() {
            for name in unset {
                let message = format!("is missing: {given} is set, and they belong together");
                self.missing(name, &message);
            }
        }
    }

    /// Where the database is, and the keys its secrets are sealed under.
    fn database(&mut self) -> (DatabaseUrl, Option<SecretString>) {
        let database_url = self.value("DATABASE_URL", |_, raw| values::database_url(raw));
        let master_key = self.optional("CALLSPAN_MASTER_KEY", |_, raw| {
            let keys = SecretString::from(raw);
            Sealer::from_keys(&keys).map(|_| keys).map_err(|error| error.to_string())
        });
        let no_key = self.found("CALLSPAN_MASTER_KEY").is_none();
        if database_url.is_postgres() && no_key {
            self.missing(
                "CALLSPAN_MASTER_KEY",
                "is required with PostgreSQL, because all nodes must share it; make one with \
                 `openssl rand -base64 32`",
            );
        }
        (database_url, master_key)
    }

    fn twilio(&mut self) -> Option<TwilioAccount> {
        self.all_or_none(&["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"]);
        let account_sid = self.optional("TWILIO_ACCOUNT_SID", |_, raw| {
            let why = "is not an account SID, which is AC and 32 hex digits";
            raw.parse::<AccountSid>().map_err(|_| why.to_owned())
        });
        let auth_token = self.optional("TWILIO_AUTH_TOKEN", secret);
        let phone_number = self.optional("TWILIO_PHONE_NUMBER", |_, raw| {
            raw.parse::<PhoneNumber>().map_err(|error| error.to_string())
        });
        Some(TwilioAccount {
            account_sid: account_sid?,
            auth_token: auth_token?,
            phone_number: phone_number?,
        })
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        self.all_or_none(&["CALLSPAN_TLS_CERT", "CALLSPAN_TLS_KEY"]);
        let cert = self.optional("CALLSPAN_TLS_CERT", |_, raw| Ok(PathBuf::from(raw)));
        let key = self.optional("CALLSPAN_TLS_KEY", |_, raw| Ok(PathBuf::from(raw)));
        Some(TlsFiles { cert: cert?, key: key? })
    }

    fn unused(&self) -> Vec<&'static str> {
        let later = SETTINGS.iter().filter(|setting| !setting.in_use);
        later.map(|setting| setting.name).filter(|name| self.found(name).is_some()).collect()
    }
}

fn known(name: &str) -> &'static Setting {
    settings::setting(name).expect("the name is in the table")
}

/// The value for an error message, unless it may be private.
fn shown(setting: &Setting, value: &str) -> String {
    let private = setting.is_secret()
        || matches!(setting.kind, Kind::DatabaseUrl | Kind::Phone | Kind::AccountSid)
        || value.contains('@');
    if private { "the value".to_owned() } else { format!("{value:?}") }
}

fn number(kind: Kind, raw: &str) -> Result<u64, String> {
    match kind {
        Kind::Count { min, max } | Kind::Seconds { min, max } => {
            values::whole_number(raw, min, max)
        }
        other => unreachable!("{other:?} is no number"),
    }
}

fn seconds(kind: Kind, raw: &str) -> Result<Duration, String> {
    number(kind, raw).map(Duration::from_secs)
}

fn secret(kind: Kind, raw: &str) -> Result<SecretString, String> {
    match kind {
        Kind::Secret { min_chars } => values::secret(raw, min_chars),
        other => unreachable!("{other:?} is no secret"),
    }
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<SecretString>| secret.as_ref().map(|_| Hidden);
        f.debug_struct("Config")
            .field("bind", &self.bind)
            .field("public_url", &self.public_url)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("tls", &self.tls)
            .field("workers", &self.workers)
            .field("drain", &self.drain)
            .field("database_url", &self.database_url)
            .field("master_key", &hidden(&self.master_key))
            .field("admin_key", &hidden(&self.admin_key))
            .field("metrics_token", &hidden(&self.metrics_token))
            .field("twilio_account_sid", &self.twilio.as_ref().map(|twilio| &twilio.account_sid))
            .field("twilio_auth_token", &self.twilio.as_ref().map(|_| Hidden))
            .field("twilio_phone_number", &self.twilio.as_ref().map(|twilio| &twilio.phone_number))
            .field("ultravox_api_key", &hidden(&self.ultravox_api_key))
            .field("twilio_api_url", &self.twilio_api_url)
            .field("ultravox_api_url", &self.ultravox_api_url)
            .field("ring_timeout", &self.ring_timeout)
            .field("max_call", &self.max_call)
            .field("apology", &self.apology)
            .field("recordings", &self.recordings)
            .field("max_active_calls", &self.max_active_calls)
            .field("max_cps", &self.max_cps)
            .field("rate_limits", &self.rate_limits)
            .field("log", &self.log)
            .field("log_format", &self.log_format)
            .field("otlp_endpoint", &self.otlp_endpoint)
            .finish()
    }
}

struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
