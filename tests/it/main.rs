//! The whole service on a free port, with its own database, between a simulated Twilio and a
//! simulated Ultravox.

mod calls;
mod gaps;
mod harness;
