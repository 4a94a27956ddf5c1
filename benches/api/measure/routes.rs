//! What is asked of the service.

use callspan::demo::ADMIN_KEY;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::history::{Known, number_of_person};

/// One way to use a route.
pub(crate) struct Route {
    /// As the table calls it.
    pub(crate) name: &'static str,
    /// The status of a good answer.
    pub(crate) expected: u16,
    /// Whether it places a call, so that vendors have their part in its time.
    pub(crate) dials: bool,
    method: Method,
    /// Paths and queries, taken in turn.
    targets: Vec<String>,
    /// What is posted, but for the number.
    body: Option<Value>,
    has_idempotency_key: bool,
    /// The company that is asked about, where it is not the first.
    company: Option<u32>,
}

impl Route {
    /// The request with this number.
    pub(crate) fn request(&self, client: &Client, base: &str, number: u32) -> RequestBuilder {
        let turn = usize::try_from(number).unwrap_or(usize::MAX) % self.targets.len();
        let url = format!("{base}{}", self.targets[turn]);
        let mut request = client.request(self.method.clone(), url).header("X-API-Key", ADMIN_KEY);
        if let Some(body) = &self.body {
            let mut body = body.clone();
            for field in ["phone_number", "destinationNumber"] {
                if let Some(to) = body.get_mut(field) {
                    *to = number_of_person(number).into();
                }
            }
            request = request.json(&body);
        }
        if let Some(company) = self.company {
            request = request.header("X-Company-Id", company.to_string());
        }
        if self.has_idempotency_key {
            request = request.header("Idempotency-Key", Uuid::new_v4().to_string());
        }
        request
    }
}

fn get(name: &'static str, targets: Vec<String>) -> Route {
    Route {
        name,
        expected: 200,
        dials: false,
        method: Method::GET,
        targets,
        body: None,
        has_idempotency_key: false,
        company: None,
    }
}

fn post(name: &'static str, expected: u16, target: String, body: Value) -> Route {
    Route {
        name,
        expected,
        dials: true,
        method: Method::POST,
        targets: vec![target],
        body: Some(body),
        has_idempotency_key: name.ends_with("with a key"),
        company: None,
    }
}

/// Everything that is measured; the first is the yardstick.
pub(crate) fn all(agent: &str, known: Known) -> Vec<Route> {
    let one = |target: &str| vec![target.to_owned()];
    let list = |filter: &str| one(&format!("/api/v1/calls?limit=100&{filter}"));
    let each = |items: &[String], before: &str, after: &str| {
        items.iter().map(|item| format!("{before}{item}{after}")).collect()
    };
    let initiate = || {
        let body = json!({ "companyId": 1, "destinationNumber": "" });
        ("/api/ultravox-calls/initiate-call".to_owned(), body)
    };
    let dial = || {
        let context = json!({ "customer_name": "Sam Taylor", "order": "ORD-12345" });
        let body = json!({ "phone_number": "", "template_context": context });
        (format!("/api/v1/calls/{agent}"), body)
    };
    let dialling = |name, expected, (target, body)| post(name, expected, target, body);
    let busiest = format!("agent_id={}", known.agent);
    vec![
        get("GET /healthz", one("/healthz")),
        get("GET /health", one("/api/v1/health")),
        get("GET /calls", list("")),
        get("GET /calls, deep", each(&known.cursors, "/api/v1/calls?limit=100&cursor=", "")),
        get("GET /calls?status, most", list("status=completed")),
        get("GET /calls?status, few", list("status=failed")),
        get("GET /calls?status, none", list("status=in-progress")),
        get("GET /calls?agent_id", list(&busiest)),
        get("GET /calls?phone_number", each(&known.people, "/api/v1/calls?phone_number=%2B", "")),
        get("GET /calls?direction", list("direction=inbound")),
        get(
            "GET /calls?agent_id&status&direction",
            list(&format!("{busiest}&status=busy&direction=outbound")),
        ),
        get("GET /calls?status&direction", list("status=completed&direction=inbound")),
        // Of the second company, which nobody calls.
        Route {
            company: Some(2),
            ..get("GET /calls?status&direction, none", list("status=completed&direction=inbound"))
        },
        get("GET /calls/{sid}", each(&known.sids, "/api/v1/calls/", "")),
        get("GET /calls/{sid}/timeline", each(&known.sids, "/api/v1/calls/", "/timeline")),
        get("GET /agents", one("/api/v1/agents")),
        get("GET /metrics", one("/api/v1/metrics")),
        get("GET /metrics/events?limit=1000", one("/api/v1/metrics/events?limit=1000")),
        dialling("POST initiate-call", 200, initiate()),
        dialling("POST initiate-call, with a key", 200, initiate()),
        dialling("POST /calls/{agent}", 201, dial()),
        dialling("POST /calls/{agent}, with a key", 201, dial()),
    ]
}
