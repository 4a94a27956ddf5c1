//! Callspan: a bridge between Twilio phone calls and Ultravox voice agents.
//!
//! Everything that touches the outside world lives here; what a call is, and every decision about
//! it, lives in the crate `actors`.

mod api;
pub mod campaigns;
pub mod cli;
mod client_address;
pub mod clients;
pub mod config;
pub mod demo;
mod doctor;
pub mod metrics;
pub mod pacing;
pub mod public_url;
pub mod reconcile;
mod recorder;
mod recovery;
pub mod secrets;
pub mod startup;
pub mod store;
pub mod upload;
pub mod webhooks;
mod ws;

/// How we introduce ourselves to Ultravox.
pub const CLIENT_VERSION: &str = concat!("callspan/", env!("CARGO_PKG_VERSION"));
