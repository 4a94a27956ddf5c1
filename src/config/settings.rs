//! The table of all settings. Help, lookup and errors are made from it, so they cannot disagree.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable, and what errors call it.
    pub name: &'static str,
    /// The command line flag, without dashes. Secrets have none: others can see a command line.
    pub flag: Option<&'static str>,
    /// Its key in `callspan.toml`.
    pub file_key: Option<&'static str>,
    /// What holds when nobody says otherwise.
    pub default: Fallback,
    /// One sentence for whoever sets it.
    pub help: &'static str,
    /// The heading it appears under.
    pub heading: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// False for what this version reads and checks but does not act on yet.
    pub in_use: bool,
}

/// What holds when a setting is not set.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This value.
    Value(&'static str),
    /// Something found out at run time, in words.
    Described(&'static str),
    /// Nothing: it is simply not there.
    None,
}

/// What a setting may hold.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Where to listen.
    Address,
    /// An absolute `http` or `https` URL.
    HttpUrl,
    /// `sqlite://…` or `postgres://…`; may hold a password.
    DatabaseUrl,
    /// Whole seconds.
    Seconds {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A positive number a second.
    Rate,
    /// Twilio's id of an account.
    AccountSid,
    /// A phone number.
    Phone,
    /// Addresses and networks, separated by commas.
    Networks,
    /// A sentence.
    Text,
    /// A file.
    Path,
    /// `off`, a folder, or `s3://…`.
    Recordings,
    /// What tracing's `EnvFilter` understands.
    LogFilter,
    /// `pretty` or `json`.
    LogFormat,
    /// A secret that travels in an HTTP header.
    Secret {
        /// How long it must be to be worth having.
        min_chars: usize,
    },
    /// Base64 keys of 32 bytes, separated by commas.
    MasterKeys,
}

impl Kind {
    /// What stands for the value in the help.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Address => "ADDRESS",
            Kind::HttpUrl | Kind::DatabaseUrl => "URL",
            Kind::Seconds { .. } => "SECONDS",
            Kind::Count { .. } | Kind::Rate => "NUMBER",
            Kind::AccountSid => "SID",
            Kind::Phone => "PHONE",
            Kind::Networks => "NETWORKS",
            Kind::Text => "TEXT",
            Kind::Path => "FILE",
            Kind::Recordings => "PLACE",
            Kind::LogFilter => "FILTER",
            Kind::LogFormat => "FORMAT",
            Kind::Secret { .. } | Kind::MasterKeys => "SECRET",
        }
    }
}

impl Setting {
    /// Whether it must never be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. } | Kind::MasterKeys)
    }

    /// Whether `<NAME>_FILE` may name a file that holds it, as container platforms hand out
    /// secrets.
    pub fn may_be_in_a_file(&self) -> bool {
        self.is_secret() || matches!(self.kind, Kind::DatabaseUrl)
    }
}

/// The setting of this name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

const SERVING: &str = "Serving";
const DATABASE: &str = "Database";
const VENDORS: &str = "Twilio and Ultravox";
const LIMITS: &str = "Limits";
const CALLS: &str = "Calls";
const WATCHING: &str = "Logs and traces";
const SECRETS: &str = "Secrets";

/// A setting with a flag and a file key.
const fn open(
    names: (&'static str, &'static str, &'static str),
    heading: &'static str,
    kind: Kind,
    default: Fallback,
    help: &'static str,
) -> Setting {
    let (name, flag, file_key) = names;
    Setting {
        name,
        flag: Some(flag),
        file_key: Some(file_key),
        default,
        help,
        heading,
        kind,
        in_use: true,
    }
}

/// A setting without a flag.
const fn secret(
    name: &'static str,
    file_key: &'static str,
    kind: Kind,
    default: Fallback,
    help: &'static str,
) -> Setting {
    let names = (name, "", file_key);
    Setting { flag: None, ..open(names, SECRETS, kind, default, help) }
}

const fn not_used_yet(setting: Setting) -> Setting {
    Setting { in_use: false, ..setting }
}

use Fallback::{Described, None as Absent, Value};

/// All settings, in the order of the help.
pub static SETTINGS: &[Setting] = &[
    Setting {
        file_key: None,
        ..open(
            ("CALLSPAN_CONFIG", "config", ""),
            SERVING,
            Kind::Path,
            Described("callspan.toml, where there is one"),
            "File with settings, in TOML; a flag or a variable overrides what it says",
        )
    },
    open(
        ("CALLSPAN_BIND", "bind", "bind"),
        SERVING,
        Kind::Address,
        Value("127.0.0.1:8000"),
        "Address and port to listen on",
    ),
    open(
        ("CALLSPAN_PUBLIC_URL", "public-url", "public_url"),
        SERVING,
        Kind::HttpUrl,
        Value("http://localhost:8000"),
        "How Twilio reaches this service; http is for local work only",
    ),
    open(
        ("CALLSPAN_TRUSTED_PROXIES", "trusted-proxies", "trusted_proxies"),
        SERVING,
        Kind::Networks,
        Absent,
        "Proxies whose X-Forwarded-For is believed: addresses or networks, comma-separated",
    ),
    open(
        ("CALLSPAN_TLS_CERT", "tls-cert", "tls_cert"),
        SERVING,
        Kind::Path,
        Absent,
        "Certificate chain (PEM), to serve TLS without a proxy; needs the key too",
    ),
    open(
        ("CALLSPAN_TLS_KEY", "tls-key", "tls_key"),
        SERVING,
        Kind::Path,
        Absent,
        "Private key (PEM) of the certificate",
    ),
    open(
        ("CALLSPAN_WORKERS", "workers", "workers"),
        SERVING,
        Kind::Count { min: 1, max: 1024 },
        Described("the number of cores"),
        "Threads that carry audio and answer requests",
    ),
    open(
        ("CALLSPAN_DRAIN_SECONDS", "drain-seconds", "drain_seconds"),
        SERVING,
        Kind::Seconds { min: 0, max: 86_400 },
        Value("3600"),
        "On SIGTERM, how long live calls may go on; a second signal hangs up",
    ),
    open(
        ("DATABASE_URL", "database-url", "database_url"),
        DATABASE,
        Kind::DatabaseUrl,
        Value("sqlite://callspan.db?mode=rwc"),
        "SQLite file, or postgres://user:password@host/name for several nodes",
    ),
    open(
        ("TWILIO_ACCOUNT_SID", "twilio-account-sid", "twilio_account_sid"),
        VENDORS,
        Kind::AccountSid,
        Absent,
        "Twilio account of company 1",
    ),
    open(
        ("TWILIO_PHONE_NUMBER", "twilio-phone-number", "twilio_phone_number"),
        VENDORS,
        Kind::Phone,
        Absent,
        "Number that company 1 calls from",
    ),
    open(
        ("CALLSPAN_TWILIO_API_URL", "twilio-api-url", "twilio_api_url"),
        VENDORS,
        Kind::HttpUrl,
        Value("https://api.twilio.com"),
        "Where Twilio's REST API is",
    ),
    open(
        ("CALLSPAN_ULTRAVOX_API_URL", "ultravox-api-url", "ultravox_api_url"),
        VENDORS,
        Kind::HttpUrl,
        Value("https://api.ultravox.ai"),
        "Where Ultravox's REST API is; a company's own apiurl wins",
    ),
    open(
        ("CALLSPAN_RING_TIMEOUT_SECONDS", "ring-timeout-seconds", "ring_timeout_seconds"),
        CALLS,
        Kind::Seconds { min: 5, max: 600 },
        Value("60"),
        "How long a phone rings",
    ),
    open(
        ("CALLSPAN_MAX_CALL_SECONDS", "max-call-seconds", "max_call_seconds"),
        CALLS,
        Kind::Seconds { min: 60, max: 86_400 },
        Value("3600"),
        "How long a call may last",
    ),
    open(
        ("CALLSPAN_APOLOGY", "apology", "apology"),
        CALLS,
        Kind::Text,
        Value("We are sorry, this call cannot be continued. Goodbye."),
        "What is spoken when a call cannot go on; {company} stands for the company's name",
    ),
    not_used_yet(open(
        ("CALLSPAN_RECORDINGS", "recordings", "recordings"),
        CALLS,
        Kind::Recordings,
        Value("off"),
        "Where recordings go: off, a folder, or an s3:// URL",
    )),
    open(
        ("CALLSPAN_MAX_ACTIVE_CALLS", "max-active-calls", "max_active_calls"),
        LIMITS,
        Kind::Count { min: 1, max: 100_000 },
        Value("1000"),
        "Calls of this node at once; over it new ones are answered 503",
    ),
    open(
        ("CALLSPAN_MAX_CPS", "max-cps", "max_cps"),
        LIMITS,
        Kind::Rate,
        Value("1"),
        "Calls placed a second, per company",
    ),
    open(
        ("CALLSPAN_RATE_LIMIT_PER_MINUTE", "rate-limit-per-minute", "rate_limit_per_minute"),
        LIMITS,
        Kind::Count { min: 0, max: 1_000_000 },
        Value("60"),
        "Requests a minute per API key; 0 is no limit",
    ),
    open(
        ("CALLSPAN_RATE_LIMIT_PER_HOUR", "rate-limit-per-hour", "rate_limit_per_hour"),
        LIMITS,
        Kind::Count { min: 0, max: 1_000_000 },
        Value("1000"),
        "Requests an hour per API key; 0 is no limit",
    ),
    open(
        ("CALLSPAN_RATE_LIMIT_BURST", "rate-limit-burst", "rate_limit_burst"),
        LIMITS,
        Kind::Count { min: 0, max: 1_000_000 },
        Value("10"),
        "Requests per API key that may come at once; 0 is no limit",
    ),
    open(
        ("CALLSPAN_LOG", "log", "log"),
        WATCHING,
        Kind::LogFilter,
        Value("info"),
        "What is logged: a level, or a filter such as info,callspan=debug",
    ),
    open(
        ("CALLSPAN_LOG_FORMAT", "log-format", "log_format"),
        WATCHING,
        Kind::LogFormat,
        Described("pretty on a terminal, else json"),
        "How it is logged: pretty or json",
    ),
    not_used_yet(open(
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "otel-exporter-otlp-endpoint",
            "otel_exporter_otlp_endpoint",
        ),
        WATCHING,
        Kind::HttpUrl,
        Absent,
        "Where traces go, one per call",
    )),
    secret(
        "CALLSPAN_MASTER_KEY",
        "master_key",
        Kind::MasterKeys,
        Described("SQLite: made once, callspan.key; PostgreSQL: required"),
        "32 bytes, base64: encrypts stored secrets; several, comma-separated, to rotate",
    ),
    secret(
        "CALLSPAN_ADMIN_KEY",
        "admin_key",
        Kind::Secret { min_chars: 10 },
        Described("made at the first start and printed once"),
        "Admin API key",
    ),
    secret(
        "TWILIO_AUTH_TOKEN",
        "twilio_auth_token",
        Kind::Secret { min_chars: 1 },
        Absent,
        "Primary auth token of company 1's Twilio account",
    ),
    secret(
        "ULTRAVOX_API_KEY",
        "ultravox_api_key",
        Kind::Secret { min_chars: 1 },
        Absent,
        "Ultravox API key of company 1",
    ),
    secret(
        "CALLSPAN_METRICS_TOKEN",
        "metrics_token",
        Kind::Secret { min_chars: 1 },
        Described("/metrics is open"),
        "Bearer token that /metrics asks for",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_flags_and_file_keys_say_the_same() {
        for setting in SETTINGS {
            let plain = setting.name.trim_start_matches("CALLSPAN_").to_lowercase();
            if let Some(key) = setting.file_key {
                assert_eq!(key, plain);
            }
            if let Some(flag) = setting.flag {
                assert_eq!(flag, plain.replace('_', "-"));
            }
            assert_eq!(setting.flag.is_none(), setting.is_secret(), "{}", setting.name);
        }
    }
}
