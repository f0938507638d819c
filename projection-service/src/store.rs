//! Storage of the views in Postgres. Each file has all SQL of its table.

/// Current states, one row per account.
pub mod accounts;
/// Application of a batch of events in one round trip.
pub mod apply;
/// Progress of each partition.
pub mod checkpoints;
/// Events that the log has confirmed.
pub mod confirmed;
/// Discarded events.
pub mod discarded;
/// Complete sets of views, one of which is live.
pub mod generations;
/// History: one row per event, with the state after it.
pub mod history;
/// Client metadata as the views hold it.
pub(crate) mod metadata;
/// Quarantined events.
pub mod quarantine;
/// Start of a replay.
pub mod replay_target;
/// Requested replays.
pub mod replays;
/// Accepted restores of the store.
pub mod restores;
/// Schema, migrations and rights.
pub mod schema;
/// Accounts that a query may show.
pub mod scope;
/// Store that the views are built from.
pub mod source;
/// Verifications of all instances.
pub mod verifications;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use passbook_shared::http::gate::Holder;
use passbook_shared::shares::{ShareTaken, Shares};
use passbook_shared::store_error::within;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::Instant;

use crate::metrics;

/// Maximum time a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Maximum time of a query, so that an outage of Postgres is answered within 2 s.
const READ_TIMEOUT: Duration = Duration::from_millis(1_900);
/// Idle time after which a connection is pinged before it is used.
const FRESH: Duration = Duration::from_millis(500);

/// Returns the connection settings of queries. Postgres cancels a query that the service has given
/// up, which frees its connection.
fn queries(database: &PgConnectOptions) -> PgConnectOptions {
    let timeout = format!("{}ms", READ_TIMEOUT.as_millis());
    let options = generations::live_options(database).options([("statement_timeout", timeout)]);
    options.application_name("passbook-projection-queries")
}

/// Connections to the live generation, for queries. Clones share one pool, of which each holder
/// uses at most half.
#[derive(Debug, Clone, Default)]
pub struct Views {
    connections: Arc<OnceLock<Connections>>,
    /// Number of queries that run or wait for a connection.
    running: Arc<AtomicU32>,
    /// Holder of the share that the queries use; none for those of the service itself.
    holder: Option<Holder>,
}

#[derive(Debug)]
struct Connections {
    pool: PgPool,
    /// Bound the connections that a holder waits for or has.
    shares: Shares,
}

/// Counts a query as running until it is dropped.
struct Running<'v>(&'v AtomicU32);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Views {
    /// Opens the pool, which connects on first use.
    pub fn open(&self, database: &PgConnectOptions, connections: u32) {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // The ping below replaces this test, which would cost a round trip per query.
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
        // A second call would open the same pool: keep the first.
        let shares = Shares::half_of(connections as usize);
        if self.connections.set(Connections { pool: pool.clone(), shares }).is_ok() {
            metrics::sample_pool(&pool, Arc::clone(&self.running));
        }
    }

    /// Returns connections whose statements see the live generation.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolClosed`] before the database was first reached.
    pub fn pool(&self) -> sqlx::Result<&PgPool> {
        self.connections().map(|connections| &connections.pool)
    }

    fn connections(&self) -> sqlx::Result<&Connections> {
        self.connections.get().ok_or(sqlx::Error::PoolClosed)
    }

    /// Returns the views for the queries of a holder, which get its share of the connections.
    #[must_use]
    pub fn of(&self, holder: Holder) -> Self {
        Self { holder: Some(holder), ..self.clone() }
    }

    /// Closes the pool once its queries have ended.
    pub async fn close(&self) {
        if let Ok(pool) = self.pool() {
            pool.close().await;
        }
    }

    /// Runs a query on [`Views::pool`], within the maximum time of a query.
    ///
    /// # Errors
    /// The error of the query; [`sqlx::Error::PoolTimedOut`] if it takes too long.
    pub async fn read<'v, T, Query>(
        &'v self,
        query: impl FnOnce(&'v PgPool) -> Query,
    ) -> sqlx::Result<T>
    where
        Query: Future<Output = sqlx::Result<T>>,
    {
        let Connections { pool, shares } = self.connections()?;
        self.running.fetch_add(1, Ordering::Relaxed);
        let _running = Running(&self.running);
        let holder = self.holder.as_ref().map(|Holder(name)| &**name);
        let in_share = async {
            let deadline = Instant::now() + ACQUIRE_TIMEOUT;
            let place = shares.take(holder, 1, deadline).await;
            let _place = place.map_err(|ShareTaken| sqlx::Error::PoolTimedOut)?;
            query(pool).await
        };
        let found = within(READ_TIMEOUT, in_share).await;
        if matches!(found, Err(sqlx::Error::PoolTimedOut)) {
            metrics::query_timed_out();
        }
        found
    }
}
