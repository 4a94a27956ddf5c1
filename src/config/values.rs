//! From text to the types of a configuration. The error says what is allowed; whoever reports it
//! puts the value before it, where the value may be shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::public_url::{InvalidPublicUrl, PublicUrl};

/// Where the database is. Prints without its password.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The whole, with the password. Keep it out of logs.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether several nodes can share it.
    pub fn is_postgres(&self) -> bool {
        is_postgres(self.expose())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_postgres() {
            return f.write_str(self.expose());
        }
        let Ok(mut url) = Url::parse(self.expose()) else { return f.write_str("postgres://…") };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("postgres://…");
        }
        // Parameters may hold a password too, and the path of a key.
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where recordings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recordings {
    /// Nowhere.
    Off,
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket, with an optional prefix.
    S3(Url),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

pub(super) fn address(raw: &str) -> Result<SocketAddr, String> {
    raw.parse()
        .map_err(|_| "is not an address and port, such as 127.0.0.1:8000 or [::]:8000".to_owned())
}

/// Addresses and networks. Bits behind the prefix are dropped, because `10.0.0.7/8` can only mean
/// `10.0.0.0/8`.
pub(super) fn networks(raw: &str) -> Result<Vec<IpNet>, String> {
    let parts = raw.split(',').map(str::trim).filter(|part| !part.is_empty());
    let network = |part: &str| -> Option<IpNet> {
        let whole = |address: IpAddr| IpNet::from(address.to_canonical());
        part.parse().map(|net: IpNet| net.trunc()).or_else(|_| part.parse().map(whole)).ok()
    };
    parts
        .map(|part| {
            network(part).ok_or_else(|| {
                format!(
                    "must be addresses or networks such as 10.0.0.0/8,2001:db8::7, separated by \
                     commas; {part:?} is neither"
                )
            })
        })
        .collect()
}

pub(super) fn public_url(raw: &str) -> Result<PublicUrl, String> {
    let url = http_url(raw)?;
    url.parse().map_err(|error: InvalidPublicUrl| error.to_string())
}

/// An absolute http(s) URL, without its trailing slash.
pub(super) fn http_url(raw: &str) -> Result<String, String> {
    let url = Url::parse(raw).map_err(|error| {
        format!("is not an absolute URL, such as https://example.com ({error})")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must start with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query (?) or a fragment (#)".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

pub(super) fn database_url(raw: &str) -> Result<DatabaseUrl, String> {
    if is_postgres(raw) {
        Url::parse(raw).map_err(|error| {
            format!("is not a URL such as postgres://user:password@host/name ({error})")
        })?;
    } else if crate::secrets::key_file::path_beside(raw).is_none() {
        return Err(
            "must be postgres://user:password@host/name, or sqlite:// and a file, such as \
                    sqlite://callspan.db?mode=rwc"
                .to_owned(),
        );
    }
    Ok(DatabaseUrl(SecretString::from(raw)))
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

pub(super) fn whole_number(raw: &str, min: u64, max: u64) -> Result<u64, String> {
    raw.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

pub(super) fn rate(raw: &str) -> Result<f64, String> {
    raw.parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && *rate <= 1000.0)
        .ok_or_else(|| "must be a number above 0 and up to 1000".to_owned())
}

pub(super) fn recordings(raw: &str) -> Result<Recordings, String> {
    if raw == "off" {
        return Ok(Recordings::Off);
    }
    if !raw.contains("://") {
        return Ok(Recordings::Folder(raw.into()));
    }
    let url = Url::parse(raw).ok().filter(|url| url.scheme() == "s3");
    url.filter(|url| url.host_str().is_some_and(|bucket| !bucket.is_empty()))
        .map(Recordings::S3)
        .ok_or_else(|| "must be off, a folder, or s3:// and a bucket".to_owned())
}

pub(super) fn log_filter(raw: &str) -> Result<String, String> {
    EnvFilter::builder().parse(raw).map(|_| raw.to_owned()).map_err(|error| {
        format!("is neither a level (error, warn, info, debug, trace) nor a filter ({error})")
    })
}

pub(super) fn log_format(raw: &str) -> Result<LogFormat, String> {
    match raw {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json".to_owned()),
    }
}

/// A secret for an HTTP header. The error never repeats it.
pub(super) fn secret(raw: &str, min_chars: usize) -> Result<SecretString, String> {
    if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be of ASCII letters, digits and signs, without spaces".to_owned());
    }
    if raw.len() < min_chars {
        return Err(format!("must be at least {min_chars} characters long"));
    }
    Ok(SecretString::from(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_becomes_webhooks_and_sockets() {
        let url = public_url("https://calls.example.com/voice/").expect("good");
        assert_eq!(url.http("/twilio/voice"), "https://calls.example.com/voice/twilio/voice");
        assert_eq!(url.websocket("/twilio/media"), "wss://calls.example.com/voice/twilio/media");
        let local = public_url("http://localhost:8000").expect("good");
        assert_eq!(local.websocket("/media"), "ws://localhost:8000/media");
        assert!(url.is_secure() && !local.is_secure());
        let bad =
            ["localhost:8000", "ftp://a.b", "https://u:p@a.b", "https://a.b/?x=1", "https://a.b#c"];
        for bad in bad {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_addresses_or_prefixes() {
        let read = |raw: &str| -> Vec<String> {
            networks(raw).expect(raw).iter().map(IpNet::to_string).collect()
        };
        assert_eq!(read("127.0.0.1"), ["127.0.0.1/32"]);
        assert_eq!(
            read("10.1.2.3/8, ::1 ,2001:db8::/32,"),
            ["10.0.0.0/8", "::1/128", "2001:db8::/32"]
        );
        assert_eq!(read("::ffff:10.0.0.1"), ["10.0.0.1/32"]);
        for bad in ["10.0.0.0/33", "proxy.example.com", "10.0.0.0-10.0.0.9", "10.0.0.1;::1"] {
            assert!(networks(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_database_url_prints_without_its_password() {
        for raw in [
            "postgres://calls:hush@db.example.com:5432/calls",
            "postgresql://calls@db.example.com/calls?password=hush",
        ] {
            let url = database_url(raw).expect("good");
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("hush") && shown.contains("db.example.com"), "{shown}");
            assert!(url.is_postgres());
        }
        for bad in ["mysql://localhost/calls", "sqlite::memory:", "calls.db", "sqlite://"] {
            assert!(database_url(bad).is_err(), "{bad}");
        }
    }
}
