//! A connection to the log that is opened when it is needed.

use std::time::Duration;

use passbook_shared::store_error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout_at};

use super::state_cache::CacheGuard;

const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that may be closed.
#[derive(Debug)]
pub(crate) struct LogConnection {
    options: PgConnectOptions,
    pub(crate) open: Option<PgConnection>,
    /// Time at which it was opened.
    pub(crate) opened: Instant,
    /// True if Postgres could not be reached the last time.
    pub(crate) is_down: bool,
}

impl LogConnection {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self { options, open: None, opened: Instant::now(), is_down: false }
    }

    /// Opens the connection if it is closed, and discards the states from before it: meanwhile a
    /// backup may have replaced the log. Fails with the reason if Postgres can't be reached before
    /// the deadline.
    pub(crate) async fn ensure(
        &mut self,
        caches: &mut CacheGuard,
        deadline: Instant,
    ) -> Result<(), Option<String>> {
        while self.open.is_none() {
            if Instant::now() >= deadline {
                return Err(None);
            }
            match timeout_at(deadline, PgConnection::connect_with(&self.options)).await {
                Ok(Ok(connection)) => {
                    self.open = Some(connection);
                    // After the connect: a time that is too late only makes the relay read the log
                    // once more.
                    (self.opened, self.is_down) = (Instant::now(), false);
                    caches.clear();
                    // Caches that are not locked here are cleared when they are locked next.
                    caches.begin_era();
                }
                // While Postgres is known to be down, a batch fails at once instead of after its
                // patience.
                Ok(Err(_)) if !self.is_down && Instant::now() + RECONNECT_PAUSE < deadline => {
                    sleep(RECONNECT_PAUSE).await;
                }
                refused => {
                    self.is_down = true;
                    let error = refused.unwrap_or(Err(sqlx::Error::PoolTimedOut)).err();
                    return Err(Some(error.as_ref().map(store_error::reason).unwrap_or_default()));
                }
            }
        }
        Ok(())
    }
}
