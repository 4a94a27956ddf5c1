//! The whole service on a free port, with its own database, between a simulated Twilio and a
//! simulated Ultravox.

mod audio;
mod calls;
mod conversation;
mod gaps;
mod harness;
mod interruption;
mod slow_peers;
mod stream_end;
