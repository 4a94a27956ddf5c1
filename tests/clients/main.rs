//! The vendor clients against real sockets: what they send, and what they make of any answer.

mod agent_socket;
mod server;
mod twilio;
mod twilio_faults;
mod ultravox;
mod ultravox_agents;
