//! What Twilio tells the service about a call: the fields, and the order of delivery.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::call::Call;
use super::faults::SignatureFault;
use super::status::CallStatus;
use super::webhook::Delivery;
use super::world::{CallbackRecord, World};

/// A list of form fields.
pub(crate) type Fields = Vec<(String, String)>;

pub(crate) fn field(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// `Tue, 06 Oct 2026 12:00:42 +0000`
pub(crate) fn rfc2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// `2024-11-29T00:09:39.602648368Z`
pub(crate) fn iso_nanoseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

/// City, state, zip and country of all parties.
fn geo(empty: bool) -> Fields {
    let mut fields = Fields::new();
    for party in ["From", "To", "Caller", "Called"] {
        for (what, value) in [("City", ""), ("State", "CA"), ("Zip", ""), ("Country", "US")] {
            fields.push(field(&format!("{party}{what}"), if empty { "" } else { value }));
        }
    }
    fields
}

/// The parameters of every voice request.
pub(crate) fn voice_fields(call: &Call, status: &str, empty_geo: bool) -> Fields {
    let mut fields = vec![
        field("CallSid", &call.sid),
        field("AccountSid", &call.account_sid),
        field("ApiVersion", "2010-04-01"),
        field("Direction", call.direction.as_str()),
        field("CallStatus", status),
        field("From", &call.from),
        field("To", &call.to),
        field("Caller", &call.from),
        field("Called", &call.to),
    ];
    fields.extend(geo(empty_geo));
    fields
}

/// The parameters of a status callback.
pub(crate) fn status_fields(
    call: &Call,
    status: &str,
    sequence: u32,
    sip_response_code: Option<u16>,
    empty_geo: bool,
) -> Fields {
    let mut fields = voice_fields(call, status, empty_geo);
    fields.push(field("Timestamp", rfc2822(Timestamp::now())));
    fields.push(field("CallbackSource", "call-progress-events"));
    fields.push(field("SequenceNumber", sequence.to_string()));
    let now = call.state().now().clone();
    if now.status.is_final() {
        let seconds = now.duration_s.unwrap_or(0);
        fields.push(field("CallDuration", seconds.to_string()));
        fields.push(field("Duration", seconds.div_ceil(60).to_string()));
        if let Some(code) = sip_response_code {
            fields.push(field("SipResponseCode", code.to_string()));
        }
        if let Some(answered_by) = now.answered_by {
            fields.push(field("AnsweredBy", answered_by));
        }
    }
    fields
}

/// The event that a subscription must name to be told of a status.
pub(crate) fn event_of(status: &str) -> &'static str {
    match status {
        "initiated" => "initiated",
        "ringing" => "ringing",
        "in-progress" => "answered",
        _ => "completed",
    }
}

/// Marks the call as settled when the last holder is gone.
pub(crate) struct Settling {
    pub(crate) world: Arc<World>,
    pub(crate) call: Arc<Call>,
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.call.update(|state| state.settled = true);
        self.world.changed();
    }
}

/// Delivers callbacks of one kind and one call, one after the other.
pub(crate) struct Lane {
    deliveries: mpsc::UnboundedSender<Delivery>,
}

impl Lane {
    /// Status callbacks, with the faults that were asked for.
    pub(crate) fn of_status(settling: Arc<Settling>) -> Self {
        Self::start(settling, true)
    }

    /// Callbacks without faults of their own.
    pub(crate) fn of_streams(settling: Arc<Settling>) -> Self {
        Self::start(settling, false)
    }

    fn start(settling: Arc<Settling>, faulty: bool) -> Self {
        // Unbounded: a call has a handful of events.
        let (deliveries, mut queue) = mpsc::unbounded_channel::<Delivery>();
        let runtime = settling.world.runtime.clone();
        runtime.spawn(async move {
            let mut overtaken = Vec::new();
            while let Some(mut delivery) = queue.recv().await {
                if !faulty {
                    deliver(&settling, &delivery).await;
                    continue;
                }
                let faults = settling.world.callback_faults();
                delivery.signature = faults.signature;
                delivery.fields.extend(faults.extra_field);
                let status = delivery.fields.iter().find(|(name, _)| name == "CallStatus");
                let status = status.map_or("", |(_, status)| status);
                if faults.drop.iter().any(|dropped| dropped == status) {
                    continue;
                }
                if !faults.delay.is_zero() {
                    tokio::time::sleep(faults.delay).await;
                }
                let last = event_of(status) == "completed";
                if faults.reorder && overtaken.is_empty() && !last {
                    overtaken.push(delivery);
                    continue;
                }
                overtaken.insert(0, delivery);
                for delivery in overtaken.drain(..) {
                    deliver(&settling, &delivery).await;
                    if faults.duplicate {
                        deliver(&settling, &delivery).await;
                    }
                }
            }
            for delivery in overtaken {
                deliver(&settling, &delivery).await;
            }
        });
        Lane { deliveries }
    }

    pub(crate) fn send(&self, delivery: Delivery) {
        // The task ends only after this sender is gone, or with the runtime.
        let _ = self.deliveries.send(delivery);
    }
}

/// Delivers one callback and notes what came of it.
pub(crate) async fn deliver(settling: &Settling, delivery: &Delivery) {
    let (world, call) = (&settling.world, &settling.call);
    let answer = match world.webhooks.send(delivery).await {
        Ok(answer) => {
            if !(200..300).contains(&answer.status) {
                call.notify(11_200, format!("{} answered {}", delivery.url, answer.status));
            }
            Ok(answer.status)
        }
        Err(error) => {
            call.notify(error.code, error.what.clone());
            Err(error.what)
        }
    };
    world.log_callback(CallbackRecord {
        call_sid: call.sid.clone(),
        url: delivery.url.clone(),
        fields: delivery.fields.clone(),
        answer,
        at: Instant::now(),
    });
    // For whoever waits for a callback of this call.
    call.update(|_| ());
}

/// A callback request in the name of a call's account.
pub(crate) fn delivery(auth_token: &str, url: &str, method: &str, fields: Fields) -> Delivery {
    Delivery {
        url: url.to_owned(),
        method: method.to_owned(),
        fields,
        auth_token: auth_token.to_owned(),
        signature: SignatureFault::None,
    }
}

/// Counts a call as live until dropped, whatever becomes of the task that runs it.
pub(crate) struct LiveCall {
    pub(crate) world: Arc<World>,
    pub(crate) call: Arc<Call>,
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        self.call.set_status(CallStatus::Failed);
        self.call.update(|state| state.over = true);
        self.world.live_calls.fetch_sub(1, Ordering::SeqCst);
        self.world.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_captured() {
        let at: Timestamp = "2024-11-29T00:09:39.602648368Z".parse().expect("a time");
        assert_eq!(rfc2822(at), "Fri, 29 Nov 2024 00:09:39 +0000");
        assert_eq!(iso_nanoseconds(at), "2024-11-29T00:09:39.602648368Z");
        let even: Timestamp = "2024-11-29T00:09:39Z".parse().expect("a time");
        assert_eq!(iso_nanoseconds(even), "2024-11-29T00:09:39.000000000Z");
    }
}
