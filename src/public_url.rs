//! Where Twilio reaches us. Webhooks, stream URLs and signature checks are built from this, never
//! from what a request says of itself.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Where Twilio reaches us: `https://bridge.example.com`, perhaps with a port and a path before
/// ours. Kept as written, because what was written is what gets signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    secure: bool,
    /// Host and perhaps port.
    authority: String,
    /// Path without trailing slash; empty for most.
    prefix: String,
}

/// A string that is not a public URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public URL: {0}")]
pub struct InvalidPublicUrl(&'static str);

impl PublicUrl {
    /// The URL of a page of ours; `path_and_query` starts with a slash.
    pub fn http(&self, path_and_query: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}{path_and_query}", self.authority, self.prefix)
    }

    /// The same for a WebSocket: `wss`, or `ws` where the public URL is `http`.
    pub fn websocket(&self, path: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}{path}", self.authority, self.prefix)
    }

    /// The same with the port we listen on, where port 0 was written: for programs that let the
    /// system choose one.
    pub fn with_chosen_port(mut self, port: u16) -> Self {
        if let Some(host) = self.authority.strip_suffix(":0") {
            self.authority = format!("{host}:{port}");
        }
        self
    }

    /// Host and perhaps port, as written.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path before ours, without trailing slash; empty for most.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether Twilio reaches us over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(raw: &str) -> Result<Self, InvalidPublicUrl> {
        let raw = raw.trim();
        let url = Url::parse(raw).map_err(|_| InvalidPublicUrl("it cannot be read as a URL"))?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidPublicUrl("it must start with https:// or http://")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidPublicUrl("it must end with the path"));
        }
        let (_, rest) = raw
            .split_once("://")
            .ok_or(InvalidPublicUrl("it must start with https:// or http://"))?;
        let (authority, prefix) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        // Twilio does not sign user and password.
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if authority.is_empty() || authority.contains(['\\', ' ']) {
            return Err(InvalidPublicUrl("it has no host"));
        }
        let prefix = prefix.trim_end_matches('/');
        Ok(PublicUrl { secure, authority: authority.into(), prefix: prefix.into() })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.http(""))
    }
}
