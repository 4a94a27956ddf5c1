//! Simulated peers.

pub mod audio;
