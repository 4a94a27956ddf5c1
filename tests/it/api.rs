//! Requests to the integration API as its document shows them, and what all of its answers share.

mod agents;
mod bodies;
mod calls;
mod campaigns;
mod companies;
mod do_not_call;
mod health;
mod idempotency;
mod keys;
mod limits;
mod stats;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, TestApp};

/// The example of the document.
pub(crate) fn agent_config() -> Value {
    json!({
        "name": "Customer Support Agent",
        "prompt": "You are a helpful customer support agent. Be polite and professional.",
        "voice": "default",
        "language": "en",
        "template_variables": {
            "company_name": "Acme Corp",
            "support_hours": "9 AM - 5 PM EST"
        }
    })
}

impl TestApp {
    /// A request to the integration API with this key.
    pub(crate) fn api(&self, method: Method, path: &str, key: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(&format!("/api/v1{path}"))).header("X-API-Key", key)
    }

    /// A request without a body, in the admin's name.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Answer {
        Answer::to(self.api(method, path, ADMIN_KEY)).await
    }

    /// A request with a JSON body, in the admin's name.
    pub(crate) async fn tell(&self, method: Method, path: &str, body: &Value) -> Answer {
        Answer::to(self.api(method, path, ADMIN_KEY).json(body)).await
    }

    /// Makes an agent that must be accepted; gives its id.
    pub(crate) async fn new_agent(&self, config: &Value) -> String {
        let answer = self.tell(Method::POST, "/agents", config).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }
}

impl Answer {
    /// The documented error object; gives its word and its message.
    pub(crate) fn api_error(&self) -> (String, String) {
        let json = self.json();
        let fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["details", "error", "message", "request_id", "timestamp"], "{json}");
        assert!(json["details"].is_object(), "{json}");
        assert_eq!(Some(text(&json["request_id"])), self.header("x-request-id"));
        assert_is_time(text(&json["timestamp"]));
        (text(&json["error"]).to_owned(), text(&json["message"]).to_owned())
    }

    /// The same, where the status and the word are known; gives the message.
    pub(crate) fn refused(&self, status: u16, word: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let (error, message) = self.api_error();
        assert_eq!(error, word, "{message}");
        message
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// `2024-01-01T12:00:00Z`, and nothing else.
pub(crate) fn assert_is_time(text: &str) {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z");
}
