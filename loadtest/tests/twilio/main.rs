//! The simulated Twilio against the least service that can take a call.

mod calls;
mod rest;
mod service;
mod streams;
