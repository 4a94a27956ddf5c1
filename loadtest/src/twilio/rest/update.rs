//! `POST …/Calls/{Sid}.json`

use std::time::Duration;

use super::error::ApiError;
use super::params::Params;
use crate::twilio::call::{Call, Interrupt, lock};
use crate::twilio::status::CallStatus;
use crate::twilio::world::World;

const KNOWN: &[&str] = &[
    "Status",
    "Url",
    "Method",
    "Twiml",
    "FallbackUrl",
    "FallbackMethod",
    "StatusCallback",
    "StatusCallbackMethod",
    "TimeLimit",
];

/// Ends or redirects a call.
pub(crate) fn update(world: &World, call: &Call, params: &Params) -> Result<(), ApiError> {
    for strange in params.strange(KNOWN, &[]) {
        world.violation(None, format!("update call: {strange}"));
    }
    if params.get("Url").is_some() && params.get("Twiml").is_some() {
        world.violation(None, "update call: Url and Twiml exclude each other");
    }
    let not_in_progress =
        || ApiError::bad_request(21_220, "Call is not in-progress. Cannot redirect.");
    let status = call.status();
    if status.is_final() {
        return Err(not_in_progress());
    }
    let source = params.source()?;
    let fallback = params.fallback()?;
    let callback = params.url("StatusCallback", 21_609)?;
    let callback_method = params.method("StatusCallbackMethod")?;
    let limit: Option<u64> = params.number("TimeLimit", (1, 86_400), 20_001)?;
    {
        let mut plan = lock(&call.plan);
        if let Some(callback) = callback {
            plan.status_callback = Some(callback);
            plan.status_callback_method = callback_method;
        }
        if let Some(limit) = limit {
            plan.time_limit = Some(Duration::from_secs(limit));
        }
    }
    let answered = status == CallStatus::InProgress;
    match params.get("Status") {
        // Does not touch a call in progress.
        Some("canceled") if answered => {}
        Some("canceled") => end(call, CallStatus::Canceled),
        Some("completed") if answered => end(call, CallStatus::Completed),
        Some("completed") => end(call, CallStatus::Canceled),
        Some(other) => {
            return Err(ApiError::bad_request(20_001, format!("Status is not valid: {other}")));
        }
        None => {
            if let Some(source) = source {
                if !answered {
                    return Err(not_in_progress());
                }
                // Fails when the call has just ended, as it may with Twilio.
                let _ = call.interrupts.send(Interrupt::Redirect { source, fallback });
            }
        }
    }
    Ok(())
}

fn end(call: &Call, status: CallStatus) {
    call.set_status(status);
    // Fails when the call has just ended by itself.
    let _ = call.interrupts.send(Interrupt::End);
}
