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

/// Remembers the source of the first record there ever was, and gives the one that is remembered.
///
/// # Errors
/// As any query.
pub async fn remember(connection: &mut PgConnection, seen: Source) -> sqlx::Result<Source> {
    sqlx::query("INSERT INTO projection.source (store_id, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(seen.store_id)
        .bind(seen.partitions)
        .execute(&mut *connection)
        .await?;
    find(connection).await.map(|source| source.unwrap_or(seen))
}

/// The source, if there was a record yet.
///
/// # Errors
/// As any query.
pub async fn find(connection: &mut PgConnection) -> sqlx::Result<Option<Source>> {
    let row = sqlx::query("SELECT store_id, partitions FROM projection.source").fetch_optional(connection).await?;
    row.map(|row| Ok(Source { store_id: row.try_get(0)?, partitions: row.try_get(1)? })).transpose()
}
