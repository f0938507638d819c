//! Log in Postgres. Contains nearly all SQL of the command-service, in one file for each table or
//! use case.

pub(crate) mod access;
/// Append of events and idempotency keys in one call.
pub mod append;
/// Consistency check of the log and its derived tables.
pub mod check;
/// Clock of the log.
pub mod clock;
pub(crate) mod connection;
/// Accounts by effective time.
pub mod effective;
/// Queries of the relay.
pub mod feed;
/// Deletion of expired idempotency keys.
pub mod keys;
/// Loading of accounts from a snapshot and the events after it.
pub mod load;
/// State of an account at a version.
pub mod loaded;
/// Outcomes of earlier commands, by idempotency key or command id.
pub mod outcomes;
/// Queries of facts that account states do not contain.
pub mod past;
pub(crate) mod preparation;
pub(crate) mod prepared_command;
pub(crate) mod prior_outcomes;
/// Queries of clients and of the projection-service.
pub mod read;
pub(crate) mod rebuild;
/// Accepted restores and unresolved forks.
pub mod restores;
/// Mapping of rows of the table `events`.
pub mod rows;
/// Key that authenticates snapshots.
pub mod snapshot_key;
/// Snapshots of accounts, written asynchronously.
pub mod snapshots;
pub(crate) mod state_cache;
/// Identity of the store, and its migrations.
pub mod store;
/// Numbers of accounts and open holds of tenants.
pub mod tenants;

use std::time::Duration;

use passbook_shared::store_error::within;

/// Maximum duration of a read.
const DEADLINE: Duration = Duration::from_secs(10);

/// Limits a read to [`DEADLINE`]. A timeout is reported as [`sqlx::Error::PoolTimedOut`], like an
/// unreachable Postgres.
pub(crate) async fn in_time<T, E: From<sqlx::Error>>(
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    within(DEADLINE, read).await
}
