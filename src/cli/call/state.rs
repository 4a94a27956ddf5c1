//! A call as the service tells of it.

use std::fmt;

use actors::call::CallStatus;
use serde_json::Value;

use crate::cli::service::{Service, ServiceError};

use super::order::Order;

/// A call that was placed.
pub(super) struct Placed {
    pub(super) call_sid: String,
    /// The whole answer, with the join URL in it.
    pub(super) answer: Value,
}

impl Placed {
    /// Has a call placed, once, however often the request must be repeated.
    pub(super) async fn place(service: &Service, order: &Order) -> Result<Self, ServiceError> {
        let once = uuid::Uuid::new_v4().to_string();
        let request =
            || service.post(&order.path).header("Idempotency-Key", &once).json(&order.body);
        let answer = service.ask(request).await?;
        // The two documents spell it differently.
        let call_sid = answer["call_sid"].as_str().or_else(|| answer["callSid"].as_str());
        let call_sid = call_sid.ok_or(ServiceError::Unreadable("names no call"))?.to_owned();
        Ok(Placed { call_sid, answer })
    }
}

/// How a call stands.
#[derive(Debug, PartialEq)]
pub(super) struct CallState {
    pub(super) status: CallStatus,
    pub(super) end_reason: Option<String>,
    pub(super) duration_seconds: Option<u64>,
}

impl CallState {
    /// How a call stands now, and the whole answer.
    pub(super) async fn look(
        service: &Service,
        call_sid: &str,
    ) -> Result<(Self, Value), ServiceError> {
        let path = format!("/api/v1/calls/{call_sid}");
        let answer = service.ask(|| service.get(&path)).await?;
        let state = CallState::read(&answer).ok_or(ServiceError::Unreadable("has no status"))?;
        Ok((state, answer))
    }

    fn read(call: &Value) -> Option<Self> {
        Some(CallState {
            status: call["status"].as_str()?.parse().ok()?,
            end_reason: call["end_reason"].as_str().map(str::to_owned),
            duration_seconds: call["duration_seconds"].as_u64(),
        })
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(reason) = &self.end_reason {
            write!(f, ": {reason}")?;
        }
        match self.duration_seconds {
            Some(seconds) => write!(f, ", {seconds} s"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_reads_as_one_line() {
        let read = |call: Value| CallState::read(&call).map(|state| state.to_string());
        assert_eq!(read(json!({ "status": "ringing" })).as_deref(), Some("ringing"));
        let ended = json!({
            "status": "completed", "end_reason": "agent_hung_up", "duration_seconds": 12,
        });
        assert_eq!(read(ended).as_deref(), Some("completed: agent_hung_up, 12 s"));
        assert_eq!(read(json!({ "status": "lost" })), None);
    }
}
