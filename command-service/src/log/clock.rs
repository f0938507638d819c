//! Clock of the log: Postgres's time, read once a second, and the machine's monotonic clock in
//! between. The machine's own time of day is never used, because it may be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use tokio::time::sleep;

use super::in_time;

/// Interval of the readings. Clocks drift by less than 100 µs in this time.
const EVERY: Duration = Duration::from_secs(1);

/// Clock of the log as known to this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogClock(Arc<Readings>);

#[derive(Debug)]
struct Readings {
    started: Instant,
    /// Postgres's time at `started` by the newest reading, in microseconds.
    base: AtomicI64,
    /// Time of the newest known event of each partition, in microseconds: a lower bound of later
    /// events.
    newest: Box<[AtomicI64]>,
}

impl LogClock {
    /// Creates the clock of a log with the given number of partitions, set to `now`.
    pub fn new(partitions: PartitionCount, now: Timestamp) -> Self {
        let newest = partitions.all().map(|_| AtomicI64::new(i64::MIN)).collect();
        Self(Arc::new(Readings {
            started: Instant::now(),
            base: AtomicI64::new(now.as_micros()),
            newest,
        }))
    }

    /// Creates the clock, set to Postgres's time.
    pub async fn read(pool: &PgPool, partitions: PartitionCount) -> sqlx::Result<Self> {
        Ok(Self::new(partitions, postgres_time(pool).await?))
    }

    /// Reads Postgres's clock every second until `shutdown`.
    ///
    /// # Errors
    /// Never fails: while Postgres is unavailable, the last reading is used.
    pub async fn run(self, pool: PgPool, shutdown: CancellationToken) -> anyhow::Result<()> {
        while shutdown.run_until_cancelled(sleep(EVERY)).await.is_some() {
            match shutdown.run_until_cancelled(postgres_time(&pool)).await {
                Some(Ok(now)) => {
                    // `elapsed` is read after the answer, so the clock may lag behind Postgres but
                    // not lead.
                    self.0.base.store(now.as_micros() - self.elapsed(), Ordering::Relaxed)
                }
                // The write check reports an unavailable Postgres.
                Some(Err(error)) => tracing::debug!(%error, "Postgres's clock cannot be read"),
                None => break,
            }
        }
        Ok(())
    }

    /// Returns a time not earlier than any known event of any partition.
    pub fn now(&self) -> Timestamp {
        self.at_least(self.0.newest.iter().map(|newest| newest.load(Ordering::Relaxed)).max())
    }

    /// Returns a time not earlier than any known event of one partition.
    pub fn now_in(&self, partition: Partition) -> Timestamp {
        self.at_least(self.newest(partition).map(|newest| newest.load(Ordering::Relaxed)))
    }

    /// Returns the time in each of the given partitions.
    pub(crate) fn times(
        &self,
        partitions: impl Iterator<Item = Partition>,
    ) -> BTreeMap<Partition, Timestamp> {
        let mut times = BTreeMap::new();
        for partition in partitions {
            times.entry(partition).or_insert_with(|| self.now_in(partition));
        }
        times
    }

    /// Takes note of the time of an event of a partition.
    pub fn recorded(&self, partition: Partition, at: Timestamp) {
        if let Some(newest) = self.newest(partition) {
            // Lanes report at once and in any order.
            newest.fetch_max(at.as_micros(), Ordering::Relaxed);
        }
    }

    fn at_least(&self, newest: Option<i64>) -> Timestamp {
        let now = self.0.base.load(Ordering::Relaxed) + self.elapsed();
        Timestamp::from_micros(now.max(newest.unwrap_or(i64::MIN))).unwrap_or(Timestamp::LAST)
    }

    fn newest(&self, partition: Partition) -> Option<&AtomicI64> {
        self.0.newest.get(partition.index())
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

async fn postgres_time(pool: &PgPool) -> sqlx::Result<Timestamp> {
    in_time(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_s_time_is_bounded_by_its_own_newest_event_only() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let ahead: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let clock = LogClock::new(PartitionCount::new(2), start);
        clock.recorded(Partition::new(1), ahead);
        clock.recorded(Partition::new(1), start);
        clock.recorded(Partition::new(9), ahead);
        assert!((start..ahead).contains(&clock.now_in(Partition::new(0))));
        assert_eq!((clock.now_in(Partition::new(1)), clock.now()), (ahead, ahead));
    }
}
