//! Simulated peers.

pub mod twilio;
