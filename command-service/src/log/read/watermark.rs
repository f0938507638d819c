//! Watermarks: times up to which a partition records nothing more.

use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use super::LogReader;
use crate::log::in_time;

/// Maximum distance of a future moment that is waited for.
const NEAR: Duration = Duration::from_secs(1);

/// Error of a watermark in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is in the future: the current time is {now}")]
pub struct StillToCome {
    /// Time by the store's clock.
    pub now: Timestamp,
}

impl LogReader {
    /// Guarantees that the partition records nothing more at `moment` or earlier, and returns its
    /// last position. A moment slightly in the future is waited for, because clocks differ.
    ///
    /// # Errors
    /// The inner error means that the moment is further in the future.
    pub async fn advance_watermark(
        &self,
        partition: Partition,
        moment: Timestamp,
    ) -> Result<Result<i64, StillToCome>, sqlx::Error> {
        // A newer event already implies the watermark, without the lock that would make appends
        // wait.
        let sql =
            "SELECT position FROM passbook.log_head WHERE partition = $1 AND recorded_at > $2";
        let newer = sqlx::query_scalar(sql).bind(partition).bind(moment).fetch_optional(&self.feed);
        if let Some(position) = in_time(newer).await? {
            return Ok(Ok(position));
        }
        let deadline = Instant::now() + NEAR;
        loop {
            let sql = "SELECT passbook.settle($1, $2), clock_timestamp()";
            let query = sqlx::query_as(sql).bind(partition).bind(moment).fetch_one(&self.feed);
            let (position, now): (Option<i64>, Timestamp) = in_time(query).await?;
            if let Some(position) = position {
                return Ok(Ok(position));
            }
            let left = u64::try_from(moment.as_micros() - now.as_micros()).unwrap_or(0);
            // By the monotonic clock, because the machine's time of day may differ from the
            // store's.
            let past = Instant::now() + Duration::from_micros(left + 1);
            if past > deadline {
                return Ok(Err(StillToCome { now }));
            }
            sleep_until(past).await;
        }
    }

    /// Advances the watermark of every partition to a moment in the past. Does nothing for a moment
    /// in the future.
    pub async fn advance_watermarks(&self, moment: Timestamp) -> Result<(), sqlx::Error> {
        // Partitions with a newer event need nothing. The others are locked in the order of all
        // appends, which rules out deadlocks.
        let sql = "SELECT count(passbook.settle(h.partition, $1)) FROM (
                       SELECT partition FROM passbook.log_head WHERE recorded_at <= $1 ORDER BY
                       partition) AS h";
        in_time(sqlx::query(sql).bind(moment).execute(&self.pool)).await.map(drop)
    }
}
