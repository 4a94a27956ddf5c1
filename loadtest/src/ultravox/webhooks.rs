//! Tells the service's webhooks what becomes of a call: the account's, and the call's own callbacks.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{call::CallState, record, shared::Shared};
use crate::tls::Tls;

/// Deliveries of one event at most.
const ATTEMPTS: u32 = 10;

/// Where an account wants to be told of its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// An `http` or `https` URL.
    pub url: String,
    /// Each signs every delivery.
    pub secrets: Vec<String>,
}

/// One attempt to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `call.started`, `call.joined`, `call.ended` or `call.billed`.
    pub event: String,
    /// The call it is about.
    pub call_id: String,
    /// Where it was sent.
    pub url: String,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
}

/// What webhooks need to be delivered.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    client: OnceLock<reqwest::Client>,
}

impl Mail {
    fn client(&self, tls: Option<&Tls>) -> &reqwest::Client {
        self.client.get_or_init(|| {
            // Somebody else may have chosen a provider already, and one is as good as another.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let builder = tls.map_or_else(reqwest::Client::builder, Tls::http_client);
            builder.build().expect("the options of the client are constant")
        })
    }
}

impl Shared {
    /// Tells everybody who wants to know that `event` has come to a call. Returns at once.
    pub(crate) fn announce(self: &Arc<Self>, call: &Arc<CallState>, event: &str) {
        let callback = &call.request["callbacks"][event.trim_start_matches("call.")];
        let own = callback["url"].as_str().map(|url| Webhook {
            url: url.to_owned(),
            secrets: callback["secrets"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|secret| secret.as_str().map(str::to_owned))
                .collect(),
        });
        let accounts = self.state().webhook.clone();
        for webhook in own.into_iter().chain(accounts) {
            let message = json!({"event": event, "call": record::call_json(call)});
            let (shared, call_id) = (self.clone(), call.id.clone());
            let event = event.to_owned();
            self.runtime.spawn(async move {
                for _ in 0..shared.options.webhook_copies.max(1) {
                    deliver(&shared, &webhook, &event, &call_id, &message).await;
                }
            });
        }
    }
}

/// Sends one event until it is accepted, waiting twice as long after each failure.
async fn deliver(shared: &Shared, to: &Webhook, event: &str, call_id: &str, message: &Value) {
    let mut pause = shared.options.webhook_retry;
    for attempt in 1..=ATTEMPTS {
        let status = post(shared, to, message).await;
        shared.delivered(Delivery {
            event: event.into(),
            call_id: call_id.into(),
            url: to.url.clone(),
            status,
        });
        if status.is_some_and(|status| (200..300).contains(&status)) || attempt == ATTEMPTS {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
}

async fn post(shared: &Shared, to: &Webhook, message: &Value) -> Option<u16> {
    let body = message.to_string();
    let timestamp = jiff::Timestamp::now().to_string();
    let signatures: Vec<String> =
        to.secrets.iter().map(|secret| signature(secret, &body, &timestamp)).collect();
    let request = shared
        .mail
        .client(shared.options.tls.as_ref())
        .post(&to.url)
        .timeout(Duration::from_secs(10))
        .header("Content-Type", "application/json")
        .header("X-Ultravox-Webhook-Timestamp", timestamp)
        .header("X-Ultravox-Webhook-Signature", signatures.join(","));
    request.body(body).send().await.ok().map(|response| response.status().as_u16())
}

/// Lowercase hex of the HMAC-SHA256 of the body and, right behind it, the timestamp.
fn signature(secret: &str, body: &str, timestamp: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_bytes());
    mac.update(timestamp.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_and_the_timestamp_are_signed_in_one_piece() {
        let expected = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        let text = "The quick brown fox jumps over the lazy dog";
        assert_eq!(signature("key", text, ""), expected);
        assert_eq!(signature("key", &text[..9], &text[9..]), expected);
    }
}
