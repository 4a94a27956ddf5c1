//! The service.

pub mod secrets;
pub mod store;
