//! Runs all of Passbook on one machine: an embedded Postgres, an in-process broker, and both
//! services. The end-to-end tests use this library to start the same parts.

/// Command line of `passbook`.
pub mod cli;
/// The program without a subcommand: everything in one process.
pub mod launcher;
/// Both services in this process.
pub mod services;
/// The embedded Postgres or the broker alone, in a process that tests can kill.
pub mod standalone;
