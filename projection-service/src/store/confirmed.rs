//! What the log itself has confirmed of the views.

use std::collections::BTreeMap;

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// An event that the log had at its position when it was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Confirmed {
    /// The partition.
    pub partition: Partition,
    /// The position; 0 if nothing was confirmed yet.
    pub position: i64,
    /// The event there; absent at 0.
    pub event_id: Option<Uuid>,
    /// The epoch of the store that the views of the partition follow.
    pub store_epoch: Epoch,
}

/// Returns what was confirmed, by partition.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<BTreeMap<Partition, Confirmed>> {
    let sql = "SELECT partition, position, event_id, store_epoch FROM projection.confirmed";
    let rows: Vec<Confirmed> = sqlx::query_as(sql).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.partition, row)).collect())
}

/// Notes what the log has confirmed, in place of what it confirmed before.
pub async fn set(executor: impl PgExecutor<'_>, confirmed: Confirmed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO projection.confirmed (partition, position, event_id, store_epoch) VALUES ($1, $2, $3, $4)
         ON CONFLICT (partition) DO UPDATE
            SET position = excluded.position, event_id = excluded.event_id, store_epoch = excluded.store_epoch,
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
