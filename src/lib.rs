//! The service.

pub mod clients;
pub mod config;
pub mod secrets;
pub mod store;
pub mod webhooks;
