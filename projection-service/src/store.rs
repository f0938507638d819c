//! The views in Postgres. Each file below has all SQL of its table.

/// Current states, one row an account.
pub mod accounts;
/// A batch of events, applied in one round trip.
pub mod apply;
/// How far each partition has been applied.
pub mod checkpoints;
/// What the log itself has confirmed.
pub mod confirmed;
/// What was thrown away.
pub mod discarded;
/// Complete sets of views, one of them live.
pub mod generations;
/// One row an event, with the state after it.
pub mod history;
/// The sender's labels as the views hold them.
pub(crate) mod labels;
/// What was set aside.
pub mod quarantine;
/// Replays that were asked for.
pub mod replays;
/// The store's accepted restores.
pub mod restores;
/// Migrations and rights.
pub mod schema;
/// Whose log the views are of.
pub mod source;
/// Verifications of every instance.
pub mod verifications;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use passbook_shared::store_error::within;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// How long a query may wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a query may take in all: Postgres being away is answered within 2 s.
const READ_TIMEOUT: Duration = Duration::from_millis(1_900);
/// A connection idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_millis(500);

/// What is given up here is to end there too, and to make room.
fn queries(database: &PgConnectOptions) -> PgConnectOptions {
    let timeout = format!("{}ms", READ_TIMEOUT.as_millis());
    let options = generations::live_options(database).options([("statement_timeout", timeout)]);
    options.application_name("passbook-projection-queries")
}

/// The live generation's views, for queries. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Views {
    pool: Arc<OnceLock<PgPool>>,
}

impl Views {
    /// Answers queries from now on.
    pub fn open(&self, database: &PgConnectOptions, connections: u32) {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > FRESH {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(queries(database));
        // Whoever was first has opened the same.
        let _ = self.pool.set(pool);
    }

    /// Connections whose statements see the live generation.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolClosed`] before the database was reached for the first time.
    pub fn pool(&self) -> sqlx::Result<&PgPool> {
        self.pool.get().ok_or(sqlx::Error::PoolClosed)
    }

    /// Ends the connections, when nobody queries any more.
    pub async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close().await;
        }
    }

    /// The outcome of a query on [`Views::pool`], within the time a query may take.
    ///
    /// # Errors
    /// As the query; [`sqlx::Error::PoolTimedOut`] if it takes too long.
    pub async fn read<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        within(READ_TIMEOUT, query).await
    }
}
