//! The peers of a call, simulated: a Twilio with phones in it, and an Ultravox with agents.
//!
//! Strict (what the real service would refuse is recorded as a violation), faithful in time (an
//! absolute 20 ms clock), and full of faults on request. They share no protocol code with the
//! service, so that an error on one side is not mirrored on the other.

pub mod audio;
mod crew;
pub mod load;
pub mod tls;
pub mod twilio;
pub mod ultravox;
