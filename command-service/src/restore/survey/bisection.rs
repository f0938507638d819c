//! Binary search of the topic for the first record that the log lacks.

#[cfg(test)]
mod tests;

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use sqlx::PgConnection;

use crate::log::feed;
use crate::relay::error::RelayError;
use crate::relay::judge::{InLog, judge};
use crate::relay::reader::OwnRecord;
use crate::relay::tail::Tail;

/// Maximum number of offsets between the ends of the bisection.
const NEAR: i64 = 512;
/// Number of records that decide on which side of the fork an offset is. More than one, because any
/// one may be forged.
const WITNESSES: usize = 3;
/// Number of records read around the end of the bisection.
const AROUND: usize = 2_000;

/// Returns the approximate first offset of a stretch with records of `epoch` or later.
pub(super) async fn first_of_epoch(
    tail: &Tail,
    partition: Partition,
    epoch: Epoch,
    from: i64,
    until: i64,
) -> Result<i64, RelayError> {
    let (mut before, mut after) = (from, until);
    while after - before > NEAR {
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

/// Returns the first record of a stretch of one epoch whose event is not the log's.
pub(super) async fn first_beyond(
    connection: &mut PgConnection,
    tail: &Tail,
    partition: Partition,
    epoch: Epoch,
    from: i64,
    until: i64,
) -> Result<Option<OwnRecord>, RelayError> {
    let (mut common, mut beyond) = (from, until);
    while beyond - common > NEAR {
        // Invariant: records before `common` are in the log, records from `beyond` on are not.
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

/// Returns the record with the smallest position among those at which the epochs leave the log.
pub(super) fn first_of_epochs(
    mut records: &[OwnRecord],
    in_log: &InLog,
    epoch: Epoch,
    latest: Epoch,
) -> Option<OwnRecord> {
    let mut firsts = Vec::new();
    for epoch in epoch..=latest {
        let next = records.iter().position(|ours| epoch < latest && ours.epoch > epoch);
        let (of_epoch, later) = records.split_at(next.unwrap_or(records.len()));
        firsts.extend(first_of_fork(of_epoch, in_log, epoch));
        records = later;
    }
    firsts.into_iter().min_by_key(position)
}

fn first_of_fork(records: &[OwnRecord], in_log: &InLog, epoch: Epoch) -> Option<OwnRecord> {
    judge(records, in_log, epoch, true)?.fork?.first
}

pub(super) fn position(ours: &OwnRecord) -> i64 {
    ours.position
}

pub(super) async fn in_log(
    connection: &mut PgConnection,
    partition: Partition,
    ours: &[OwnRecord],
) -> Result<InLog, sqlx::Error> {
    let positions: Vec<i64> = ours.iter().map(|ours| ours.position).collect();
    Ok(feed::event_ids(connection, partition, &positions).await?.into_iter().collect())
}
