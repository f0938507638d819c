//! Survey of a restored log: events that only the topic has, and the last common positions.

mod bisection;
mod given_up;

use std::collections::BTreeMap;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::Fork;
use sqlx::PgConnection;
use thiserror::Error;

use self::bisection::{first_beyond, first_of_epoch, first_of_epochs, in_log, position};
use self::given_up::given_up;
use crate::log::store::Store;
use crate::log::{feed, restores};
use crate::relay::error::RelayError;
use crate::relay::judge::{Divergence, Verdict};
use crate::relay::reader::OwnRecord;
use crate::relay::tail::{End, Tail};

/// Number of offsets that are read in the time of the bisections of one epoch.
const READ_PER_EPOCH: i64 = 4_096;
/// Maximum number of offsets that are read as a whole: their records are in memory.
const READ_WHOLE: i64 = 262_144;

/// Forks that an operator has to decide on.
#[derive(Debug)]
pub struct Survey {
    /// Epoch of the store.
    pub epoch: Epoch,
    /// Latest epoch of the store and the topic.
    pub latest: Epoch,
    /// Forks by ascending partition.
    pub forks: Vec<SurveyedFork>,
    /// Last position that the topic has in common with the log, by partition.
    pub(super) in_topic: BTreeMap<Partition, i64>,
}

/// Fork, and the consequences of accepting the log.
#[derive(Debug)]
pub struct SurveyedFork {
    /// The fork.
    pub fork: Fork,
    /// Last common position of topic and log.
    pub kept: i64,
    /// Events that the topic has and the log lacks, oldest first.
    pub events: Vec<RecordedEvent>,
    /// True if there are more such events.
    pub has_more: bool,
}

/// Error of a survey.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// The topic could not be read.
    #[error("{0}")]
    Topic(String),
}

impl From<RelayError> for SurveyError {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Store(error) => Self::Store(error),
            other => Self::Topic(other.to_string()),
        }
    }
}

/// Compares every partition with the topic and records new forks. Returns at most `most` events of
/// each fork.
pub(super) async fn survey(
    connection: &mut PgConnection,
    kafka: &KafkaConfig,
    store: Store,
    most: usize,
) -> Result<Survey, SurveyError> {
    let epoch = restores::epoch(&mut *connection).await?;
    let tail = Tail::new(
        kafka,
        store.store_id,
        epoch,
        restores::restores_by_partition(&mut *connection).await?,
    )?;
    let (mut ends, mut latest) = (BTreeMap::new(), epoch);
    for partition in store.partitions.all() {
        let end = tail.of(&mut *connection, partition).await?;
        latest = latest.max(end.judged.latest).max(end.judged.announced);
        if let Some(found) = &end.judged.fork {
            let head = feed::heads(&mut *connection).await?.get(partition.index()).copied();
            restores::note_fork(
                &mut *connection,
                epoch,
                &found.fork(partition, head.unwrap_or_default(), epoch),
            )
            .await?;
        }
        ends.insert(partition, end);
    }
    let mut forks = Vec::new();
    // From the log, because other instances and earlier surveys note forks as well.
    for fork in restores::forks(&mut *connection).await? {
        let Some(end) = ends.get(&fork.partition) else { continue };
        forks.push(surveyed(connection, &tail, fork, end, most).await?);
    }
    // Dropping the consumer blocks.
    let _ = tokio::task::spawn_blocking(move || drop(tail)).await;
    let in_topic = ends.iter().map(|(partition, end)| (*partition, end.judged.position));
    Ok(Survey { epoch, latest, forks, in_topic: in_topic.collect() })
}

async fn surveyed(
    connection: &mut PgConnection,
    tail: &Tail,
    fork: Fork,
    end: &End,
    most: usize,
) -> Result<SurveyedFork, SurveyError> {
    let first = first_diverging(connection, tail, fork.partition, end).await?;
    let kept = match (&first, &end.judged) {
        (Some(first), _) => first.position - 1,
        // Only the epoch diverges, no event.
        (None, Verdict { fork: Some(_), .. }) => fork.log_position,
        // The topic was replaced since the fork was recorded.
        (None, Verdict { position, .. }) => (*position).min(fork.topic_position - 1),
    };
    let kept = kept.clamp(0, fork.log_position);
    let (events, has_more) = match first {
        Some(_) => given_up(connection, tail, fork.partition, kept, end, most).await?,
        None => (Vec::new(), false),
    };
    Ok(SurveyedFork { fork, kept, events, has_more })
}

/// Returns the record with the smallest position that the log lacks, if any.
async fn first_diverging(
    connection: &mut PgConnection,
    tail: &Tail,
    partition: Partition,
    end: &End,
) -> Result<Option<OwnRecord>, SurveyError> {
    let mut first: Option<OwnRecord> = None;
    let mut from = tail.ends(partition).await?.0;
    // Each epoch that the log does not know left the common history at its own position.
    let latest = end.judged.latest;
    for epoch in tail.epoch..=latest {
        let epochs = i64::from(latest - epoch) + 1;
        if end.offset - from <= READ_WHOLE.min(READ_PER_EPOCH.saturating_mul(epochs)) {
            // Faster than a bisection for each of its epochs.
            let rest = tail.stretch(partition, from, end.offset, usize::MAX).await?.ours;
            let in_log = in_log(connection, partition, &rest).await?;
            first = first
                .into_iter()
                .chain(first_of_epochs(&rest, &in_log, epoch, latest))
                .min_by_key(position);
            break;
        }
        let until = match epoch == latest {
            true => end.offset,
            false => first_of_epoch(tail, partition, epoch + 1, from, end.offset).await?,
        };
        let beyond = first_beyond(connection, tail, partition, epoch, from, until).await?;
        first = first.into_iter().chain(beyond).min_by_key(position);
        from = until;
    }
    // Repeats after the fork can mislead the bisection, but not the comparison of the tail.
    if let Some(Divergence { first: Some(found), .. }) = end.judged.fork
        && first.is_none_or(|first| found.position < first.position)
    {
        first = Some(found);
    }
    Ok(first)
}
