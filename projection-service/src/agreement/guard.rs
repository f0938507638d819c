//! Periodic comparison of the last applied events with the log. It takes place every second for
//! partitions that apply events, and every ten seconds for idle ones unless a partition disagrees.
//! It also takes place after an assignment, and at once if the topic has two events for one
//! position.
//!
//! A difference has one of two causes. If **a forged record was applied**, the guard corrects the
//! views from the log. If **the log was changed**, for example restored from a backup, the views
//! have events that the log lost. Only an operator may give those up. The guard distinguishes the
//! causes:
//!
//! - The log was changed if the relay found a fork, which `GET /v1/store` reports.
//! - The log was changed if it lost an event that it had confirmed before.
//! - Otherwise the record was forged. The guard decides so only after the time that a relay needs
//!   to detect a restart of its database. If a restore also lost the topic, the views may lose
//!   events of the second before it.
//!
//! An accepted restore raises the store's epoch. The views then follow the log in every case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::disagreement::Disagreement;
use super::look::{Look, Verdict};
use crate::checkpoint::Checkpoint;
use crate::replay::ReplayDeps;
use crate::replay::error::ReplayError;
use crate::store::confirmed::Confirmed;
use crate::store::{checkpoints, confirmed, generations, source};

mod conclusion;
mod readiness;

const EVERY: Duration = Duration::from_secs(1);
/// Interval of comparisons of an idle partition.
const IDLE: Duration = Duration::from_secs(10);
/// Minimum time between two rounds.
const PAUSE: Duration = Duration::from_millis(100);

const CHECK: &str = "log";

/// Guard of the live views. The reader, the applier and its own task share it.
#[derive(Debug)]
pub(crate) struct Guard {
    deps: ReplayDeps,
    health: Health,
    ours: Mutex<BTreeSet<Partition>>,
    /// First position per partition at which the views may differ from the log.
    suspects: Mutex<BTreeMap<Partition, i64>>,
    /// Partitions whose events are not applied.
    halted: Mutex<BTreeMap<Partition, Disagreement>>,
    /// True if the reader must start over from the checkpoints.
    changed: AtomicBool,
    wake: Notify,
    looking: tokio::sync::Mutex<Looking>,
}

#[derive(Debug, Default)]
struct Looking {
    connection: Option<PgConnection>,
    looked_at: BTreeMap<Partition, Instant>,
}

impl Guard {
    pub(crate) fn new(deps: ReplayDeps, health: Health) -> Self {
        health.ok(CHECK);
        Self {
            deps,
            health,
            ours: Mutex::default(),
            suspects: Mutex::default(),
            halted: Mutex::default(),
            changed: AtomicBool::new(false),
            wake: Notify::new(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// Replaces the set of guarded partitions.
    pub(crate) fn assign(&self, partitions: impl IntoIterator<Item = Partition>) {
        let ours: BTreeSet<_> = partitions.into_iter().collect();
        self.halted.lock().retain(|partition, _| ours.contains(partition));
        self.suspects.lock().retain(|partition, _| ours.contains(partition));
        *self.ours.lock() = ours;
        self.report();
    }

    /// Returns whether a partition's events must not be applied.
    pub(crate) fn is_halted(&self, partition: Partition) -> bool {
        self.halted.lock().contains_key(&partition)
    }

    /// Returns whether the reader must start over, and resets the flag.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// Requests the next round to compare a partition from `position` on.
    pub(crate) fn suspect(&self, partition: Partition, position: i64) {
        let mut suspects = self.suspects.lock();
        let suspect = suspects.entry(partition).or_insert(position);
        *suspect = position.min(*suspect);
    }

    /// Starts a round at once.
    pub(crate) fn hurry(&self) {
        self.wake.notify_one();
    }

    /// Compares until the shutdown.
    ///
    /// # Errors
    /// Never fails. While Postgres or the log is unreachable, the last known state remains.
    pub(crate) async fn run(
        self: std::sync::Arc<Self>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.wake.notified() => {}
                () = shutdown.cancelled() => break,
            }
            let looked = tokio::select! {
                looked = self.look() => looked,
                () = shutdown.cancelled() => break,
            };
            if let Err(error) = looked {
                tracing::debug!(%error, "the views can't be compared with the log now");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Compares the partitions that are due.
    ///
    /// # Errors
    /// Postgres or the command-service is unreachable.
    pub(crate) async fn look(&self) -> Result<(), ReplayError> {
        let mut looking = self.looking.lock().await;
        let ours = self.ours.lock().clone();
        if ours.is_empty() {
            return Ok(());
        }
        // Taken, so that an error or a cancellation drops the connection.
        let mut connection = match looking.connection.take() {
            Some(connection) => connection,
            None => self.deps.connect().await?,
        };
        generations::point_to_live(&mut connection).await?;
        let Some(source) = source::find(&mut connection).await? else { return Ok(()) };
        let mut confirmed = confirmed::all(&mut connection).await?;
        let checkpoints = checkpoints::all(&mut connection).await?;
        // A restore of the log concerns all partitions: a disagreement of one makes all due, and so
        // does an epoch that only some have followed.
        let is_quiet = self.halted.lock().is_empty();
        let newest = confirmed.values().map(|confirmed| confirmed.store_epoch).max();
        let mut failed: Option<ReplayError> = None;
        for checkpoint in checkpoints {
            let partition = checkpoint.partition;
            if !ours.contains(&partition) {
                continue;
            }
            let none = Confirmed { partition, position: 0, event_id: None, store_epoch: 0 };
            let confirmed = confirmed.remove(&partition).unwrap_or(none);
            // A suspicion that arises during the comparison must survive it.
            let suspect = self.suspects.lock().remove(&partition);
            let is_current = is_quiet && Some(confirmed.store_epoch) == newest;
            let lately = looking.looked_at.get(&partition).is_some_and(|at| at.elapsed() < IDLE);
            if is_current && lately && suspect.is_none() && confirmed.confirms(&checkpoint) {
                continue;
            }
            looking.looked_at.insert(partition, Instant::now());
            let since = self.comparing_since(partition);
            let look = Look { deps: &self.deps, source, checkpoint, confirmed, suspect, since };
            // An error in one partition must not prevent the comparison of the others.
            if let Err(error) = self.compare(&look, &mut connection).await {
                failed = failed.or(Some(error));
            }
        }
        self.report();
        if let Some(error) = failed {
            return Err(error);
        }
        looking.connection = Some(connection);
        Ok(())
    }

    /// Compares one partition. Keeps its suspect position unless the comparison clears it.
    async fn compare(
        &self,
        look: &Look<'_>,
        connection: &mut PgConnection,
    ) -> Result<(), ReplayError> {
        let Checkpoint { partition, position, .. } = look.checkpoint;
        let verdict = look.now(connection).await;
        let is_cleared = |suspect: i64| match &verdict {
            // An event that is accepted but not yet applied is compared once it is applied.
            Ok(Verdict::Agrees) => suspect <= position || suspect == i64::MAX,
            Ok(Verdict::Corrected(_)) => true,
            Ok(Verdict::Moved | Verdict::Disagrees(_)) | Err(_) => false,
        };
        if let Some(suspect) = look.suspect.filter(|suspect| !is_cleared(*suspect)) {
            self.suspect(partition, suspect);
        }
        self.conclude(partition, verdict?);
        Ok(())
    }

    fn comparing_since(&self, partition: Partition) -> Option<Instant> {
        match self.halted.lock().get(&partition) {
            Some(Disagreement::Comparing { since, .. }) => Some(*since),
            Some(_) | None => None,
        }
    }
}
