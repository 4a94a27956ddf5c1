//! HTTP requests from Twilio to the service: form, headers, signature, timeouts and retries.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use url::Url;

use super::call::lock;
use super::faults::SignatureFault;
use super::signature;
use crate::load::private;
use crate::tls::{self, Tls};

/// No webhook takes longer than this, whatever its overrides say.
const HARD_CAP: Duration = Duration::from_secs(15);

/// One request to the service.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// As configured, overrides in the fragment included.
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) auth_token: String,
    pub(crate) signature: SignatureFault,
}

/// What the service answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) has_length: bool,
    pub(crate) body: String,
}

/// Why there is no answer, with the code of Twilio's debugger.
#[derive(Clone, Debug)]
pub(crate) struct NoAnswer {
    pub(crate) code: u32,
    pub(crate) what: String,
}

/// Connection overrides: what the fragment of a webhook URL says.
#[derive(Debug, PartialEq, Eq)]
struct Overrides {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u32,
    retry_on: Vec<String>,
}

impl Overrides {
    fn of(url: &str) -> Self {
        let mut overrides = Overrides {
            connect: Duration::from_secs(5),
            read: HARD_CAP,
            total: HARD_CAP,
            retries: 1,
            retry_on: vec!["ct".to_owned()],
        };
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        for (key, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')) {
            let ms = |min, max| {
                value.parse().ok().map(|ms: u64| Duration::from_millis(ms.clamp(min, max)))
            };
            match key {
                "ct" => overrides.connect = ms(100, 10_000).unwrap_or(overrides.connect),
                "rt" => overrides.read = ms(100, 15_000).unwrap_or(overrides.read),
                "tt" => overrides.total = ms(100, 15_000).unwrap_or(overrides.total),
                "rc" => overrides.retries = value.parse().map_or(1, |n: u32| n.min(5)),
                "rp" => overrides.retry_on = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        overrides
    }

    fn retries_on(&self, what: &str) -> bool {
        self.retry_on.iter().any(|policy| policy == what || policy == "all")
    }
}

/// Sends webhooks. One client per connect timeout, since that is a property of a client.
#[derive(Default)]
pub(crate) struct Webhooks {
    private_only: bool,
    tls: Option<Tls>,
    clients: Mutex<HashMap<Duration, reqwest::Client>>,
}

impl Webhooks {
    /// Sends to loopback and private addresses only, if `private_only`.
    pub(crate) fn new(private_only: bool, tls: Option<Tls>) -> Self {
        Webhooks { private_only, tls, clients: Mutex::default() }
    }

    fn client(&self, connect: Duration) -> reqwest::Client {
        let mut clients = lock(&self.clients);
        let client = clients.entry(connect).or_insert_with(|| {
            let builder = self.tls.as_ref().map_or_else(reqwest::Client::builder, Tls::http_client);
            let builder =
                builder.connect_timeout(connect).http1_only().tcp_nodelay(true).no_proxy();
            // A redirect could lead anywhere.
            let builder = match self.private_only {
                true => builder
                    .redirect(reqwest::redirect::Policy::none())
                    .dns_resolver(Arc::new(private::Resolver)),
                false => builder.redirect(reqwest::redirect::Policy::limited(10)),
            };
            builder.build().expect("the options of the client are constant")
        });
        client.clone()
    }

    /// Delivers a request, retrying as its overrides say.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Result<Answer, NoAnswer> {
        let overrides = Overrides::of(&delivery.url);
        let attempts = self.attempts(delivery, &overrides);
        tokio::time::timeout(overrides.total, attempts).await.unwrap_or_else(|_| {
            Err(NoAnswer { code: 11_200, what: format!("{} took too long", delivery.url) })
        })
    }

    async fn attempts(
        &self,
        delivery: &Delivery,
        overrides: &Overrides,
    ) -> Result<Answer, NoAnswer> {
        let token = uuid::Uuid::new_v4().to_string();
        let mut left = overrides.retries;
        loop {
            let result = self.attempt(delivery, overrides, &token).await;
            let cause = match &result {
                Ok(answer) if (400..500).contains(&answer.status) => "4xx",
                Ok(answer) if answer.status >= 500 => "5xx",
                Ok(_) => return result,
                Err(error) if error.code == 11_205 => "ct",
                Err(error) if error.code == 11_200 => "rt",
                Err(_) => return result,
            };
            if left == 0 || !overrides.retries_on(cause) {
                return result;
            }
            left -= 1;
        }
    }

    async fn attempt(
        &self,
        delivery: &Delivery,
        overrides: &Overrides,
        idempotency_token: &str,
    ) -> Result<Answer, NoAnswer> {
        let bare = delivery.url.split_once('#').map_or(&*delivery.url, |(bare, _)| bare);
        let mut url = Url::parse(bare)
            .map_err(|e| NoAnswer { code: 11_100, what: format!("{bare} is not a URL: {e}") })?;
        if self.private_only {
            private::check_literal(&url)
                .map_err(|error| NoAnswer { code: 11_205, what: error.to_string() })?;
        }
        let credentials = (!url.username().is_empty())
            .then(|| (url.username().to_owned(), url.password().map(str::to_owned)));
        // Only URLs that cannot carry credentials refuse to have them removed.
        let _ = url.set_username("");
        let _ = url.set_password(None);

        let form = encode_form(&delivery.fields);
        let mut signed = signature::signed_form_of(bare);
        let get = delivery.method == "GET";
        if get && !form.is_empty() {
            let query = url.query().map_or_else(|| form.clone(), |query| format!("{query}&{form}"));
            url.set_query(Some(&query));
            signed.push(if signed.contains('?') { '&' } else { '?' });
            signed.push_str(&form);
        }
        let fields: &[(String, String)] = if get { &[] } else { &delivery.fields };
        let mut request = if get {
            self.client(overrides.connect).get(url)
        } else {
            self.client(overrides.connect)
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
                .body(form)
        };
        request = request
            .timeout(overrides.read)
            .header("user-agent", "TwilioProxy/1.1")
            .header("accept", "*/*")
            .header("x-home-region", "us1")
            .header("i-twilio-idempotency-token", idempotency_token);
        if let Some(signature) = signature_header(delivery, &signed, fields) {
            request = request.header("x-twilio-signature", signature);
        }
        let first = request.try_clone();
        let mut response = request.send().await.map_err(|e| no_answer(bare, &e))?;
        if let (401, Some((user, password)), Some(again)) =
            (response.status().as_u16(), credentials, first)
        {
            let again = again.basic_auth(user, password);
            response = again.send().await.map_err(|e| no_answer(bare, &e))?;
        }
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: header("content-type"),
            has_length: header("content-length").is_some(),
            body: response.text().await.map_err(|e| no_answer(bare, &e))?,
        })
    }
}

fn signature_header(
    delivery: &Delivery,
    signed_url: &str,
    fields: &[(String, String)],
) -> Option<String> {
    match delivery.signature {
        SignatureFault::None => Some(signature::sign(&delivery.auth_token, signed_url, fields)),
        SignatureFault::Wrong => Some(signature::sign("another key", signed_url, fields)),
        SignatureFault::Missing => None,
    }
}

fn no_answer(url: &str, error: &reqwest::Error) -> NoAnswer {
    let code = match error {
        e if matches!(tls::cause(e), Some(rustls::Error::InvalidCertificate(_))) => 11_237,
        e if e.is_redirect() => 11_215,
        e if e.is_connect() => 11_205,
        _ => 11_200,
    };
    let mut what = format!("{url}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // A String takes any text.
        let _ = write!(what, ": {cause}");
        source = cause.source();
    }
    NoAnswer { code, what }
}

/// Encodes a form as Twilio does: `%20` for a space, `%2B` for a plus.
pub(crate) fn encode_form(fields: &[(String, String)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        encode_into(name, &mut form);
        form.push('=');
        encode_into(value, &mut form);
    }
    form
}

fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A String takes any text.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A random number of milliseconds up to a limit.
pub(crate) fn random_up_to(limit: Duration) -> Duration {
    if limit.is_zero() { limit } else { rand::rng().random_range(Duration::ZERO..=limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_in_the_fragment_are_honoured_within_their_ranges() {
        let plain = Overrides::of("https://b.example/status");
        assert_eq!(
            (plain.retries, plain.retries_on("ct"), plain.retries_on("5xx")),
            (1, true, false)
        );

        let set =
            Overrides::of("https://b.example/status#rc=3&rp=ct,rt,5xx&ct=1&tt=99999&e=dublin");
        assert_eq!(set.retries, 3);
        assert!(set.retries_on("5xx") && set.retries_on("rt") && !set.retries_on("4xx"));
        assert_eq!(set.connect, Duration::from_millis(100));
        assert_eq!(set.total, HARD_CAP);
        assert!(Overrides::of("https://b.example/#rp=all").retries_on("4xx"));
    }

    #[test]
    fn forms_are_encoded_as_captured() {
        let form = [("Timestamp".to_owned(), "Sun, 25 Mar 2018 09:53:19 +0000".to_owned())];
        assert_eq!(
            encode_form(&form),
            "Timestamp=Sun%2C%2025%20Mar%202018%2009%3A53%3A19%20%2B0000"
        );
    }
}
