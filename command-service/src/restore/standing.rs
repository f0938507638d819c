//! Epoch and forked partitions of the store, in memory. Refreshed every second and after every
//! refused append. Every instance thus refuses commands on a fork and reports unready, whichever
//! instance's relay has found the fork.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::epoch::Epoch;
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_description::Fork;
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::log::{in_time, restores};
use crate::metrics;

const EVERY: Duration = Duration::from_secs(1);
/// Maximum number of forks that readiness describes in full.
const DESCRIBED: usize = 3;

/// Epoch and forks of the store. Cheap to clone; clones share their state.
#[derive(Debug, Clone)]
pub struct Standing {
    known: Arc<watch::Sender<Known>>,
    health: Health,
}

#[derive(Debug, Default)]
struct Known {
    epoch: Epoch,
    forks: BTreeMap<Partition, Fork>,
}

impl Standing {
    /// Creates an empty standing that reports forks in `health`.
    pub fn new(health: Health) -> Self {
        Self { known: Arc::default(), health }
    }

    /// Returns the epoch of the store.
    pub fn epoch(&self) -> Epoch {
        self.known.borrow().epoch
    }

    /// Returns whether any partition is forked.
    pub fn has_forks(&self) -> bool {
        !self.known.borrow().forks.is_empty()
    }

    /// Returns the fork of the first forked one of `partitions`.
    pub fn fork(&self, partitions: impl IntoIterator<Item = Partition>) -> Option<Fork> {
        let known = self.known.borrow();
        partitions.into_iter().find_map(|partition| known.forks.get(&partition).cloned())
    }

    /// Reads epoch and forks from the store.
    pub async fn refresh(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let known = in_time(async {
            let epoch = restores::epoch(&mut *connection).await?;
            let forks = restores::forks(&mut *connection).await?;
            Ok::<_, sqlx::Error>(Known {
                epoch,
                forks: forks.into_iter().map(|fork| (fork.partition, fork)).collect(),
            })
        })
        .await?;
        self.take(known);
        Ok(())
    }

    fn take(&self, known: Known) {
        metrics::forked_partitions(known.forks.len());
        if known.forks.is_empty() {
            self.health.ok("log");
        } else {
            self.health.failing("log", describe(known.forks.values()));
        }
        // `send` would keep the old value while nobody subscribes.
        self.known.send_replace(known);
    }

    /// Refreshes every second until `shutdown`.
    ///
    /// # Errors
    /// Never fails: while Postgres is unavailable, the last state is kept.
    pub async fn keep(self, pool: PgPool, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            let asked = async { self.refresh(&mut *pool.acquire().await?).await };
            if let Err(error) = asked.await {
                tracing::debug!(%error, "the forks of the store cannot be read");
            }
            tokio::select! { () = sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }
}

/// Describes the forks for operators.
fn describe<'f>(forks: impl ExactSizeIterator<Item = &'f Fork>) -> String {
    let more = forks.len().saturating_sub(DESCRIBED);
    let forks = forks.take(DESCRIBED).map(|fork| {
        let Fork { partition, log_position, topic_position, reason } = fork;
        format!(
            "partition {partition} (the log ends at {log_position}, the topic at \
                 {topic_position}): {reason}"
        )
    });
    let mut text = forks.collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more partitions"));
    }
    format!(
        "the log is behind the topic, as after a restore from a backup. Forked partitions publish \
         nothing and answer commands with 503 until `passbook restore accept` resolves the forks: \
         {text}"
    )
}
