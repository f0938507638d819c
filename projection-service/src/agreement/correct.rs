//! Correction of views that have other events than the log. One transaction rewinds them to the
//! last common position by their own history and applies the log's events. Readers see the old
//! views, then the correct ones.

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use sqlx::{Connection, PgConnection};

use super::common::last_common;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::replay::ReplayDeps;
use crate::replay::error::ReplayError;
use crate::replay::partition_loader::PartitionLoader;
use crate::replay::progress::Progress;
use crate::store::checkpoints;
use crate::store::confirmed::{self, Confirmed};
use crate::store::generations;

/// Result of a partition's correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrected {
    /// Position of the views before the correction.
    pub(crate) from: i64,
    /// Last common position.
    pub(crate) common: i64,
    /// Position of the views after the correction.
    pub(crate) to: i64,
}

/// Corrects a partition of the live views, whose last common position is at most `upper`.
///
/// # Errors
/// Postgres or the command-service is unreachable, or another writer has locked the partition. An
/// error changes nothing.
pub(crate) async fn live(
    deps: &ReplayDeps,
    connection: &mut PgConnection,
    log: &OurLog,
    partition: Partition,
    upper: i64,
) -> Result<Corrected, ReplayError> {
    let mut transaction = connection.begin().await?;
    // A switch may have made another generation live since the comparison.
    generations::see_live(&mut transaction).await?;
    let before = checkpoints::hold_one(&mut transaction, partition).await?;
    let (corrected, now) = in_transaction(deps, &mut transaction, log, &before, upper).await?;
    let confirmed = confirmed_at(&now, log.accepted.epoch);
    confirmed::set(&mut *transaction, confirmed).await?;
    transaction.commit().await?;
    Ok(corrected)
}

/// Corrects a partition of a generation that is being built.
///
/// # Errors
/// Same as for [`live`].
pub(crate) async fn building(
    deps: &ReplayDeps,
    connection: &mut PgConnection,
    log: &OurLog,
    before: &Checkpoint,
) -> Result<Corrected, ReplayError> {
    let mut transaction = connection.begin().await?;
    let (corrected, _) =
        in_transaction(deps, &mut transaction, log, before, before.position).await?;
    transaction.commit().await?;
    Ok(corrected)
}

/// Returns the confirmation of a checkpoint whose event the log has.
pub(super) fn confirmed_at(checkpoint: &Checkpoint, store_epoch: Epoch) -> Confirmed {
    let Checkpoint { partition, position, event_id, .. } = *checkpoint;
    // A position without an event id cannot be compared, so it confirms nothing.
    let position = if event_id.is_some() { position } else { 0 };
    Confirmed { partition, position, event_id, store_epoch }
}

async fn in_transaction(
    deps: &ReplayDeps,
    transaction: &mut PgConnection,
    log: &OurLog,
    before: &Checkpoint,
    upper: i64,
) -> Result<(Corrected, Checkpoint), ReplayError> {
    let Checkpoint { partition, position: from, kafka_offset, .. } = *before;
    let common = last_common(&deps.feed, transaction, partition, upper.min(from)).await?;
    if common < from {
        checkpoints::rewind(&mut *transaction, partition, common, kafka_offset).await?;
        // The rewind raised the epoch, so the checkpoint is read again.
        let back = checkpoints::hold_one(transaction, partition).await?;
        let progress = Progress::new(0, 0);
        PartitionLoader::new(deps, &progress, transaction, log, &back, from)
            // A restored log may end before the position of the views.
            .by_log_to_its_end()
            .await?;
    }
    let mut now = checkpoints::hold_one(transaction, partition).await?;
    // The rewind clears the id, and no later event of the log has set one.
    if now.position > 0
        && now.event_id.is_none()
        && let Some(event) = deps.feed.event_at(partition, now.position).await?
    {
        checkpoints::name(&mut *transaction, partition, &event).await?;
        now.event_id = Some(event.event_id);
    }
    Ok((Corrected { from, common, to: now.position }, now))
}
