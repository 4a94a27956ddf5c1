//! Callspan.
fn main() {}
