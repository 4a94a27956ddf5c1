//! What Twilio and Ultravox call.

pub mod signature;
pub mod twiml;
