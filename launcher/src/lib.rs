//! Runs Passbook whole on one machine: an embedded Postgres, an in-process broker, and both services. A library, so
//! that the end-to-end tests start the same parts. Modules in the order in which they start:

/// The command line.
pub mod cli;
/// Everything together: the program without a subcommand.
pub mod launcher;
/// Both services in one process.
pub mod services;
/// The embedded Postgres or the broker alone, as a process that can be killed.
pub mod standalone;
