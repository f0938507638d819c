//! Comparison of the views with the log: folds the whole log and compares every row of the live
//! views with the result. The command-service checks the log itself against its rules.
//!
//! Queries and commands continue during the comparison. Each partition is read in one snapshot of
//! the database, and the log is folded up to the position of the checkpoint in that snapshot.

mod compare;
mod error;
mod fold;
/// Requested verifications.
pub mod jobs;
mod log;
mod partition;
mod progress;
mod recent;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::feed::Feed;
use crate::metrics;
use crate::store::source::{self, Source};
use crate::store::{accounts, checkpoints, generations, history, verifications};
use error::VerifyError;
use jobs::{Job, Jobs, State};
use passbook_shared::difference::{Difference, DifferenceKind, Findings};
use progress::Progress;

/// Number of partitions compared concurrently.
const AT_ONCE: usize = 2;

/// Interval at which the state of a verification is stored.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

static NOT_SAVED: Fault = Fault::new("failed to store the state of a verification");

/// Dependencies of verifications.
#[derive(Debug, Clone)]
pub struct VerifyDeps {
    /// Database of the views.
    pub database: PgConnectOptions,
    /// Client of the command-service's log.
    pub feed: Feed,
}

/// Runs requested verifications one after the other until the shutdown.
///
/// # Errors
/// Never fails. An error is stored with its verification.
pub async fn run(
    deps: VerifyDeps,
    jobs: Arc<Jobs>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        // A save must not delay the next one.
        .acquire_timeout(SAVE_INTERVAL)
        .connect_lazy_with(deps.options());
    loop {
        let id =
            tokio::select! { id = jobs.next() => id, () = shutdown.cancelled() => return Ok(()) };
        let progress = Progress::new(Arc::clone(&jobs), id);
        // A separate task, so that a panic does not end the service.
        let mut work = JoinSet::new();
        work.spawn(verify(deps.clone(), progress));
        let mut tick = tokio::time::interval(SAVE_INTERVAL);
        let ended = loop {
            tokio::select! {
                ended = work.join_next() => break ended,
                _ = tick.tick() => if let Some(job) = jobs.find(id) { save(&pool, &job).await },
                // Dropping `work` aborts the comparison.
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        let error = match ended {
            Some(Ok(Ok(()))) | None => None,
            Some(Ok(Err(error))) => Some(error.to_string()),
            Some(Err(panicked)) => Some(panicked.to_string()),
        };
        if let (None, Some(job)) = (&error, jobs.find(id)) {
            metrics::verified(job.findings.count);
        }
        log_end(id, error.as_deref(), jobs.find(id).map_or(0, |job| job.findings.count));
        let state = if error.is_some() { State::Failed } else { State::Done };
        // Stored before it ends here: a client that sees the end may start the next one on any
        // instance.
        if let Some(mut job) = jobs.find(id) {
            (job.state, job.error, job.ended_at) = (state, error, Some(Timestamp::now()));
            save(&pool, &job).await;
            jobs.change(id, |kept| *kept = job);
        }
    }
}

fn log_end(id: Uuid, error: Option<&str>, differences: u64) {
    match (error, differences) {
        (Some(error), _) => {
            tracing::error!(verify.id = %id, error, "failed to compare the views with the log");
        }
        (None, 0) => tracing::info!(verify.id = %id, "the views match the log"),
        (None, _) => tracing::error!(
            verify.id = %id,
            differences,
            "the views differ from the log, or the log breaks its rules"
        ),
    }
}

/// Stores the state of a verification, for other instances.
async fn save(database: &PgPool, job: &Job) {
    let body = serde_json::to_value(job).unwrap_or_default();
    match verifications::save(database, job.id, job.state == State::Running, &body).await {
        Ok(()) => NOT_SAVED.ended(),
        Err(error) => NOT_SAVED.occurred(store_error::reason(&error)),
    }
}

/// Compares all partitions.
async fn verify(deps: VerifyDeps, progress: Progress) -> Result<(), VerifyError> {
    let log = deps.feed.source().await?;
    let mut snapshot = generations::snapshot_live(&deps.options()).await?;
    if let Some(views) = source::find(&mut snapshot).await?.filter(|views| *views != log) {
        return Err(VerifyError::Foreign { views, log });
    }
    let mut orphans = outside(&mut snapshot, log, &progress).await?;
    // An open snapshot would prevent the removal of old row versions by vacuum.
    drop(snapshot);

    let mut waiting: VecDeque<Partition> = log.partitions.all().collect();
    let mut verifier = JoinSet::new();
    loop {
        while verifier.len() < AT_ONCE
            && let Some(partition) = waiting.pop_front()
        {
            let orphans = orphans.remove(&partition).unwrap_or_default();
            let (deps, progress) = (deps.clone(), progress.clone());
            verifier.spawn(async move {
                let feed = deps.feed.clone();
                partition::verify(deps, log, partition, orphans, progress.clone()).await?;
                log::check(feed, log, partition, progress).await
            });
        }
        match verifier.join_next().await {
            Some(Ok(looked)) => looked?,
            Some(Err(panicked)) => return Err(VerifyError::Panicked(panicked)),
            None => return Ok(()),
        }
    }
}

/// Finds rows that belong to no partition of the log. Returns the accounts that have a history but
/// no row, by partition.
async fn outside(
    snapshot: &mut PgConnection,
    log: Source,
    progress: &Progress,
) -> Result<BTreeMap<Partition, Vec<Uuid>>, VerifyError> {
    let is_inside = |partition: Partition| log.partitions.contains(partition);
    let nowhere = |what, partition, account_id, found: Value| Difference {
        found,
        ..Difference::new(what, partition, account_id, None)
    };
    let mut findings = Findings::default();
    let mut total = 0;
    for checkpoint in checkpoints::all(&mut *snapshot).await? {
        if is_inside(checkpoint.partition) {
            total += checkpoint.position;
        } else {
            let found = json!({ "position": checkpoint.position });
            findings.add(|| nowhere(DifferenceKind::Checkpoint, checkpoint.partition, None, found));
        }
    }
    for (account_id, partition) in accounts::full_row::outside(snapshot, log.partitions).await? {
        findings.add(|| {
            nowhere(
                DifferenceKind::AccountTooMany,
                partition,
                Some(account_id),
                json!({ "partition": partition }),
            )
        });
    }
    progress.starts(total, findings);
    let mut orphans = BTreeMap::<_, Vec<Uuid>>::new();
    for account_id in history::full_row::without_account(snapshot).await? {
        orphans.entry(partition_of(account_id, log.partitions)).or_default().push(account_id);
    }
    Ok(orphans)
}

impl VerifyDeps {
    fn options(&self) -> PgConnectOptions {
        self.database.clone().application_name("passbook-projection-verify")
    }
}
