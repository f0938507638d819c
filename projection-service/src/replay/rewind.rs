//! Rewind of the live views: one transaction removes the events of a partition or an account and
//! applies them again. Readers never see older views.

use std::collections::BTreeMap;

use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::timestamp::Timestamp;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::error::ReplayError;
use super::partition_loader::PartitionLoader;
use super::progress::Progress;
use super::{ReplayDeps, topic};
use crate::consumer::account_cache::AccountCache;
use crate::consumer::batch::write;
use crate::consumer::judging::OurLog;
use crate::consumer::record::Record;
use crate::consumer::sequence::Sequence;
use crate::store::checkpoints;
use crate::store::generations;
use crate::store::quarantine;
use crate::store::source::Source;

/// Target of a partition's rewind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RewindPoint {
    /// Position of the last event that remains applied.
    position: i64,
    /// Offset of the topic to read from.
    offset: i64,
}

/// Rewinds partitions one after the other.
pub(super) async fn partitions(
    deps: &ReplayDeps,
    progress: &Progress,
    back: &BTreeMap<Partition, RewindPoint>,
) -> Result<(), ReplayError> {
    let log = deps.log().await?;
    let mut live = connect(deps).await?;
    let standing = checkpoints::all(&mut live).await?;
    let behind = standing
        .iter()
        .filter_map(|c| Some((c.position - back.get(&c.partition)?.position).max(0)));
    progress.set_total(behind.sum());
    for (partition, back) in back {
        if !one_partition(deps, progress, &mut live, &log, *partition, *back, false).await? {
            tracing::warn!(
                partition = partition.get(),
                "the topic has other events than the log: reading them from the log"
            );
            one_partition(deps, progress, &mut live, &log, *partition, *back, true).await?;
        }
    }
    Ok(())
}

/// Rewinds a partition. Returns false, with nothing changed, if the topic has other events than the
/// log.
async fn one_partition(
    deps: &ReplayDeps,
    progress: &Progress,
    live: &mut PgConnection,
    log: &OurLog,
    partition: Partition,
    back: RewindPoint,
    by_log: bool,
) -> Result<bool, ReplayError> {
    let mut transaction = live.begin().await?;
    // The lock keeps the consumer from writing until the commit.
    let before = checkpoints::hold_one(&mut transaction, partition).await?;
    // The views do not have the first event to replay yet.
    if back.position >= before.position {
        return Ok(true);
    }
    let (_, quarantined) = quarantine::counts(&mut *transaction, partition).await?;
    checkpoints::rewind(&mut *transaction, partition, back.position, Some(back.offset)).await?;
    // The rewind raised the epoch, so the checkpoint is read again.
    let from = checkpoints::hold_one(&mut transaction, partition).await?;
    let loading =
        PartitionLoader::new(deps, progress, &mut transaction, log, &from, before.position);
    if by_log {
        loading.by_log().await?;
    } else if loading.by_topic(back.offset).await?
        || !ends_as_log(deps, &mut transaction, partition).await?
    {
        transaction.rollback().await?;
        return Ok(false);
    }
    let (_, quarantined_now) = quarantine::counts(&mut *transaction, partition).await?;
    // This build cannot apply events that another build has applied.
    if quarantined_now > quarantined {
        return Err(ReplayError::WouldGoBack(quarantined_now - quarantined));
    }
    transaction.commit().await?;
    tracing::info!(
        partition = partition.get(),
        from = back.position,
        to = before.position,
        "events were applied again"
    );
    Ok(true)
}

/// Returns whether the log has the last applied event.
async fn ends_as_log(
    deps: &ReplayDeps,
    transaction: &mut PgConnection,
    partition: Partition,
) -> Result<bool, ReplayError> {
    let now = checkpoints::hold_one(transaction, partition).await?;
    let there = deps.feed.event_at(partition, now.position).await?;
    Ok(there.map(|event| event.event_id) == now.event_id)
}

/// Applies all events of an account again, in one transaction.
pub(super) async fn account(
    deps: &ReplayDeps,
    progress: &Progress,
    account_id: Uuid,
) -> Result<(), ReplayError> {
    let source = deps.log().await?.source;
    let partition = partition_of(account_id, source.partitions);
    let mut live = connect(deps).await?;
    let mut transaction = live.begin().await?;
    let checkpoint = checkpoints::hold_one(&mut transaction, partition).await?;
    let quarantined = quarantine::count_of(&mut *transaction, account_id).await?;
    account_by_log(deps, progress, &mut transaction, source, account_id, checkpoint.position)
        .await?;
    let quarantined_now = quarantine::count_of(&mut *transaction, account_id).await?;
    // The error drops the transaction, so the views stay as they were.
    if quarantined_now > quarantined {
        return Err(ReplayError::WouldGoBack(quarantined_now - quarantined));
    }
    transaction.commit().await?;
    Ok(())
}

/// Removes an account from the views and applies its events from the log, up to a position of its
/// partition. The account's versions order them, so no partition is tracked.
pub(super) async fn account_by_log(
    deps: &ReplayDeps,
    progress: &Progress,
    transaction: &mut PgConnection,
    source: Source,
    account_id: Uuid,
    up_to: i64,
) -> Result<(), ReplayError> {
    sqlx::query("SELECT projection.forget_account($1, $2)")
        .bind(account_id)
        .bind(partition_of(account_id, source.partitions))
        .execute(&mut *transaction)
        .await?;
    let (mut known, mut after, mut has_more) = (AccountCache::default(), 0, true);
    while has_more {
        let (mut events, more) = deps.feed.of_account(account_id, after).await?;
        // Positions ascend with versions, so an event beyond `up_to` ends the account.
        has_more = more && events.iter().all(|event| event.position.number <= up_to);
        events.retain(|event| event.position.number <= up_to);
        after += i64::try_from(events.len()).unwrap_or_default();
        let records: Vec<Record> =
            events.into_iter().map(|event| Record::of_feed(event, source.store_id)).collect();
        write(transaction, &records, &Sequence::default(), &mut known).await?;
        progress.add(records.len());
        progress.go_on()?;
    }
    Ok(())
}

async fn connect(deps: &ReplayDeps) -> sqlx::Result<PgConnection> {
    generations::connect_live(&deps.options()).await
}

/// Returns, for each partition, the target before the first event recorded at `moment` or later.
/// The binary search is valid because times of recording never decrease within a partition.
pub(super) async fn to_time(
    deps: &ReplayDeps,
    moment: Timestamp,
) -> Result<BTreeMap<Partition, RewindPoint>, ReplayError> {
    let mut back = BTreeMap::new();
    for checkpoint in checkpoints::all(&mut connect(deps).await?).await? {
        let (mut low, mut high) = (0, checkpoint.position);
        while low < high {
            // Rounded up, so that `low = middle` always makes progress.
            let middle = low + (high - low + 1) / 2;
            let event = deps.feed.event_at(checkpoint.partition, middle).await?;
            let event = event.ok_or(ReplayError::LogEnds {
                partition: checkpoint.partition,
                position: middle,
            })?;
            if event.recorded_at < moment {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        // The topic has each position at least once, from offset 0 on. The event after `low` is
        // therefore at offset `low` or later.
        back.insert(checkpoint.partition, RewindPoint { position: low, offset: low });
    }
    Ok(back)
}

/// Returns the targets that correspond to offsets of the topic. If the record at an offset is
/// missing or unusable, the target is at most `offset`, because the topic has each position at
/// least once.
pub(super) async fn to_offsets(
    deps: &ReplayDeps,
    offsets: &BTreeMap<Partition, i64>,
) -> Result<BTreeMap<Partition, RewindPoint>, ReplayError> {
    let log = deps.log().await?;
    let mut back = BTreeMap::new();
    for (partition, offset) in offsets {
        // No event of the log follows the offset, so there is nothing to rewind.
        let Some((found, position)) = first_of_log(deps, &log, *partition, *offset).await? else {
            continue;
        };
        let before = position - 1;
        let position = if found > *offset { before.min(*offset) } else { before };
        back.insert(*partition, RewindPoint { position, offset: *offset });
    }
    Ok(back)
}

/// Returns the offset and the position of the first record whose event the log has, starting at an
/// offset.
async fn first_of_log(
    deps: &ReplayDeps,
    log: &OurLog,
    partition: Partition,
    from: i64,
) -> Result<Option<(i64, i64)>, ReplayError> {
    let mut chunks = topic::read(&deps.kafka, partition, from);
    while let Some(records) = chunks.recv().await {
        for record in records? {
            let Ok(event) = log.admits(&record) else { continue };
            let number = event.recorded.position.number;
            // A forged record could claim any position, so the log confirms it.
            let of_log = deps.feed.event_at(partition, number).await?;
            if of_log.is_some_and(|of_log| of_log.event_id == event.recorded.event_id) {
                return Ok(record.offset.map(|offset| (offset, number)));
            }
        }
    }
    Ok(None)
}
