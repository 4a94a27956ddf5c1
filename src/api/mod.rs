//! What applications and platforms ask of us over HTTP, one file a resource.
//!
//! A request passes `request` (its id), `observe` (counts it) and, where a key is needed, `gate`
//! before it reaches a handler. `routes` lists every route; `openapi` describes them.

mod agents;
pub(crate) mod api_keys;
mod auth;
mod body;
mod bulk;
mod calls;
mod campaigns;
pub(crate) mod companies;
mod compat;
mod detached;
mod dial;
pub(crate) mod do_not_call;
pub(crate) mod docs;
mod error;
mod fields;
mod gate;
mod health;
mod idempotency;
mod limits;
mod observe;
mod openapi;
pub(crate) mod platform;
mod prefer;
mod request;
mod routes;
pub(crate) mod rules;
mod stats;
mod time;

pub(crate) use agents::settle_all as settle_agents;
pub(crate) use auth::{AdminKey, NewAdminKey, ensure_admin_key};
pub(crate) use calls::source as agent_source;
pub(crate) use campaigns::Watchers;
pub(crate) use error::{ApiError, unknown_route};
pub(crate) use gate::RateLimiters;
pub(crate) use health::{Vitals, watch as watch_vitals};
pub(crate) use idempotency::purge as purge_idempotency;
pub(crate) use observe::observe;
pub(crate) use openapi::document;
pub(crate) use request::identify;
pub(crate) use routes::mount;
