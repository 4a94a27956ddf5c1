//! What travels on the two sockets of a call, as types: Twilio's Media Streams messages, Ultravox's
//! data messages, and the WebSocket frames that both come in. Reading messages is lenient (unknown
//! ones and unknown fields are no error), writing is exact.

mod base64;

pub mod twilio;
pub mod ultravox;
pub mod websocket;
