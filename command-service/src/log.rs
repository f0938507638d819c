//! The log in Postgres: all SQL of the command-service, a table or a journey a file.

pub(crate) mod access;
/// The append: events, keys and checks in one call.
pub mod append;
/// Whether the log obeys the rules, and what is kept beside it.
pub mod check;
/// The log's time.
pub mod clock;
pub(crate) mod connection;
/// Accounts by when their entries count from.
pub mod effective;
/// What the relay asks of the log.
pub mod feed;
/// Idempotency keys that have been kept for long enough.
pub mod keys;
/// Accounts folded from their newest snapshot and the events after it.
pub mod load;
/// Outcomes of earlier commands.
pub mod outcomes;
/// What states do not keep, as far as commands need it.
pub mod past;
pub(crate) mod preparation;
pub(crate) mod prior_outcomes;
/// Reading the log for people and for the projection.
pub mod read;
pub(crate) mod rebuild;
/// Accepted restores, and forks that are yet to be resolved.
pub mod restores;
/// Rows of `events`.
pub mod rows;
/// The key that authenticates snapshots.
pub mod snapshot_key;
/// Folded accounts, written behind the append.
pub mod snapshots;
pub(crate) mod state_cache;
/// Which store this is; migrations.
pub mod store;

use std::time::Duration;

use passbook_shared::store_error::within;

/// How long a read may take: a Postgres that does not answer is as good as away.
const DEADLINE: Duration = Duration::from_secs(10);

/// A read that took too long is told like a Postgres that can't be reached.
pub(crate) async fn in_time<T, E: From<sqlx::Error>>(
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    within(DEADLINE, read).await
}
