//! Corrects views that have other events than the log: back to the last position in common, by their own history, and on
//! from there with the log's events, in one transaction. Who reads sees the views as they were, then as they should be.

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use sqlx::{Connection, PgConnection};

use super::common::last_common;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::replay::Ground;
use crate::replay::error::ReplayError;
use crate::replay::loading::Loading;
use crate::replay::progress::Progress;
use crate::store::checkpoints;
use crate::store::confirmed::{self, Confirmed};
use crate::store::generations;

/// A partition of views that was corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrected {
    /// The position the views had.
    pub(crate) from: i64,
    /// The last position at which they had what the log has.
    pub(crate) common: i64,
    /// The position they have now.
    pub(crate) to: i64,
}

/// Corrects a partition of the live views. Nothing above `upper` is in common with the log, as the caller knows.
///
/// # Errors
/// Postgres or the command-service is away, or the partition is held by another: nothing was changed then.
pub(crate) async fn live(
    ground: &Ground,
    connection: &mut PgConnection,
    log: &OurLog,
    partition: Partition,
    upper: i64,
) -> Result<Corrected, ReplayError> {
    let mut transaction = connection.begin().await?;
    generations::see_live(&mut transaction).await?;
    let before = checkpoints::hold_one(&mut transaction, partition).await?;
    let (corrected, now) = in_transaction(ground, &mut transaction, log, &before, upper).await?;
    let confirmed = confirmed_at(&now, log.accepted.epoch);
    confirmed::set(&mut *transaction, confirmed).await?;
    transaction.commit().await?;
    Ok(corrected)
}

/// Corrects a partition of views that nobody else writes.
///
/// # Errors
/// As [`live`].
pub(crate) async fn building(
    ground: &Ground,
    connection: &mut PgConnection,
    log: &OurLog,
    before: &Checkpoint,
) -> Result<Corrected, ReplayError> {
    let mut transaction = connection.begin().await?;
    let (corrected, _) =
        in_transaction(ground, &mut transaction, log, before, before.position).await?;
    transaction.commit().await?;
    Ok(corrected)
}

/// What the log has confirmed when the views were just made from it.
pub(super) fn confirmed_at(checkpoint: &Checkpoint, store_epoch: Epoch) -> Confirmed {
    let Checkpoint { partition, position, event_id, .. } = *checkpoint;
    let position = if event_id.is_some() { position } else { 0 };
    Confirmed { partition, position, event_id, store_epoch }
}

async fn in_transaction(
    ground: &Ground,
    transaction: &mut PgConnection,
    log: &OurLog,
    before: &Checkpoint,
    upper: i64,
) -> Result<(Corrected, Checkpoint), ReplayError> {
    let Checkpoint { partition, position: from, kafka_offset, .. } = *before;
    let common = last_common(&ground.feed, transaction, partition, upper.min(from)).await?;
    if common < from {
        checkpoints::rewind(&mut *transaction, partition, common, kafka_offset).await?;
        let back = checkpoints::hold_one(transaction, partition).await?;
        let progress = Progress::new(0, 0);
        Loading::new(ground, &progress, transaction, log, &back, from).by_log_to_its_end().await?;
    }
    let mut now = checkpoints::hold_one(transaction, partition).await?;
    if now.position > 0
        && now.event_id.is_none()
        && let Some(event) = ground.feed.event_at(partition, now.position).await?
    {
        checkpoints::name(&mut *transaction, partition, &event).await?;
        now.event_id = Some(event.event_id);
    }
    Ok((Corrected { from, common, to: now.position }, now))
}
