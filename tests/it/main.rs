//! The whole service on a free port, with its own database, between a simulated Twilio and a
//! simulated Ultravox.

mod admission;
mod audio;
mod calls;
mod cli_call;
mod conversation;
mod demo;
mod drain;
mod gaps;
mod harness;
mod initiate_call;
mod interruption;
mod outcomes;
mod platform;
mod process;
mod slow_peers;
mod stream_end;
mod vendors;
mod webhooks;
