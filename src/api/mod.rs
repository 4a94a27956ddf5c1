//! What applications and platforms ask of us over HTTP, one file a resource.

mod auth;
pub(crate) mod compat;
mod error;
mod observe;
pub(crate) mod platform;

pub(crate) use auth::{AdminKey, NewAdminKey, ensure_admin_key};
pub(crate) use error::CompatError;
pub(crate) use observe::observe;
