//! Runs Passbook whole on one machine.
fn main() {}
