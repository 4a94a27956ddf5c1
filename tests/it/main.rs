//! The whole service on a free port, with its own database, between a simulated Twilio and a
//! simulated Ultravox.

mod admission;
mod calls;
mod demo;
mod drain;
mod harness;
mod initiate_call;
mod outcomes;
mod platform;
mod process;
mod vendors;
mod webhooks;
