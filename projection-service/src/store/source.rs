//! Whose log the views are of.

use passbook_shared::partition::Partition;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// A store's log, as its topic shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Names the store in every record.
    pub store_id: Uuid,
    /// Of the topic, as of the log.
    pub partitions: Partition,
}

/// Remembers whose log the views are of, before its first event is applied.
pub async fn remember(connection: &mut PgConnection, log: Source) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO projection.source (store_id, partitions) VALUES ($1, $2)
         ON CONFLICT (only_one) DO UPDATE SET store_id = excluded.store_id, partitions = excluded.partitions
          WHERE source.store_id <> excluded.store_id OR source.partitions <> excluded.partitions",
    )
    .bind(log.store_id)
    .bind(log.partitions)
    .execute(connection)
    .await
    .map(drop)
}

/// The source, if reading has begun before.
pub async fn find(connection: &mut PgConnection) -> sqlx::Result<Option<Source>> {
    let row = sqlx::query("SELECT store_id, partitions FROM projection.source")
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Source { store_id: row.try_get(0)?, partitions: row.try_get(1)? })).transpose()
}
