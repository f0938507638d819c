//! What the topic holds beyond a restored log, and the last position that both have in common.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::Fork;
use sqlx::PgConnection;
use thiserror::Error;

use crate::log::store::Store;
use crate::log::{feed, restores};
use crate::relay::error::RelayError;
use crate::relay::judge::{Found, InLog, Judged, judge};
use crate::relay::reader::{Ours, PassedOver, Seen};
use crate::relay::tail::{End, Tail};

/// A stretch of so many offsets is read whole; a longer one is halved.
const READ_WHOLE: i64 = 512;
/// Records of ours that tell on which side of the fork they are: one of them may be somebody else's.
const WITNESSES: usize = 3;
/// Records of ours among which the first one beyond the fork is.
const AROUND: usize = 2_000;

/// What there is to be decided.
#[derive(Debug)]
pub struct Survey {
    /// The epoch of the store.
    pub epoch: Epoch,
    /// The latest epoch seen in the topic.
    pub latest: Epoch,
    /// The forks, by ascending partition.
    pub forks: Vec<Surveyed>,
}

/// A fork, and what accepting the log means there.
#[derive(Debug)]
pub struct Surveyed {
    /// The fork.
    pub fork: Fork,
    /// The last common position.
    pub kept: i64,
    /// Events that the topic has and the log has not, oldest first.
    pub events: Vec<RecordedEvent>,
    /// Whether there are more of them.
    pub has_more: bool,
}

/// Why it can't be said what there is to be decided.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// Postgres does not answer.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// The topic can't be read.
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

/// Looks at every partition, be it with a relay or not, and notes the forks that are found. Of each it shows at most so
/// many events.
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
    for partition in 0..store.partitions {
        let end = tail.of(&mut *connection, partition).await?;
        latest = latest.max(end.judged.latest);
        if let Some(found) = &end.judged.fork {
            let head = feed::heads(&mut *connection)
                .await?
                .get(usize::from(partition.unsigned_abs()))
                .copied();
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
    for fork in restores::forks(&mut *connection).await? {
        let Some(end) = ends.get(&fork.partition) else { continue };
        forks.push(surveyed(connection, &tail, fork, end, most).await?);
    }
    // It is closed by a thread that may block.
    let _ = tokio::task::spawn_blocking(move || drop(tail)).await;
    Ok(Survey { epoch, latest, forks })
}

async fn surveyed(
    connection: &mut PgConnection,
    tail: &Tail,
    fork: Fork,
    end: &End,
    most: usize,
) -> Result<Surveyed, SurveyError> {
    let partition = fork.partition;
    let mut first: Option<Ours> = None;
    let mut from = tail.ends(partition).await?.0;
    // Each epoch that the log does not know has left the common history at a place of its own.
    let latest = end.judged.latest;
    for epoch in tail.epoch..=latest {
        if end.offset - from <= READ_WHOLE {
            // Once, of however many epochs it is.
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
    // Records that somebody has repeated behind the fork lead a search by halves astray, but not the look at the end.
    if let Some(Found { first: Some(found), .. }) = end.judged.fork
        && first.is_none_or(|first| found.position < first.position)
    {
        first = Some(found);
    }
    let kept = match (&first, &end.judged) {
        (Some(first), _) => first.position - 1,
        // Nothing of it is beyond the log but its epoch.
        (None, Judged { fork: Some(_), .. }) => fork.log_position,
        // The topic is another one by now.
        (None, Judged { position, .. }) => (*position).min(fork.topic_position - 1),
    };
    let kept = kept.clamp(0, fork.log_position);
    let (events, has_more) = match first {
        Some(_) => given_up(connection, tail, partition, kept, end, most).await?,
        None => (Vec::new(), false),
    };
    Ok(Surveyed { fork, kept, events, has_more })
}

/// The first offset in a stretch from which records are of that epoch or a later one, about.
async fn first_of_epoch(
    tail: &Tail,
    partition: Partition,
    epoch: Epoch,
    from: i64,
    until: i64,
) -> Result<i64, RelayError> {
    let (mut before, mut after) = (from, until);
    while after - before > READ_WHOLE {
        let middle = before + (after - before) / 2;
        let next = tail.stretch(partition, middle, after, 1).await?.ours;
        match next.first() {
            Some(ours) if ours.epoch < epoch => before = middle,
            Some(_) | None => after = middle,
        }
    }
    let around = tail.stretch(partition, before, until, AROUND).await?.ours;
    Ok(around.iter().find(|ours| ours.epoch >= epoch).map_or(until, |ours| ours.offset))
}

/// The first record of a stretch of one epoch whose event is not the log's.
async fn first_beyond(
    connection: &mut PgConnection,
    tail: &Tail,
    partition: Partition,
    epoch: Epoch,
    from: i64,
    until: i64,
) -> Result<Option<Ours>, RelayError> {
    let (mut common, mut beyond) = (from, until);
    while beyond - common > READ_WHOLE {
        let middle = common + (beyond - common) / 2;
        let next = tail.stretch(partition, middle, beyond, WITNESSES).await?.ours;
        let in_log = in_log(connection, partition, &next).await?;
        if next.iter().any(|ours| in_log.get(&ours.position) == Some(&ours.event_id)) {
            common = middle;
        } else {
            beyond = middle;
        }
    }
    let around = tail.stretch(partition, common, until, AROUND).await?.ours;
    let in_log = in_log(connection, partition, &around).await?;
    Ok(first_of_fork(&around, &in_log, epoch))
}

/// The record of the smallest position, of those with which the epochs leave the log.
fn first_of_epochs(
    mut records: &[Ours],
    in_log: &InLog,
    epoch: Epoch,
    latest: Epoch,
) -> Option<Ours> {
    let mut firsts = Vec::new();
    for epoch in epoch..=latest {
        let next = records.iter().position(|ours| epoch < latest && ours.epoch > epoch);
        let (of_epoch, later) = records.split_at(next.unwrap_or(records.len()));
        firsts.extend(first_of_fork(of_epoch, in_log, epoch));
        records = later;
    }
    firsts.into_iter().min_by_key(position)
}

fn first_of_fork(records: &[Ours], in_log: &InLog, epoch: Epoch) -> Option<Ours> {
    judge(records, in_log, epoch, true)?.fork?.first
}

fn position(ours: &Ours) -> i64 {
    ours.position
}

async fn in_log(
    connection: &mut PgConnection,
    partition: Partition,
    ours: &[Ours],
) -> Result<InLog, sqlx::Error> {
    let positions: Vec<i64> = ours.iter().map(|ours| ours.position).collect();
    Ok(feed::event_ids(connection, partition, &positions).await?.into_iter().collect())
}

/// The events after a position that the topic has and the log has not, and whether there are more than are shown.
async fn given_up(
    connection: &mut PgConnection,
    tail: &Tail,
    partition: Partition,
    kept: i64,
    end: &End,
    most: usize,
) -> Result<(Vec<RecordedEvent>, bool), RelayError> {
    let (low, _) = tail.ends(partition).await?;
    // No record of a position is at an offset before that, but where the beginning of the topic was lost.
    let from = low.max(kept.min(end.offset));
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut unlike = tail
        .events(partition, from, end.offset, kept, most.saturating_mul(2).saturating_add(2))
        .await?;
    let positions: Vec<i64> = unlike.iter().map(|event| event.position.number).collect();
    let in_log: InLog =
        feed::event_ids(connection, partition, &positions).await?.into_iter().collect();
    unlike.retain(|event| in_log.get(&event.position.number) != Some(&event.event_id));
    for event in unlike {
        if events.iter().all(|known| known.event_id != event.event_id) {
            events.push(event);
        }
    }
    let has_more = events.len() > most;
    events.truncate(most);
    Ok((events, has_more))
}

impl Tail {
    /// Events of ours after a position, within a stretch of the topic, that no accepted restore has given up; at most so many.
    async fn events(
        &self,
        partition: Partition,
        from: i64,
        until: i64,
        after: i64,
        most: usize,
    ) -> Result<Vec<RecordedEvent>, RelayError> {
        let (mut found, restores) = (Vec::new(), self.restores_of(partition));
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let mut others = PassedOver::default();
            reader.scan(partition, from, until, &mut others, |seen| {
                if let Seen::Ours(ours, read) = seen
                    && ours.position > after
                    && ours.is_plausible()
                    && !restores.gave_up(ours.epoch, ours.position)
                {
                    found.push(read.event);
                }
                if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(found)
        };
        tokio::task::spawn_blocking(read).await?
    }
}
