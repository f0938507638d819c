//! Runs Passbook whole on one machine: an embedded Postgres, an in-process broker, and both services. A library, so
//! that the end-to-end tests and the benchmark start the same parts. In the order in which they start:

/// The command line.
pub mod cli;
/// The embedded Postgres.
pub mod postgres;

/// The in-process Kafka broker.
pub mod broker;
/// Both services in one process.
pub mod pair;

/// What it can do on this machine.
pub mod bench;
/// Everything together: what `passbook` does when told nothing else.
pub mod launcher;
/// One part on its own, as a process that can be killed.
pub mod part;
