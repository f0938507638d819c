//! How writing to the log goes. Lanes tell when Postgres refused; a check calls the append itself every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use passbook_shared::fault::Fault;
use passbook_shared::health::{Health, Streak};
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error::{reason, violated_constraint, within};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::log::append;
use crate::metrics;

const EVERY: Duration = Duration::from_secs(1);
/// Maximum time of one check, with the connection that it may need.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum time for which another session may hold the head of a partition.
const LOCK: &str = "1s";
/// The readiness check.
const CHECK: &str = "postgres";

static REFUSED: Fault = Fault::new("commands can't be made durable");

/// Shared by the lanes and the check. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Writes(Arc<AtomicBool>);

impl Writes {
    /// Postgres did not take a batch.
    pub(crate) fn failed(&self, why: &str) {
        self.0.store(true, Ordering::Relaxed);
        REFUSED.occurred(why);
    }

    /// Postgres took a batch.
    pub(crate) fn succeeded(&self) {
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
            REFUSED.ended();
        }
    }

    /// Checks until the shutdown, one partition after the other; stays with one that fails.
    ///
    /// # Errors
    /// None: what is wrong is in the readiness.
    pub async fn check(
        self,
        connect: PgConnectOptions,
        partitions: Partition,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut connection = None;
        let mut streak = Streak::begin(Instant::now());
        let mut partition = 0;
        while !shutdown.is_cancelled() {
            match within(PATIENCE, self.try_write(&mut connection, &connect, partition)).await {
                Ok(()) => {
                    self.succeeded();
                    streak.succeeded(Instant::now());
                    metrics::write_succeeded();
                    health.ok(CHECK);
                    partition = (partition + 1) % partitions;
                }
                Err(error) => {
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

    /// Appends nothing, by the function that appends. After a lane had a batch refused, events as well, which are rolled
    /// back: an append of nothing needs no space on the disk.
    async fn try_write(
        &self,
        connection: &mut Option<PgConnection>,
        connect: &PgConnectOptions,
        partition: Partition,
    ) -> sqlx::Result<()> {
        let connection = match connection {
            Some(connection) => connection,
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
            // A rule of the log refused, so the function runs: another check tells of the rule.
            Err(error) if violated_constraint(&error).is_some() => Ok(()),
            tried => tried,
        }
    }
}

fn failing(partition: Partition, error: &sqlx::Error, silent: Duration) -> String {
    format!(
        "events can't be appended (tried on partition {partition}): {}. The last success was {} s ago",
        reason(error),
        silent.as_secs()
    )
}
