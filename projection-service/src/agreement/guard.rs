//! Compares what the views have applied last with the log: each second where they move, now and then where they do not,
//! when partitions are given to this instance, and at once where the topic shows two events for one position.
//!
//! A difference has one of two causes. **A record of the topic that is not the log's** was applied: then the log is right,
//! and the views are corrected by it. **The log was changed**, as by a restore from a backup: then the views have what
//! nobody else has any more, and only an operator may give it up. They are told apart like this:
//!
//! - the relay has found a fork (`GET /v1/store` names it): the log was changed;
//! - an event that the log itself has confirmed earlier is not there any more: the log was changed;
//! - neither, for longer than a relay takes to notice that its database was restarted: the record was not the log's. At
//!   worst the views then give up what was applied in the second before a restore that also lost the topic.
//!
//! An acceptance raises the store's epoch. Then the views follow the log, whatever they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::disagreement::Disagreement;
use super::look::{Look, Verdict};
use crate::metrics;
use crate::replay::Ground;
use crate::replay::error::ReplayError;
use crate::store::confirmed::Confirmed;
use crate::store::{checkpoints, confirmed, generations, source};

const EVERY: Duration = Duration::from_secs(1);
/// How often to look at a partition that does not move.
const IDLE: Duration = Duration::from_secs(10);
/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

const CHECK: &str = "log";
/// Partitions that readiness names in full.
const NAMED: usize = 3;

/// The guard of the live views. Shared by those who read, apply and compare.
#[derive(Debug)]
pub(crate) struct Guard {
    ground: Ground,
    health: Health,
    ours: Mutex<BTreeSet<Partition>>,
    /// Positions from which on the views may have another event than the log.
    suspects: Mutex<BTreeMap<Partition, i64>>,
    /// Partitions of which nothing is applied.
    halted: Mutex<BTreeMap<Partition, Disagreement>>,
    /// Whether reading has to begin again from the checkpoints.
    changed: AtomicBool,
    wake: Notify,
    looking: tokio::sync::Mutex<Looking>,
}

#[derive(Debug, Default)]
struct Looking {
    connection: Option<PgConnection>,
    looked_at: BTreeMap<Partition, Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Guard {
    pub(crate) fn new(ground: Ground, health: Health) -> Self {
        health.ok(CHECK);
        Self {
            ground,
            health,
            ours: Mutex::default(),
            suspects: Mutex::default(),
            halted: Mutex::default(),
            changed: AtomicBool::new(false),
            wake: Notify::new(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// Guards these partitions from now on, and no others.
    pub(crate) fn assign(&self, partitions: impl IntoIterator<Item = Partition>) {
        let ours: BTreeSet<_> = partitions.into_iter().collect();
        lock(&self.halted).retain(|partition, _| ours.contains(partition));
        lock(&self.suspects).retain(|partition, _| ours.contains(partition));
        *lock(&self.ours) = ours;
        self.report();
    }

    /// Whether nothing of a partition is to be applied.
    pub(crate) fn is_halted(&self, partition: Partition) -> bool {
        lock(&self.halted).contains_key(&partition)
    }

    /// Whether reading has to begin again from the checkpoints, since this was last asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// From this position on the views may have another event than the log; looked at with the next look.
    pub(crate) fn suspect(&self, partition: Partition, position: i64) {
        let mut suspects = lock(&self.suspects);
        let suspect = suspects.entry(partition).or_insert(position);
        *suspect = position.min(*suspect);
    }

    /// Looks at once.
    pub(crate) fn hurry(&self) {
        self.wake.notify_one();
    }

    /// Looks again and again, until the shutdown.
    ///
    /// # Errors
    /// None: while Postgres or the log is away, all stays as it was last known.
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
            let looked = tokio::select! { looked = self.look() => looked, () = shutdown.cancelled() => break };
            if let Err(error) = looked {
                tracing::debug!(%error, "the views can't be compared with the log now");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Looks at the partitions that are due.
    ///
    /// # Errors
    /// Postgres or the command-service is away.
    pub(crate) async fn look(&self) -> Result<(), ReplayError> {
        let mut looking = self.looking.lock().await;
        let ours = lock(&self.ours).clone();
        if ours.is_empty() {
            return Ok(());
        }
        // After an error, or when this is given up half-way, the connection is not used again.
        let mut connection = match looking.connection.take() {
            Some(connection) => connection,
            None => self.ground.connect().await?,
        };
        generations::point_to_live(&mut connection).await?;
        let Some(source) = source::find(&mut connection).await? else { return Ok(()) };
        let mut confirmed = confirmed::all(&mut connection).await?;
        let checkpoints = checkpoints::all(&mut connection).await?;
        let mut failed: Option<ReplayError> = None;
        for checkpoint in
            checkpoints.into_iter().filter(|checkpoint| ours.contains(&checkpoint.partition))
        {
            let partition = checkpoint.partition;
            let confirmed = confirmed
                .remove(&partition)
                .unwrap_or(Confirmed { partition, ..Confirmed::default() });
            let suspect = lock(&self.suspects).remove(&partition);
            let is_settled = checkpoint.position == confirmed.position
                && checkpoint.event_id == confirmed.event_id;
            let lately = looking.looked_at.get(&partition).is_some_and(|at| at.elapsed() < IDLE);
            if is_settled && lately && suspect.is_none() && !self.is_halted(partition) {
                continue;
            }
            looking.looked_at.insert(partition, Instant::now());
            let since = self.comparing_since(partition);
            let look = Look { ground: &self.ground, source, checkpoint, confirmed, suspect, since };
            let verdict = look.now(&mut connection).await;
            let is_cleared = |suspect| match &verdict {
                // What was accepted and is not applied yet is looked at when it is.
                Ok(Verdict::Agrees) => suspect <= checkpoint.position || suspect == i64::MAX,
                Ok(Verdict::Corrected(_)) => true,
                Ok(Verdict::Moved | Verdict::Disagrees(_)) | Err(_) => false,
            };
            if let Some(suspect) = suspect.filter(|suspect| !is_cleared(*suspect)) {
                self.suspect(partition, suspect);
            }
            match verdict {
                Ok(verdict) => self.conclude(partition, verdict),
                // Others are looked at all the same.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.report();
        if let Some(error) = failed {
            return Err(error);
        }
        looking.connection = Some(connection);
        Ok(())
    }

    fn comparing_since(&self, partition: Partition) -> Option<Instant> {
        match lock(&self.halted).get(&partition) {
            Some(Disagreement::Comparing { since, .. }) => Some(*since),
            Some(_) | None => None,
        }
    }

    fn conclude(&self, partition: Partition, verdict: Verdict) {
        let changed = match verdict {
            Verdict::Agrees => lock(&self.halted).remove(&partition).is_some(),
            Verdict::Moved => false,
            Verdict::Disagrees(disagreement) => {
                lock(&self.halted).insert(partition, disagreement).is_none()
            }
            Verdict::Corrected(corrected) => {
                let (from, common, to) = (corrected.from, corrected.common, corrected.to);
                metrics::corrected(from - common);
                if common < from {
                    tracing::warn!(
                        partition,
                        from,
                        common,
                        to,
                        "the views had other events than the log: corrected"
                    );
                }
                lock(&self.halted).remove(&partition);
                true
            }
        };
        if changed {
            self.changed.store(true, Ordering::Release);
        }
    }

    fn report(&self) {
        let halted = lock(&self.halted).clone();
        let Some(first) = halted.values().next() else {
            self.health.ok(CHECK);
            return;
        };
        let reason = if let Disagreement::Foreign { .. } = first {
            first.to_string()
        } else {
            let named = halted
                .iter()
                .take(NAMED)
                .map(|(partition, why)| format!("partition {partition}: {why}"));
            let mut named = named.collect::<Vec<_>>().join("; ");
            if halted.len() > NAMED {
                named.push_str(&format!("; and {} more partitions", halted.len() - NAMED));
            }
            named
        };
        match halted.values().all(Disagreement::ends_by_itself) {
            true => self.health.degraded(CHECK, reason),
            false => self.health.failing(CHECK, reason),
        }
    }
}
