//! The service.

pub mod secrets;
