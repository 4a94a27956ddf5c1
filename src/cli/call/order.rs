//! What is asked of the service: route and body, from what the command line says.
//!
//! Numbers and contexts have rules, and the service knows them: here is checked only what a route
//! or a body cannot be made without.

use serde_json::{Map, Value, json};

/// A request for a call.
#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub(super) path: String,
    pub(super) body: Value,
    /// Whom an admin key speaks for.
    pub(super) company: Option<i64>,
}

/// The command line makes no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("--agent: {0:?} is no agent id, which has letters, digits, hyphens and underscores")]
    Agent(String),
}

impl Order {
    /// By an agent, or else by the company's own settings. `company` is for an admin key.
    pub(super) fn new(
        number: &str,
        agent: Option<&str>,
        company: Option<i64>,
        context: Map<String, Value>,
    ) -> Result<Self, OrderError> {
        let Some(agent) = agent else {
            let body = json!({ "companyId": company.unwrap_or(1), "destinationNumber": number });
            return Ok(Order { path: "/api/ultravox-calls/initiate-call".into(), body, company });
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if agent.is_empty() || !agent.chars().all(is_word) {
            return Err(OrderError::Agent(agent.to_owned()));
        }
        let body = json!({
            "phone_number": number,
            "template_context": context,
            "agent_id": agent,
        });
        Ok(Order { path: format!("/api/v1/calls/{agent}"), body, company })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_gets_the_context_and_its_id_twice() {
        let context = Map::from_iter([("name".to_owned(), json!("Sam"))]);
        let order = Order::new("+12125550123", Some("agent_1"), Some(7), context).expect("good");
        assert_eq!(order.path, "/api/v1/calls/agent_1");
        assert_eq!(order.company, Some(7));
        let expected = json!({
            "phone_number": "+12125550123",
            "template_context": { "name": "Sam" },
            "agent_id": "agent_1",
        });
        assert_eq!(order.body, expected);
    }

    #[test]
    fn without_an_agent_the_company_calls() {
        let body = |company| {
            let order = Order::new("+12125550123", None, company, Map::new()).expect("good");
            assert_eq!(order.path, "/api/ultravox-calls/initiate-call");
            order.body
        };
        let expected = |id| json!({ "companyId": id, "destinationNumber": "+12125550123" });
        assert_eq!(body(None), expected(1));
        assert_eq!(body(Some(7)), expected(7));
    }

    #[test]
    fn an_agent_id_cannot_lead_to_another_route() {
        for bad in ["", "../health", "a/b", "a?b", "a b", "é", "%2e"] {
            assert!(Order::new("+1", Some(bad), None, Map::new()).is_err(), "{bad}");
        }
    }
}
