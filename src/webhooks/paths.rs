//! Where Twilio finds what belongs to a call. Our id is in every path, so that a webhook finds its
//! call even before we know Twilio's id.

use actors::ids::CallId;

/// Routes, with the parameter as actix-web writes it.
pub(crate) const ANSWER: &str = "/twilio/answer/{call_id}";
/// Status callback.
pub(crate) const STATUS: &str = "/twilio/status/{call_id}";
/// Stream status callback.
pub(crate) const STREAM_STATUS: &str = "/twilio/stream-status/{call_id}";
/// Action of `<Connect>`.
pub(crate) const STREAM_ENDED: &str = "/twilio/stream-ended/{call_id}";
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

pub(crate) fn stream_status(id: CallId) -> String {
    of(STREAM_STATUS, id)
}

pub(crate) fn stream_ended(id: CallId) -> String {
    of(STREAM_ENDED, id)
}

pub(crate) fn media(id: CallId) -> String {
    of(MEDIA, id)
}
