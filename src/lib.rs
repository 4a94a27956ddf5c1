//! The service.

pub mod config;
pub mod secrets;
pub mod store;
