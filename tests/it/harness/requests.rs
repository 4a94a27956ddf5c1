//! Requests worked by hand: those of API clients, and those in Twilio's name.

use actors::ids::{CallId, CompanyId};
use callspan::store::{CallRow, CompanySettings, KeyHash, NewApiKey};
use jiff::Timestamp;
use loadtest::twilio::{RestRequest, SimCall, SimTwilio, signature};
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::Value;

use super::{ADMIN_KEY, TestApp, soon};

pub(crate) const INITIATE: &str = "/api/ultravox-calls/initiate-call";

/// An answer of the service.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = soon("an answer", request.send()).await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.expect("a body") }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    /// The text of `{"error": "…"}`, which must be all there is.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        let fields = json.as_object().expect("an object");
        assert_eq!(fields.len(), 1, "{json}");
        json["error"].as_str().expect("a text").to_owned()
    }

    /// `Retry-After`, which must be whole seconds.
    pub(crate) fn retry_after(&self) -> u64 {
        let value = self.header("retry-after").expect("Retry-After");
        value.parse().expect("whole seconds")
    }
}

impl TestApp {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.http.get(self.url(path))).await
    }

    /// Status, content type and length of an answer that need not be text.
    pub(crate) async fn get_bytes(&self, path: &str) -> (u16, String, usize) {
        let response = soon("an answer", self.http.get(self.url(path)).send()).await;
        let response = response.expect("an answer");
        let kind = response.headers().get("content-type").expect("a content type");
        let (status, kind) = (response.status().as_u16(), kind.to_str().expect("text").to_owned());
        (status, kind, response.bytes().await.expect("a body").len())
    }

    /// Asks for a call with these bytes and this key.
    pub(crate) async fn post_initiate(&self, key: Option<&str>, body: &str) -> Answer {
        let mut request = self.http.post(self.url(INITIATE)).body(body.to_owned());
        request = request.header("Content-Type", "application/json");
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        Answer::to(request).await
    }

    /// Asks for a call to this number in the admin's name.
    pub(crate) async fn call(&self, to: &str) -> Answer {
        let body = serde_json::json!({ "companyId": 1, "destinationNumber": to });
        self.post_initiate(Some(ADMIN_KEY), &body.to_string()).await
    }

    pub(crate) async fn add_company(&self, id: i64, settings: &CompanySettings) {
        let stored = self.app.store().upsert_company(CompanyId(id), settings, Timestamp::now());
        stored.await.expect("a company");
    }

    /// A key that belongs to one company.
    pub(crate) async fn add_key(&self, company: i64, key: &str) {
        let new = NewApiKey {
            id: format!("key-of-{company}"),
            name: format!("key of {company}"),
            hash: KeyHash::of(&SecretString::from(key)),
            prefix: key.chars().take(8).collect(),
            company: Some(CompanyId(company)),
            at: Timestamp::now(),
        };
        assert!(self.app.store().insert_api_key(&new).await.expect("a database"), "{key} is known");
    }

    /// Our ids of the calls that Ultravox was asked to make an agent for, oldest first.
    pub(crate) fn call_ids(&self) -> Vec<CallId> {
        let requests = self.ultravox.requests();
        let creates = requests.iter().filter(|request| request.path == "/api/calls");
        let ids = creates.filter_map(|request| request.body["metadata"]["callspanCallId"].as_str());
        let mut ids: Vec<CallId> = ids.map(|id| id.parse().expect("a call id")).collect();
        ids.dedup();
        ids
    }

    /// The stored row of the only call there ever was, placed or not.
    pub(crate) async fn only_row(&self) -> CallRow {
        let ids = self.call_ids();
        let [id] = ids.as_slice() else { panic!("not one call, but {ids:?}") };
        self.row_of(*id).await
    }

    pub(crate) async fn row_of(&self, id: CallId) -> CallRow {
        assert!(self.app.flush(super::LIMIT).await, "the journal is not written");
        self.app.store().call(id).await.expect("a database").expect("the call is stored")
    }

    /// What Twilio was asked when it was last asked for a call.
    pub(crate) fn placed(&self) -> RestRequest {
        placed(&self.twilio)
    }

    /// The webhooks of the call placed last.
    pub(crate) fn hooks(&self) -> Hooks {
        let placed = self.placed();
        let field = |name| placed.field(name).expect(name).to_owned();
        let status = field("StatusCallback");
        let of = |kind: &str| status.replace("/status/", kind);
        Hooks {
            answer: field("Url"),
            machine: of("/machine/"),
            stream_status: of("/stream-status/"),
            stream_ended: of("/stream-ended/"),
            media: of("/status/").replace("/twilio/status/", "/media/").replace("http:", "ws:"),
            status,
        }
    }

    /// Posts a webhook, signed with Twilio's token.
    pub(crate) async fn webhook(&self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = owned(fields);
        let signature = signature::sign(self.twilio.auth_token(), url, &fields);
        self.post_form(url, Some(&signature), &fields).await
    }

    pub(crate) async fn post_form(
        &self,
        url: &str,
        signature: Option<&str>,
        fields: &[(String, String)],
    ) -> Answer {
        let mut request = self.http.post(url).form(fields);
        if let Some(signature) = signature {
            request = request.header("X-Twilio-Signature", signature);
        }
        Answer::to(request).await
    }

    /// Tells of a call's status in Twilio's name.
    pub(crate) async fn tell_status(&self, url: &str, phone: &SimCall, status: &str) -> Answer {
        self.webhook(url, &[("CallSid", phone.sid()), ("CallStatus", status)]).await
    }

    /// Waits until this many calls of the service are live.
    pub(crate) async fn quiet_but(&self, live: usize) {
        let fewer = async {
            while self.app.live_calls() > live {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        soon("calls to end", fewer).await;
    }

    /// How many webhooks and sockets were turned away for this reason.
    pub(crate) async fn rejected(&self, reason: &str) -> f64 {
        let name = format!(r#"callspan_webhooks_rejected_total{{reason="{reason}"}} "#);
        self.metric(&name).await
    }
}

/// Where Twilio reports about one call.
#[derive(Clone, Debug)]
pub(crate) struct Hooks {
    pub(crate) answer: String,
    pub(crate) status: String,
    pub(crate) machine: String,
    pub(crate) stream_status: String,
    pub(crate) stream_ended: String,
    pub(crate) media: String,
}

impl Hooks {
    /// The same webhooks of another call.
    pub(crate) fn of_call(&self, id: &str) -> Hooks {
        let (_, own) = self.status.rsplit_once('/').expect("a path");
        let other = |url: &str| url.replace(own, id);
        Hooks {
            answer: other(&self.answer),
            status: other(&self.status),
            machine: other(&self.machine),
            stream_status: other(&self.stream_status),
            stream_ended: other(&self.stream_ended),
            media: other(&self.media),
        }
    }
}

/// What Twilio was asked when it was last asked for a call.
pub(crate) fn placed(twilio: &SimTwilio) -> RestRequest {
    let requests = twilio.requests();
    let create =
        |request: &&RestRequest| request.method == "POST" && request.path.ends_with("/Calls.json");
    requests.iter().rfind(create).expect("Twilio was asked for a call").clone()
}

pub(crate) fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
