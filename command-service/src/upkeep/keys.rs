//! Idempotency keys are kept for a time, and then forgotten. The table is read from its beginning to its end by its pages,
//! a few at a time: an index by age would cost every append, and this costs it nothing.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::log::{in_time, keys};
use crate::metrics;

/// Pages of the table (8 KiB each) at a time, and the pause after them: 16 MiB/s at most.
const PAGES: i64 = 512;
const PAUSE: Duration = Duration::from_millis(250);
/// From the end of one pass over the table to the beginning of the next.
const EVERY: Duration = Duration::from_secs(3600);

/// A pass over the table, or the pause after it.
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

    /// Goes on with the pass, until `until` or its end.
    pub(super) async fn go_on(
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
