//! Store that the views are built from.

use passbook_shared::partition::PartitionCount;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// Identity of a store's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Store id, which every record carries.
    pub store_id: Uuid,
    /// Number of partitions of the log and the topic.
    pub partitions: PartitionCount,
}

/// Stores the source of the views, before the first event is applied.
pub async fn remember(connection: &mut PgConnection, log: Source) -> sqlx::Result<()> {
    sqlx::query(
        // The condition avoids a write at each start, because the source rarely changes.
        "INSERT INTO projection.source (store_id, partitions) VALUES ($1, $2)
         ON CONFLICT (only_one) DO UPDATE SET store_id = excluded.store_id,
             partitions = excluded.partitions
          WHERE source.store_id <> excluded.store_id OR source.partitions <> excluded.partitions",
    )
    .bind(log.store_id)
    .bind(log.partitions)
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the source, if reading has begun.
pub async fn find(connection: &mut PgConnection) -> sqlx::Result<Option<Source>> {
    let row = sqlx::query("SELECT store_id, partitions FROM projection.source")
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Source { store_id: row.try_get(0)?, partitions: row.try_get(1)? })).transpose()
}
