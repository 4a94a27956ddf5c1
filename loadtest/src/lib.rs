//! Simulated peers.

pub mod audio;
pub mod ultravox;
