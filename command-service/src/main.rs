//! The command-service.
fn main() {}
