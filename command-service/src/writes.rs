//! Health of writing to the log: lanes report refused batches, and a check calls the append
//! function every second.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use passbook_shared::fault::Fault;
use passbook_shared::health::{Health, Streak};
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error::{reason, violated_constraint, within};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::log::append;
use crate::metrics;

const EVERY: Duration = Duration::from_secs(1);
/// Maximum time of one check, including a new connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum time to wait for a partition's head that another session has locked.
const LOCK: &str = "1s";
/// Name of the readiness check.
const CHECK: &str = "postgres";

static REFUSED: Fault = Fault::new("commands cannot be committed");

/// State of writing, shared by the lanes and the check. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Writes(Arc<AtomicBool>);

impl Writes {
    /// Reports that Postgres has refused a batch.
    pub(crate) fn failed(&self, why: &str) {
        self.0.store(true, Ordering::Relaxed);
        REFUSED.occurred(why);
    }

    /// Reports that Postgres has accepted a batch.
    pub(crate) fn succeeded(&self) {
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
            REFUSED.ended();
        }
    }

    /// Checks one partition after the other until `shutdown`; stays with a failing one.
    ///
    /// # Errors
    /// Never fails: problems are reported in the readiness.
    pub async fn check(
        self,
        connect: PgConnectOptions,
        partitions: PartitionCount,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut connection = None;
        let mut streak = Streak::begin(Instant::now());
        let mut turns = partitions.all().cycle().peekable();
        while let Some(partition) = turns.peek().copied().filter(|_| !shutdown.is_cancelled()) {
            match within(PATIENCE, self.try_write(&mut connection, &connect, partition)).await {
                Ok(()) => {
                    self.succeeded();
                    streak.succeeded(Instant::now());
                    metrics::write_succeeded();
                    health.ok(CHECK);
                    // Only a success moves on, so that a failing partition stays visible.
                    turns.next();
                }
                Err(error) => {
                    // A check that timed out may still be running on it.
                    connection = None;
                    if let Some(silent) = streak.failed(Instant::now()) {
                        health.failing(CHECK, failing(partition, &error, silent));
                    }
                }
            }
            tokio::select! { () = sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }

    /// Calls the append function with an empty batch. After a refused batch, appends events as well
    /// and rolls them back, because an empty batch needs no disk space.
    async fn try_write(
        &self,
        connection: &mut Option<PgConnection>,
        connect: &PgConnectOptions,
        partition: Partition,
    ) -> sqlx::Result<()> {
        let connection = match connection {
            Some(connection) => connection,
            // The lock's limit is shorter than the check's, so that Postgres names the reason.
            none => none.insert(
                PgConnection::connect_with(&connect.clone().options([("lock_timeout", LOCK)]))
                    .await?,
            ),
        };
        let tried = match self.0.load(Ordering::Relaxed) {
            true => append::try_events(connection, partition).await,
            false => append::try_nothing(connection, partition).await,
        };
        match tried {
            // A violated constraint shows that the function runs; other checks report the rule.
            Err(error) if violated_constraint(&error).is_some() => Ok(()),
            tried => tried,
        }
    }
}

fn failing(partition: Partition, error: &sqlx::Error, silent: Duration) -> String {
    format!(
        "events cannot be appended (checked on partition {partition}): {}. The last success was \
         {} s ago",
        reason(error),
        silent.as_secs()
    )
}
