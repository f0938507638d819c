//! The log in Postgres: all SQL of the command-service, a table or a journey a file.

/// The append: events, keys and checks in one call.
pub mod append;
/// Accounts folded from their newest snapshot and the events after it.
pub mod load;
/// What came of earlier commands, by idempotency key or command id.
pub mod outcomes;
/// Folded accounts, written behind the append.
pub mod snapshots;
/// Rows of `events`.
pub mod rows;
/// Which store this is; migrations.
pub mod store;
/// Reading the log for people and for the projection.
pub mod read;
