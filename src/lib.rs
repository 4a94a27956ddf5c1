//! The service.

pub mod clients;
pub mod webhooks;
