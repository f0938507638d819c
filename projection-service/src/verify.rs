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
use crate::store::source::{self, Source};
use crate::store::{accounts, checkpoints, generations, history, verifications};
use error::VerifyError;
use jobs::{Job, Jobs, State};
use passbook_shared::difference::{Difference, Findings, What};
use progress::Progress;

/// Partitions that are looked at at the same time.
const AT_ONCE: usize = 2;

/// How often the database is told how a verification stands.
const TELL_EVERY: Duration = Duration::from_secs(1);

static UNTOLD: Fault = Fault::new("other instances can't be told how a verification stands");

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
pub async fn run(
    ground: Ground,
    jobs: Arc<Jobs>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let told = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TELL_EVERY)
        .connect_lazy_with(ground.options());
    loop {
        let id =
            tokio::select! { id = jobs.next() => id, () = shutdown.cancelled() => return Ok(()) };
        let progress = Progress::new(Arc::clone(&jobs), id);
        // A task of its own: should it panic, the service goes on.
        let mut work = JoinSet::new();
        work.spawn(verify(ground.clone(), progress));
        let mut tick = tokio::time::interval(TELL_EVERY);
        let ended = loop {
            tokio::select! {
                ended = work.join_next() => break ended,
                _ = tick.tick() => if let Some(job) = jobs.find(id) { tell(&told, &job).await },
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        let error = match ended {
            Some(Ok(Ok(()))) | None => None,
            Some(Ok(Err(error))) => Some(error.to_string()),
            Some(Err(panicked)) => Some(panicked.to_string()),
        };
        match (&error, jobs.find(id)) {
            (Some(error), _) => {
                tracing::error!(verify.id = %id, error, "the views could not be compared with the log")
            }
            (None, Some(job)) if job.findings.count > 0 => {
                tracing::error!(verify.id = %id, differences = job.findings.count, "the views are not what the log says, or the log breaks its rules");
            }
            (None, _) => tracing::info!(verify.id = %id, "the views are what the log says"),
        }
        let state = if error.is_some() { State::Failed } else { State::Done };
        // Here it ends last: whoever sees the end here may ask for the next anywhere.
        if let Some(mut job) = jobs.find(id) {
            (job.state, job.error, job.ended_at) = (state, error, Some(Timestamp::now()));
            tell(&told, &job).await;
            jobs.change(id, |kept| *kept = job);
        }
    }
}

/// Tells the database how a verification stands, for other instances.
async fn tell(database: &PgPool, job: &Job) {
    let body = serde_json::to_value(job).unwrap_or_default();
    match verifications::tell(database, job.id, job.state == State::Running, &body).await {
        Ok(()) => UNTOLD.ended(),
        Err(error) => UNTOLD.occurred(store_error::reason(&error)),
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
        findings.add(|| {
            nowhere(
                What::AccountTooMany,
                partition,
                Some(account_id),
                json!({ "partition": partition }),
            )
        });
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
