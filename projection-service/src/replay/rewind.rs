//! Going back: the live views of a partition, or of an account, are taken back and their events applied again, in one
//! transaction. Who reads sees the views as they were, then as they are, and at no time older ones.

use std::collections::BTreeMap;

use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::timestamp::Timestamp;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::error::ReplayError;
use super::loading::{Loading, check_source};
use super::progress::Progress;
use super::{Ground, topic};
use crate::consumer::known::Accounts;
use crate::consumer::record::Record;
use crate::consumer::sequence::Sequence;
use crate::consumer::writer::write;
use crate::store::checkpoints;
use crate::store::generations;
use crate::store::quarantine;
use crate::store::source::Source;

/// Where a partition goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Back {
    /// Of the last event that stays applied.
    position: i64,
    /// Where in the topic to read on from there.
    offset: i64,
}

/// Goes back with partitions, one after the other.
pub(super) async fn partitions(
    ground: &Ground,
    progress: &Progress,
    back: &BTreeMap<Partition, Back>,
) -> Result<(), ReplayError> {
    let source = ground.source().await?;
    let mut live = connect(ground).await?;
    let standing = checkpoints::all(&mut live).await?;
    let behind = standing.iter().filter_map(|c| Some((c.position - back.get(&c.partition)?.position).max(0)));
    progress.set_total(behind.sum());
    for (partition, back) in back {
        one_partition(ground, progress, &mut live, source, *partition, *back).await?;
    }
    Ok(())
}

async fn one_partition(
    ground: &Ground,
    progress: &Progress,
    live: &mut PgConnection,
    source: Source,
    partition: Partition,
    back: Back,
) -> Result<(), ReplayError> {
    let mut transaction = live.begin().await?;
    let before = checkpoints::hold_one(&mut transaction, partition).await?;
    if back.position >= before.position {
        return Ok(());
    }
    let (_, set_aside) = quarantine::counts(&mut *transaction, partition).await?;
    sqlx::query("SELECT projection.rewind($1, $2, $3)")
        .bind(partition)
        .bind(back.position)
        .bind(back.offset)
        .execute(&mut *transaction)
        .await?;
    let from = checkpoints::hold_one(&mut transaction, partition).await?;
    Loading::new(ground, progress, &mut transaction, source, &from, before.position).by_topic(back.offset).await?;
    let (_, set_aside_now) = quarantine::counts(&mut *transaction, partition).await?;
    if set_aside_now > set_aside {
        return Err(ReplayError::WouldGoBack(set_aside_now - set_aside));
    }
    transaction.commit().await?;
    tracing::info!(partition, from = back.position, to = before.position, "events were applied again");
    Ok(())
}

/// Applies all events of an account again.
pub(super) async fn account(ground: &Ground, progress: &Progress, account_id: Uuid) -> Result<(), ReplayError> {
    let source = ground.source().await?;
    let partition = partition_of(account_id, source.partitions);
    let mut live = connect(ground).await?;
    let mut transaction = live.begin().await?;
    let checkpoint = checkpoints::hold_one(&mut transaction, partition).await?;
    let set_aside = quarantine::count_of(&mut *transaction, account_id).await?;
    sqlx::query("SELECT projection.forget_account($1, $2)")
        .bind(account_id)
        .bind(partition)
        .execute(&mut *transaction)
        .await?;
    let (mut known, mut after, mut has_more) = (Accounts::default(), 0, true);
    while has_more {
        let (mut events, more) = ground.feed.of_account(account_id, after).await?;
        has_more = more && events.iter().all(|event| event.position.number <= checkpoint.position);
        events.retain(|event| event.position.number <= checkpoint.position);
        after += i64::try_from(events.len()).unwrap_or_default();
        let records: Vec<Record> = events.into_iter().map(|event| Record::of_feed(event, source.store_id)).collect();
        write(&mut transaction, &records, &Sequence::default(), &mut known).await?;
        progress.add(records.len());
        progress.go_on()?;
    }
    let set_aside_now = quarantine::count_of(&mut *transaction, account_id).await?;
    if set_aside_now > set_aside {
        return Err(ReplayError::WouldGoBack(set_aside_now - set_aside));
    }
    transaction.commit().await?;
    Ok(())
}

async fn connect(ground: &Ground) -> sqlx::Result<PgConnection> {
    generations::connect_live(&ground.options()).await
}

/// Where the events recorded at a moment or later begin, in each partition. Found by halving: times never fall from one
/// position to the next.
pub(super) async fn to_time(ground: &Ground, moment: Timestamp) -> Result<BTreeMap<Partition, Back>, ReplayError> {
    let mut back = BTreeMap::new();
    for checkpoint in checkpoints::all(&mut connect(ground).await?).await? {
        let (mut low, mut high) = (0, checkpoint.position);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            let event = ground.feed.event_at(checkpoint.partition, middle).await?;
            let event = event.ok_or(ReplayError::LogEnds { partition: checkpoint.partition, position: middle })?;
            if event.recorded_at < moment {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        // The topic holds each position once, or more often: this one is not before that offset.
        back.insert(checkpoint.partition, Back { position: low, offset: low });
    }
    Ok(back)
}

/// Which positions are at these offsets of the topic. Of an offset that the topic has lost it is only known that the
/// position is not behind it: the topic holds each position once, or more often.
pub(super) async fn to_offsets(
    ground: &Ground,
    offsets: &BTreeMap<Partition, i64>,
) -> Result<BTreeMap<Partition, Back>, ReplayError> {
    let source = ground.source().await?;
    let mut back = BTreeMap::new();
    for (partition, offset) in offsets {
        let mut chunks = topic::read(&ground.kafka, *partition, *offset);
        let mut first = None;
        while first.is_none()
            && let Some(records) = chunks.recv().await
        {
            first = records?.into_iter().find(|record| record.content.is_ok());
        }
        // At the end of the topic there is nothing to go back for.
        let Some(Record { offset: Some(found), content: Ok(event), .. }) = first else { continue };
        check_source(&event, *partition, source)?;
        let before = event.recorded.position.number - 1;
        let position = if found > *offset { before.min(*offset) } else { before };
        back.insert(*partition, Back { position, offset: *offset });
    }
    Ok(back)
}
