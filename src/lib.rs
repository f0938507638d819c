//! Runs Passbook whole on one machine: an embedded Postgres, an in-process broker, and both services. A library, so
//! that the end-to-end tests and the benchmark start the same parts.

/// The in-process Kafka broker.
pub mod broker;
/// The embedded Postgres.
pub mod postgres;
