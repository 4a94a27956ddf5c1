//! Simulated peers.
