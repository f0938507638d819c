//! Events of the views that the log has confirmed.

use std::collections::BTreeMap;

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Last event of a partition that the log has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Confirmed {
    /// Partition of the log.
    pub partition: Partition,
    /// Position of the event; 0 if none was confirmed yet.
    pub position: i64,
    /// Id of the event; absent at position 0.
    pub event_id: Option<Uuid>,
    /// Epoch of the store that the views of the partition follow.
    pub store_epoch: Epoch,
}

impl Confirmed {
    /// Returns whether this is the last event of the views.
    pub fn confirms(&self, checkpoint: &Checkpoint) -> bool {
        (self.position, self.event_id) == (checkpoint.position, checkpoint.event_id)
    }
}

/// Returns the confirmed events by partition.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<BTreeMap<Partition, Confirmed>> {
    let sql = "SELECT partition, position, event_id, store_epoch FROM projection.confirmed";
    let rows: Vec<Confirmed> = sqlx::query_as(sql).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.partition, row)).collect())
}

/// Replaces the confirmed event of a partition.
pub async fn set(executor: impl PgExecutor<'_>, confirmed: Confirmed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO projection.confirmed (partition, position, event_id, store_epoch)
                VALUES ($1, $2, $3, $4)
         ON CONFLICT (partition) DO UPDATE
            SET position = excluded.position, event_id = excluded.event_id,
                store_epoch = excluded.store_epoch,
                confirmed_at = clock_timestamp()",
    )
    .bind(confirmed.partition)
    .bind(confirmed.position)
    .bind(confirmed.event_id)
    .bind(confirmed.store_epoch)
    .execute(executor)
    .await
    .map(drop)
}
