//! Retention of idempotency keys. The table is scanned by its pages, a few at a time, because an
//! index by age would slow down every append.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::log::{in_time, keys};
use crate::metrics;

/// Number of pages (8 KiB each) deleted from at a time. With the pause, at most 16 MiB/s are read.
const PAGES: i64 = 512;
const PAUSE: Duration = Duration::from_millis(250);
/// Pause between two passes over the table.
const EVERY: Duration = Duration::from_secs(3600);

/// Pass over the table, or pause after it.
#[derive(Debug)]
pub(super) struct Sweep {
    keep: Duration,
    page: i64,
    next_pass: Instant,
}

impl Sweep {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, page: 0, next_pass: Instant::now() }
    }

    /// Continues the pass until `until` or its end.
    pub(super) async fn advance(
        &mut self,
        connection: &mut PgConnection,
        until: Instant,
    ) -> sqlx::Result<()> {
        while Instant::now() >= self.next_pass && Instant::now() < until {
            let forgotten =
                in_time(keys::forget(connection, self.page..self.page + PAGES, self.keep)).await?;
            metrics::keys_forgotten(forgotten);
            self.page += PAGES;
            if self.page >= in_time(keys::pages(connection)).await? {
                (self.page, self.next_pass) = (0, Instant::now() + EVERY);
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
