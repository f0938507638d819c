//! Whether the views are what the log says: the whole log is folded, and every row of the live views is compared with
//! what that gives. And whether the log is what the rules allow, which the command-service checks.
//!
//! Nothing has to stand still for it. Each partition is looked at in one snapshot of the database, and the log is folded
//! up to exactly the position that the snapshot's checkpoint has.

mod compare;
mod error;
mod fold;
/// Verifications that were asked for.
pub mod jobs;
mod log;
mod partition;
mod progress;
mod recent;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::shutdown::CancellationToken;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::feed::Feed;
use crate::store::source::{self, Source};
use crate::store::{accounts, checkpoints, generations, history};
use error::VerifyError;
use jobs::{Jobs, State};
use passbook_shared::difference::{Difference, Findings, What};
use progress::Progress;

/// Partitions that are looked at at the same time.
const AT_ONCE: usize = 2;

/// What it works with.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The views' database.
    pub database: PgConnectOptions,
    /// The log.
    pub feed: Feed,
}

/// Does what is asked for, one after the other, until the shutdown.
///
/// # Errors
/// None: what goes wrong is told with the job.
pub async fn run(ground: Ground, jobs: Arc<Jobs>, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        let id = tokio::select! { id = jobs.next() => id, () = shutdown.cancelled() => return Ok(()) };
        let progress = Progress::new(Arc::clone(&jobs), id);
        // A task of its own: should it panic, the service goes on.
        let mut work = JoinSet::new();
        work.spawn(verify(ground.clone(), progress));
        let ended = tokio::select! {
            ended = work.join_next() => ended,
            () = shutdown.cancelled() => return Ok(()),
        };
        let error = match ended {
            Some(Ok(Ok(()))) | None => None,
            Some(Ok(Err(error))) => Some(error.to_string()),
            Some(Err(panicked)) => Some(panicked.to_string()),
        };
        match (&error, jobs.find(id)) {
            (Some(error), _) => tracing::error!(verify.id = %id, error, "the views could not be compared with the log"),
            (None, Some(job)) if job.findings.count > 0 => {
                tracing::error!(verify.id = %id, differences = job.findings.count, "the views are not what the log says, or the log breaks its rules");
            }
            (None, _) => tracing::info!(verify.id = %id, "the views are what the log says"),
        }
        let state = if error.is_some() { State::Failed } else { State::Done };
        jobs.end(id, state, error);
    }
}

/// Compares all there is.
async fn verify(ground: Ground, progress: Progress) -> Result<(), VerifyError> {
    let log = ground.feed.source().await?;
    let mut snapshot = generations::snapshot_live(&ground.options()).await?;
    if let Some(views) = source::find(&mut snapshot).await?.filter(|views| *views != log) {
        return Err(VerifyError::Foreign { views, log });
    }
    let mut orphans = outside(&mut snapshot, log, &progress).await?;
    // It would see the past until its end.
    drop(snapshot);

    let mut waiting: VecDeque<Partition> = (0..log.partitions).collect();
    let mut looking = JoinSet::new();
    loop {
        while looking.len() < AT_ONCE
            && let Some(partition) = waiting.pop_front()
        {
            let orphans = orphans.remove(&partition).unwrap_or_default();
            let (ground, progress) = (ground.clone(), progress.clone());
            looking.spawn(async move {
                let feed = ground.feed.clone();
                partition::verify(ground, log, partition, orphans, progress.clone()).await?;
                log::check(feed, log, partition, progress).await
            });
        }
        match looking.join_next().await {
            Some(Ok(looked)) => looked?,
            Some(Err(panicked)) => return Err(VerifyError::Panicked(panicked)),
            None => return Ok(()),
        }
    }
}

/// Finds what is in no partition of the log; gives the accounts that have a history and nothing else, by where they
/// would be.
async fn outside(
    snapshot: &mut PgConnection,
    log: Source,
    progress: &Progress,
) -> Result<BTreeMap<Partition, Vec<Uuid>>, VerifyError> {
    let is_inside = |partition: Partition| (0..log.partitions).contains(&partition);
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
            findings.add(|| nowhere(What::Checkpoint, checkpoint.partition, None, found));
        }
    }
    for (account_id, partition) in accounts::whole::outside(snapshot, log.partitions).await? {
        findings.add(|| nowhere(What::AccountTooMany, partition, Some(account_id), json!({ "partition": partition })));
    }
    progress.starts(total, findings);
    let mut orphans = BTreeMap::<_, Vec<Uuid>>::new();
    for account_id in history::whole::without_account(snapshot).await? {
        orphans.entry(partition_of(account_id, log.partitions)).or_default().push(account_id);
    }
    Ok(orphans)
}

impl Ground {
    fn options(&self) -> PgConnectOptions {
        self.database.clone().application_name("passbook-projection-verify")
    }
}
