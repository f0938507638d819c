//! Checks of the start of a replay.

use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use crate::http::{AppState, log_queries};
use crate::store::replay_target::ReplayTarget;
use crate::store::{accounts, checkpoints, generations};

/// Checks that the account exists in the views, or in the log, which may be ahead of them.
pub(super) async fn account_exists(
    state: &AppState,
    connection: &mut sqlx::PgConnection,
    account_id: Uuid,
) -> Result<(), Problem> {
    let accounts = [account_id];
    let known = state.views.read(|_| accounts::states(connection, &accounts)).await?;
    // An account that the views lack can be built from the log.
    if known.is_empty()
        && log_queries::query(state.log.feed.event_of(account_id, 1)).await?.is_none()
    {
        return Err(Problem::account_not_found(account_id));
    }
    Ok(())
}

/// Checks that a start names partitions, offsets or a generation that exist.
pub(super) async fn target(
    connection: &mut sqlx::PgConnection,
    from: &ReplayTarget,
) -> Result<(), Problem> {
    match from {
        ReplayTarget::Beginning | ReplayTarget::Time(_) | ReplayTarget::AccountId(_) => Ok(()),
        ReplayTarget::PartitionOffsets(offsets) => {
            let partitions = checkpoints::all(connection).await?;
            for (partition, offset) in offsets {
                if !partitions.iter().any(|checkpoint| checkpoint.partition == *partition) {
                    let detail = format!("the log has no partition {partition}");
                    return Err(Problem::malformed(
                        format!("partition_offsets.{partition}"),
                        detail,
                    ));
                }
                let read = partitions
                    .iter()
                    .find(|c| c.partition == *partition)
                    .and_then(|c| c.kafka_offset)
                    .unwrap_or(0);
                // From a later offset, nothing was applied that could be applied again.
                if !(0..=read).contains(offset) {
                    let detail = format!("must be from 0 to {read}, the next offset to read");
                    return Err(Problem::malformed(
                        format!("partition_offsets.{partition}"),
                        detail,
                    ));
                }
            }
            match offsets.is_empty() {
                true => Err(Problem::malformed("partition_offsets", "must name a partition")),
                false => Ok(()),
            }
        }
        ReplayTarget::Generation(wanted) => {
            let live = generations::live(&mut *connection).await?;
            let all = generations::all(connection).await?;
            match all.iter().find(|generation| generation.0 == *wanted) {
                Some(generation) if *generation == live => {
                    Err(Problem::malformed("generation", "is live already"))
                }
                Some(_) => Ok(()),
                None => Err(Problem::malformed("generation", "does not exist")),
            }
        }
    }
}
