//! Whether a request comes from Twilio: `X-Twilio-Signature`.
//!
//! The signature is made over the URL Twilio was told to use, so that URL is rebuilt from the
//! configured public one, never from the Host header. Twilio's parts disagree about ports and
//! trailing slashes (see "Security" in its manual, and its own libraries), so several spellings of
//! the same URL are accepted; each still needs the account's auth token.
//!
//! The scheme has no timestamp. Replays are the business of whoever handles the request.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use url::form_urlencoded;

use crate::public_url::PublicUrl;

/// The request does not come from Twilio, or not unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// No signature came with it.
    #[error("the request is not signed")]
    Missing,
    /// It is signed with another token, or something was changed on the way.
    #[error("the signature does not fit the request")]
    Wrong,
    /// The body is not the one whose hash was signed.
    #[error("the body does not fit the hash that was signed")]
    BodyHash,
}

impl BadSignature {
    /// One word, as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            BadSignature::Missing => "missing",
            BadSignature::Wrong => "wrong",
            BadSignature::BodyHash => "body_hash",
        }
    }
}

/// What was signed besides the URL.
#[derive(Clone, Copy, Debug)]
pub enum SignedBody<'a> {
    /// Nothing: a GET.
    Empty,
    /// Nothing, and the URL starts with `wss` (or `ws`): a WebSocket upgrade.
    Upgrade,
    /// The parameters of an `application/x-www-form-urlencoded` body, as received.
    Form(&'a [u8]),
    /// Any other body, by its hash, which is in the query as `bodySHA256`.
    Other(&'a [u8]),
}

/// The parameters of a form body: decoded, in the order they came, duplicates kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormParams(Vec<(String, String)>);

impl FormParams {
    /// Reads a body. What is no UTF-8 reads as U+FFFD, for the signature and the handler alike.
    pub fn parse(body: &[u8]) -> Self {
        FormParams(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first value of this name; Twilio writes an unknown value as an empty one, which counts
    /// as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Everything, in the order it came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Checks a request. `path_and_query` is what the request line said, unchanged; `header` is the
/// value of `X-Twilio-Signature`.
pub fn check(
    token: &SecretString,
    public_url: &PublicUrl,
    path_and_query: &str,
    body: SignedBody<'_>,
    header: Option<&str>,
) -> Result<(), BadSignature> {
    let header = header.filter(|text| !text.is_empty()).ok_or(BadSignature::Missing)?;
    let token = token.expose_secret();
    // With no token anybody could compute the signature.
    if token.is_empty() {
        return Err(BadSignature::Wrong);
    }
    let mut parameters = String::new();
    match body {
        SignedBody::Empty | SignedBody::Upgrade => {}
        SignedBody::Form(body) => parameters = signed_parameters(&FormParams::parse(body)),
        SignedBody::Other(body) => check_hash(path_and_query, body)?,
    }
    // Every spelling is computed and compared in full, whichever fits.
    let mut fits = Choice::from(0);
    for url in spellings(public_url, path_and_query, matches!(body, SignedBody::Upgrade)) {
        fits |= signature(token, &url, &parameters).as_bytes().ct_eq(header.as_bytes());
    }
    if fits.into() { Ok(()) } else { Err(BadSignature::Wrong) }
}

/// Signs as Twilio does, over this URL and the parameters of `form`.
pub fn sign(token: &SecretString, url: &str, form: &FormParams) -> String {
    signature(token.expose_secret(), url, &signed_parameters(form))
}

fn signature(token: &str, url: &str, parameters: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    mac.update(parameters.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Names in byte order, each followed by its value; of a name that came several times, its
/// distinct values in order.
fn signed_parameters(form: &FormParams) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form.iter() {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::new();
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

fn check_hash(path_and_query: &str, body: &[u8]) -> Result<(), BadSignature> {
    let query = path_and_query.split_once('?').map_or("", |(_, query)| query);
    let (_, signed) = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "bodySHA256")
        .ok_or(BadSignature::BodyHash)?;
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if hash.as_bytes().ct_eq(signed.as_bytes()).into() {
        Ok(())
    } else {
        Err(BadSignature::BodyHash)
    }
}

/// The ways Twilio may have spelled the URL it was given.
fn spellings(public_url: &PublicUrl, path_and_query: &str, upgrade: bool) -> BTreeSet<String> {
    let (scheme, default_port) = match (upgrade, public_url.is_secure()) {
        (false, true) => ("https", 443),
        (false, false) => ("http", 80),
        (true, true) => ("wss", 443),
        (true, false) => ("ws", 80),
    };
    let given = public_url.authority();
    let host = without_port(given);
    let authorities = [given.to_owned(), host.to_owned(), format!("{host}:{default_port}")];

    let prefix = public_url.prefix();
    let mut paths = vec![format!("{prefix}{path_and_query}")];
    // A proxy in front of us may or may not take the prefix off.
    if !prefix.is_empty() && path_and_query.starts_with(prefix) {
        paths.push(path_and_query.to_owned());
    }
    if upgrade {
        let other: Vec<String> = paths.iter().map(|path| with_other_slash(path)).collect();
        paths.extend(other);
    }
    let paths = &paths;
    authorities
        .into_iter()
        .flat_map(|authority| paths.iter().map(move |path| format!("{scheme}://{authority}{path}")))
        .collect()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The last colon of a bare `[::1]` is inside the brackets.
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The path with a trailing slash where it has none, and without where it has one.
fn with_other_slash(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(mark) => path_and_query.split_at(mark),
        None => (path_and_query, ""),
    };
    match path.strip_suffix('/') {
        Some(shorter) => format!("{shorter}{query}"),
        None => format!("{path}/{query}"),
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
