//! What travels on the two sockets of a call, as types: Twilio's Media Streams messages and
//! Ultravox's data messages. Reading is lenient (unknown messages and fields are no error),
//! writing is exact.

pub mod twilio;
pub mod ultravox;
