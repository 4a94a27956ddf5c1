//! Attaching to a service that somebody else started, on this machine or in their own network.
//!
//! Nothing public is ever touched: neither the service, nor where it sends the simulated Twilio.
//! And no person is ever called: before the load, one call to a number of fiction must arrive at
//! the simulators, or there is no test.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use url::Url;

use super::gauge::{Gauge, Metrics};
use super::metrics::value_of;
use super::output::{progress, show};
use super::private::{self, NotPrivate};
use super::service::environment;
use crate::tls;
use crate::twilio::{SimCall, SimTwilio};
use crate::ultravox::SimUltravox;

/// How long whoever starts the service may take.
const READY_LIMIT: Duration = Duration::from_secs(600);
/// How often it is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long the first call may take to arrive.
const FIRST_CALL_LIMIT: Duration = Duration::from_secs(10);

/// Where the API key is looked for first.
const KEY_VARIABLE: &str = "LOADTEST_API_KEY";
/// What `/metrics` may ask for.
const METRICS_VARIABLE: &str = "LOADTEST_METRICS_TOKEN";
/// The key of the simulated Ultravox: worth nothing, and the same in each run, so that the service
/// need not be started again.
pub(crate) const ULTRAVOX_KEY: &str = "loadtest.0123456789abcdef0123456789abcdef";

/// A secret of the service under test.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiKey(String);

impl ApiKey {
    pub(crate) fn new(key: impl Into<String>) -> Self {
        ApiKey(key.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ApiKey(•••)")
    }
}

/// A running service of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Without a slash at the end.
    pub(crate) base: String,
    pub(crate) key: ApiKey,
}

/// The service cannot be attached to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error("{0}")]
    Public(#[from] NotPrivate),
    #[error("the target cannot be used: {0}")]
    Target(io::Error),
    #[error("there is no API key: set {KEY_VARIABLE}, or write the key to standard input")]
    NoKey,
    #[error(
        "{url} is not to be trusted: {problem}; SSL_CERT_FILE names a file with the authorities to \
         trust"
    )]
    Untrusted { url: String, problem: String },
    #[error("{url} did not answer within {} minutes", READY_LIMIT.as_secs() / 60)]
    NotReady { url: String },
    #[error(
        "the service has {calls} calls already: load must not be mixed with the calls of others"
    )]
    Busy { calls: f64 },
    #[error("the first call was refused: {0}")]
    Refused(String),
    #[error(
        "the service took a call, but it did not arrive at the simulated Twilio within {} s; start \
         the service with the environment that was shown",
        FIRST_CALL_LIMIT.as_secs()
    )]
    ElsewhereConnected,
    #[error("the first call got no audio; CALLSPAN_PUBLIC_URL must be the target's address: {why}")]
    NoStream { why: String },
}

/// What Twilio's debugger would say of a call.
fn reason(call: &SimCall) -> String {
    let notes = call.notifications();
    notes.last().map_or_else(|| call.status().to_string(), |note| note.what.clone())
}

/// The key: of the environment, or else the first line of standard input.
pub(crate) fn key() -> Result<ApiKey, AttachError> {
    let given = std::env::var(KEY_VARIABLE).unwrap_or_default();
    let mut line = String::new();
    if given.trim().is_empty() && !io::stdin().is_terminal() {
        io::stdin().read_line(&mut line).map_err(|_| AttachError::NoKey)?;
    }
    chosen(&given, &line).ok_or(AttachError::NoKey)
}

fn chosen(variable: &str, line: &str) -> Option<ApiKey> {
    let key = [variable, line].map(str::trim).into_iter().find(|key| !key.is_empty())?;
    Some(ApiKey::new(key))
}

/// Refuses addresses that simulators of a load test must not listen on: public ones, and those that
/// mean all addresses, which no URL can name.
pub(crate) fn check_listen(address: IpAddr) -> Result<(), NotPrivate> {
    private::check("--listen", [address])
}

impl Target {
    /// Checks where the service is.
    pub(crate) async fn new(url: &Url, key: ApiKey) -> Result<Self, AttachError> {
        private::check_url(url).await.map_err(AttachError::Target)?;
        Ok(Target { base: url.as_str().trim_end_matches('/').to_owned(), key })
    }

    /// Where its use of processors and memory is read.
    pub(crate) fn gauge(&self, http: &reqwest::Client) -> Gauge {
        let token = std::env::var(METRICS_VARIABLE).ok().filter(|token| !token.is_empty());
        Gauge::Metrics(Metrics { http: http.clone(), url: format!("{}/metrics", self.base), token })
    }

    /// Says what the service is to be started with, and waits until it answers.
    pub(crate) async fn wait_until_ready(
        &self,
        http: &reqwest::Client,
        calls: u32,
        sims: (&SimTwilio, &SimUltravox),
    ) -> Result<(), AttachError> {
        show(&self.instructions(calls, sims));
        let url = format!("{}/readyz", self.base);
        progress(&format!("waiting for {url}"));
        let began = Instant::now();
        loop {
            let answer = http.get(&url).timeout(Duration::from_secs(5)).send().await;
            match &answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Err(error) if let Some(problem) = tls::cause(error) => {
                    return Err(AttachError::Untrusted { url, problem: problem.to_string() });
                }
                _ => {}
            }
            if began.elapsed() > READY_LIMIT {
                return Err(AttachError::NotReady { url });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn instructions(&self, calls: u32, sims: (&SimTwilio, &SimUltravox)) -> String {
        let mut text = String::from(
            "# The service needs this environment (and its own database and CALLSPAN_BIND):\n",
        );
        let public = ("CALLSPAN_PUBLIC_URL", self.base.clone());
        for (name, value) in std::iter::once(public).chain(environment(calls, sims)) {
            text.push_str(&format!("export {name}={value}\n"));
        }
        text.push_str("# CALLSPAN_ADMIN_KEY is the key that this program was given.");
        text
    }

    /// Makes sure that nobody else's calls are there, and that calls arrive at the simulators.
    pub(crate) async fn try_one_call(
        &self,
        metrics: &str,
        twilio: &SimTwilio,
        initiate: impl Future<Output = Result<(), String>>,
    ) -> Result<(), AttachError> {
        let calls = value_of(metrics, "callspan_calls_active");
        if calls > 0.0 {
            return Err(AttachError::Busy { calls });
        }
        initiate.await.map_err(AttachError::Refused)?;
        let arrived = twilio.wait_until(|twilio| !twilio.calls().is_empty());
        let arrived = tokio::time::timeout(FIRST_CALL_LIMIT, arrived).await;
        arrived.map_err(|_| AttachError::ElsewhereConnected)?;
        for call in twilio.calls() {
            let stream = tokio::time::timeout(FIRST_CALL_LIMIT, call.wait_for_stream()).await;
            if !matches!(stream, Ok(Ok(()))) {
                return Err(AttachError::NoStream { why: reason(&call) });
            }
            call.hang_up();
            call.wait_until_settled().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::TwilioOptions;
    use crate::ultravox::UltravoxOptions;

    #[test]
    fn the_environment_wins_over_standard_input_and_a_key_is_never_shown() {
        let key = chosen(" from-the-environment ", "from-a-pipe\n").expect("there is one");
        assert_eq!(key.expose(), "from-the-environment");
        assert_eq!(chosen("", "from-a-pipe\n"), Some(ApiKey::new("from-a-pipe")));
        assert_eq!(chosen("", "\n"), None);
        assert_eq!(format!("{key:?}"), "ApiKey(•••)");
    }

    #[test]
    fn simulators_listen_on_one_private_address() {
        for address in ["127.0.0.1", "10.0.0.5", "fd00::5"] {
            check_listen(address.parse().expect(address)).expect(address);
        }
        for address in ["0.0.0.0", "::", "8.8.8.8"] {
            assert!(check_listen(address.parse().expect(address)).is_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_target_that_is_not_trusted_is_not_waited_for() {
        let [its, ours] = [(); 2].map(|()| tls::Authority::new().expect("an authority"));
        let tls = Some(its.peers().expect("a certificate"));
        let ultravox = UltravoxOptions { tls, ..UltravoxOptions::for_load() };
        let ultravox = SimUltravox::start(ultravox).expect("a simulated Ultravox");
        let twilio = SimTwilio::start(TwilioOptions::default()).expect("a simulated Twilio");
        let url = Url::parse(&ultravox.api_url()).expect("a URL");
        let target = Target::new(&url, ApiKey::new("secret")).await.expect("loopback");
        let http = ours.peers().expect("a certificate").http_client().build().expect("a client");
        let error = target.wait_until_ready(&http, 1, (&twilio, &ultravox)).await;
        let error = error.expect_err("it is another authority's").to_string();
        assert!(error.contains("UnknownIssuer") && error.contains("SSL_CERT_FILE"), "{error}");
    }

    #[tokio::test]
    async fn a_public_target_is_refused_before_anything_is_sent() {
        let url = |raw: &str| Url::parse(raw).expect(raw);
        let key = || ApiKey::new("secret");
        let target = Target::new(&url("http://127.0.0.1:8000/"), key()).await.expect("loopback");
        assert_eq!(target.base, "http://127.0.0.1:8000");
        let refused = Target::new(&url("https://8.8.8.8"), key()).await.expect_err("public");
        assert!(refused.to_string().contains("8.8.8.8 is not private"), "{refused}");
    }
}
