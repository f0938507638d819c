//! The projection-service.
fn main() {}
