//! Parameters of a request, and the checks that several of them share.

use std::str::FromStr;

use url::Url;

use super::error::ApiError;
use crate::twilio::call::Source;

/// The fields of a form or query, names as sent.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Params(pairs)
    }

    /// The value of a parameter; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value);
        value.filter(|value| !value.is_empty())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| &**value).collect()
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Names that are not documented, and names that occur more often than they may.
    pub(crate) fn strange(&self, known: &[&str], repeatable: &[&str]) -> Vec<String> {
        let mut strange = Vec::new();
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&&**name) {
                strange.push(format!("unknown parameter {name}"));
            } else if !repeatable.contains(&&**name) && self.0[..at].iter().any(|(n, _)| n == name)
            {
                strange.push(format!("parameter {name} is there twice"));
            }
        }
        strange
    }

    /// A number within bounds.
    pub(crate) fn number<T: FromStr + PartialOrd>(
        &self,
        name: &str,
        (min, max): (T, T),
        code: u32,
    ) -> Result<Option<T>, ApiError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        match raw.parse() {
            Ok(number) if number >= min && number <= max => Ok(Some(number)),
            _ => Err(ApiError::bad_request(code, format!("{name} is not valid: {raw}"))),
        }
    }

    pub(crate) fn method(&self, name: &str) -> Result<String, ApiError> {
        match self.get(name) {
            None => Ok("POST".to_owned()),
            Some(method @ ("GET" | "POST")) => Ok(method.to_owned()),
            Some(other) => {
                Err(ApiError::bad_request(21_209, format!("{name} is not valid: {other}")))
            }
        }
    }

    /// An absolute HTTP URL whose host is a valid one: Twilio refuses underscores.
    pub(crate) fn url(&self, name: &str, code: u32) -> Result<Option<String>, ApiError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let valid = Url::parse(raw).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.host_str().is_some_and(|host| !host.contains('_'))
        });
        if valid {
            Ok(Some(raw.to_owned()))
        } else {
            Err(ApiError::bad_request(code, format!("{name} is not a valid URL: {raw}")))
        }
    }

    /// Where the TwiML comes from: `Url`, or else `Twiml`.
    pub(crate) fn source(&self) -> Result<Option<Source>, ApiError> {
        let method = self.method("Method")?;
        if let Some(url) = self.url("Url", 21_205)? {
            return Ok(Some(Source::Url { url, method }));
        }
        let Some(twiml) = self.get("Twiml") else { return Ok(None) };
        if twiml.chars().count() > 4_000 {
            // Twilio does not document the code of this refusal.
            return Err(ApiError::bad_request(20_001, "Twiml is longer than 4000 characters"));
        }
        Ok(Some(Source::Inline(twiml.to_owned())))
    }

    pub(crate) fn fallback(&self) -> Result<Option<Source>, ApiError> {
        let method = self.method("FallbackMethod")?;
        let url = self.url("FallbackUrl", 21_205)?;
        Ok(url.map(|url| Source::Url { url, method }))
    }
}
