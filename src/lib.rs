//! The service.

pub mod webhooks;
