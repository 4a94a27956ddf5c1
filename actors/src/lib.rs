//! What a call is.
//!
//! This crate decides; it opens no socket to a vendor, speaks no HTTP and knows no SQL. The cores
//! (`audio`, `protocol`, `bridge`, `campaign`) are plain functions over plain data with time as an
//! argument; the actors are thin shells around them that reach the world through [`ports`].

pub mod audio;
pub mod bridge;
pub mod bulk_campaign;
pub mod call;
pub mod call_life;
pub mod call_session;
pub mod campaign;
pub mod campaign_book;
pub mod ids;
pub mod machine;
pub mod ports;
pub mod protocol;
pub mod registry;
pub mod stream;
