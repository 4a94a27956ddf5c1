//! Where Twilio finds what belongs to a call. Our id is in every path, so that a webhook finds its
//! call even before we know Twilio's id.

use actors::ids::CallId;

/// Routes, with the parameter as actix-web writes it.
pub(crate) const ANSWER: &str = "/twilio/answer/{call_id}";
/// Voice webhook of a number of ours: somebody calls it.
pub(crate) const VOICE: &str = "/twilio/voice";
/// Status callback of a number of ours, which names the call by Twilio's id.
pub(crate) const VOICE_STATUS: &str = "/twilio/voice-status";
/// Status callback.
pub(crate) const STATUS: &str = "/twilio/status/{call_id}";
/// Who took the call: a person or a machine.
pub(crate) const MACHINE: &str = "/twilio/machine/{call_id}";
/// Stream status callback.
pub(crate) const STREAM_STATUS: &str = "/twilio/stream-status/{call_id}";
/// Action of `<Connect>`.
pub(crate) const STREAM_ENDED: &str = "/twilio/stream-ended/{call_id}";
/// Tells whether a signed request arrives as it was sent.
pub(crate) const ECHO: &str = "/twilio/echo";
/// Media socket.
pub(crate) const MEDIA: &str = "/media/{call_id}";

fn of(route: &str, id: CallId) -> String {
    route.replace("{call_id}", &id.to_string())
}

pub(crate) fn answer(id: CallId) -> String {
    of(ANSWER, id)
}

pub(crate) fn status(id: CallId) -> String {
    of(STATUS, id)
}

pub(crate) fn machine(id: CallId) -> String {
    of(MACHINE, id)
}

pub(crate) fn stream_status(id: CallId) -> String {
    of(STREAM_STATUS, id)
}

pub(crate) fn stream_ended(id: CallId) -> String {
    of(STREAM_ENDED, id)
}

pub(crate) fn media(id: CallId) -> String {
    of(MEDIA, id)
}
