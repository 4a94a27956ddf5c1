//! The real service between simulated vendors whose phones are all busy.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callspan::config::{Config, Found, Source};
use callspan::demo::{self, ADMIN_KEY};
use callspan::startup::Application;
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome, SimTwilio, TwilioOptions};
use loadtest::ultravox::{SimUltravox, UltravoxOptions};
use serde_json::{Value, json};

use crate::database::Home;

/// Longest wait for calls to end and their rows to be written.
const LIMIT: Duration = Duration::from_secs(60);

/// A running service and its peers.
pub(super) struct Service {
    app: Application,
    twilio: SimTwilio,
    ultravox: SimUltravox,
    http: reqwest::Client,
    base: String,
}

impl Service {
    pub(super) async fn start(home: &Home) -> Service {
        let busy = PhoneBehaviour::ends_in(PhoneOutcome::Busy).ringing_for(Duration::ZERO);
        let twilio = TwilioOptions { phone: busy, record: false, ..TwilioOptions::default() };
        let twilio = SimTwilio::start(twilio).expect("a simulated Twilio");
        let ultravox = SimUltravox::start(UltravoxOptions::for_load());
        let ultravox = ultravox.expect("a simulated Ultravox");
        let mut settings = demo::settings(home.folder.path(), &twilio, &ultravox);
        settings.insert("DATABASE_URL", home.url.clone());
        settings.insert("CALLSPAN_MASTER_KEY", STANDARD.encode([7; 32]));
        let config = Config::parse(|name| {
            let value = settings.get(name)?.clone();
            Some(Found { value, source: Source::Environment })
        });
        let app = Application::start(config.expect("a configuration")).await;
        let app = app.expect("a running service");
        let base = format!("http://{}", app.address());
        Service { app, twilio, ultravox, http: reqwest::Client::new(), base }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Makes an agent that can be called with; gives its id.
    pub(super) async fn make_agent(&self) -> String {
        let agent = json!({
            "name": "Customer Support Agent",
            "prompt": "You help {{customer_name}} with order {{order}}. Be polite.",
            "voice": "default",
            "language": "en",
            "template_variables": { "customer_name": "the customer", "order": "unknown" }
        });
        let request = self.http.post(format!("{}/api/v1/agents", self.base));
        let request = request.header("X-API-Key", ADMIN_KEY).json(&agent);
        let answer = request.send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("a JSON body");
        let id = answer["id"].as_str().unwrap_or_else(|| panic!("no agent: {answer}"));
        id.to_owned()
    }

    /// Waits until no call is live and everything known of calls is written.
    pub(super) async fn settle(&self) {
        let settled = async {
            while self.app.live_calls() > 0 || self.twilio.live_calls() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(self.app.flush(LIMIT).await, "what is known of calls is not written");
        };
        tokio::time::timeout(LIMIT, settled).await.expect("calls to busy phones end");
    }

    /// How long callers have waited for vendors, ever: for agents and for phone calls.
    pub(super) async fn vendor_seconds(&self) -> f64 {
        let scraped = self.http.get(format!("{}/metrics", self.base)).send().await;
        let text = scraped.expect("an answer").text().await.expect("text");
        let waited = ["operation=\"create\"", "operation=\"place\""];
        let sums = text
            .lines()
            .filter(|line| line.starts_with("callspan_vendor_request_seconds_sum{"))
            .filter(|line| waited.iter().any(|operation| line.contains(operation)))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(_, value)| value.parse::<f64>().expect("a number"));
        sums.sum()
    }

    /// Stops it; says what the vendors complain about.
    pub(super) async fn finish(self) -> Vec<String> {
        self.app.drain(Duration::ZERO).await;
        let twilio = self.twilio.violations().into_iter().map(|found| format!("{found:?}"));
        let ultravox = self.ultravox.violations().into_iter().map(|found| format!("{found:?}"));
        let complaints = twilio.chain(ultravox).collect();
        self.twilio.shutdown();
        self.ultravox.shutdown();
        complaints
    }
}
