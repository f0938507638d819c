//! The store's epoch and its forked partitions, kept in memory: asked for each second, and whenever an append is refused.
//! Every instance so refuses commands and is not ready, whichever instance's relay has found the fork.

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
/// Forks that readiness tells in full.
const TOLD: usize = 3;

/// The epoch and the forks. Cheap to clone; all clones are the same.
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
    /// What nothing is known of yet; says at `health` whether the log is forked.
    pub fn new(health: Health) -> Self {
        Self { known: Arc::default(), health }
    }

    /// The epoch of the store.
    pub fn epoch(&self) -> Epoch {
        self.known.borrow().epoch
    }

    /// Whether any partition is forked.
    pub fn has_forks(&self) -> bool {
        !self.known.borrow().forks.is_empty()
    }

    /// The fork of the first of these partitions that is forked.
    pub fn fork(&self, partitions: impl IntoIterator<Item = Partition>) -> Option<Fork> {
        let known = self.known.borrow();
        partitions.into_iter().find_map(|partition| known.forks.get(&partition).cloned())
    }

    /// Asks the store.
    ///
    /// # Errors
    /// As any query.
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
        metrics::forked_partitions(known.forks.len());
        if known.forks.is_empty() {
            self.health.ok("log");
        } else {
            self.health.failing("log", told(known.forks.values()));
        }
        self.known.send_replace(known);
        Ok(())
    }

    /// Asks the store each second until `shutdown`.
    ///
    /// # Errors
    /// None: while Postgres is away, all stays as it was last known.
    pub async fn keep(self, pool: PgPool, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            let asked = async { self.refresh(&mut *pool.acquire().await?).await };
            if let Err(error) = asked.await {
                tracing::debug!(%error, "the store can't be asked for its forks now");
            }
            tokio::select! { () = sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }
}

/// The forks, for people.
fn told<'f>(forks: impl ExactSizeIterator<Item = &'f Fork>) -> String {
    let more = forks.len().saturating_sub(TOLD);
    let forks = forks.take(TOLD).map(|fork| {
        let Fork { partition, log_position, topic_position, reason } = fork;
        format!("partition {partition} (the log ends at {log_position}, the topic at {topic_position}): {reason}")
    });
    let mut told = forks.collect::<Vec<_>>().join("; ");
    if more > 0 {
        told.push_str(&format!("; and {more} more partitions"));
    }
    format!(
        "the log is behind the topic, as after a restore from a backup. Nothing is published from forked partitions, and \
         commands on them get 503, until `passbook restore accept` resolves it: {told}"
    )
}
