//! The whole service on a free port, with its own database, between a simulated Twilio and a
//! simulated Ultravox.

mod admission;
mod api;
mod api_bench;
mod audio;
mod bulk;
mod calls;
mod campaign_bench;
mod campaigns;
mod cli_call;
mod cli_campaign;
mod cli_company;
mod cli_dnc;
mod cli_key;
mod cli_openapi;
mod conversation;
#[path = "../../benches/common/database.rs"]
mod database;
mod demo;
mod docs;
mod doctor;
mod drain;
mod echo;
mod gaps;
mod harness;
mod inbound;
mod initiate_call;
mod interruption;
mod machines;
mod outcomes;
mod pacing;
mod platform;
mod process;
mod reconcile;
mod slow_peers;
mod stream_end;
mod tls;
mod two_nodes;
mod vendors;
mod webhooks;
