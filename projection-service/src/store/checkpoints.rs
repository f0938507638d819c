//! How far each partition has been applied.

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A partition's checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Checkpoint {
    /// Of the log.
    pub partition: Partition,
    /// Of the last event applied; 0 before the first.
    pub position: i64,
    /// Counts changes behind the writer's back.
    pub epoch: i64,
    /// Where in the topic to read on, if a record was read there before.
    pub kafka_offset: Option<i64>,
    /// The last event applied.
    pub event_id: Option<Uuid>,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
}

/// Makes the checkpoints of a topic of so many partitions that are not there yet.
pub async fn ensure(connection: &mut PgConnection, partitions: Partition) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO checkpoints (partition) SELECT p FROM generate_series(0, $1 - 1) AS p
         WHERE NOT EXISTS (SELECT FROM checkpoints AS c WHERE c.partition = p)
         ON CONFLICT DO NOTHING",
    )
    .bind(i32::from(partitions))
    .execute(connection)
    .await
    .map(drop)
}

/// Every partition's checkpoint, by partition.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at FROM checkpoints ORDER BY partition",
    )
    .fetch_all(executor)
    .await
}

/// The partitions whose checkpoints nobody holds: those of others are being applied again.
pub async fn free(connection: &mut PgConnection) -> sqlx::Result<Vec<Partition>> {
    sqlx::query_scalar("SELECT partition FROM checkpoints FOR UPDATE SKIP LOCKED")
        .fetch_all(connection)
        .await
}

/// A partition's checkpoint, if there is one.
pub async fn find(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<Option<Checkpoint>> {
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at FROM checkpoints WHERE partition = $1",
    )
    .bind(partition)
    .fetch_optional(executor)
    .await
}

/// A partition's position; 0 if nothing of it was applied.
pub async fn position(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT position FROM checkpoints WHERE partition = $1")
        .bind(partition)
        .fetch_optional(executor)
        .await
        .map(Option::unwrap_or_default)
}

/// The views of a partition were changed behind their writer's back: it begins anew.
pub async fn raise_epoch(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<()> {
    sqlx::query("UPDATE checkpoints SET epoch = epoch + 1 WHERE partition = $1")
        .bind(partition)
        .execute(executor)
        .await
        .map(drop)
}

/// Every partition's checkpoint; none of them moves until the transaction ends.
///
/// # Errors
/// As any query; `lock_not_available` if a writer does not let go of one within 2 s.
pub async fn hold(connection: &mut PgConnection) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *connection).await?;
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at FROM checkpoints ORDER BY partition
            FOR UPDATE",
    )
    .fetch_all(connection)
    .await
}

/// As [`hold`], of one partition.
///
/// # Errors
/// As [`hold`].
pub async fn hold_one(
    connection: &mut PgConnection,
    partition: Partition,
) -> sqlx::Result<Checkpoint> {
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *connection).await?;
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at FROM checkpoints WHERE partition = $1
            FOR UPDATE",
    )
    .bind(partition)
    .fetch_one(connection)
    .await
}

/// Takes the views of a partition back to a position, by their own history; reading goes on at an offset of the topic.
pub async fn rewind(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    position: i64,
    read_from: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query("SELECT projection.rewind($1, $2, $3)")
        .bind(partition)
        .bind(position)
        .bind(read_from)
        .execute(executor)
        .await
        .map(drop)
}

/// Names the event at a checkpoint that does not: after going back.
pub async fn name(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    event: &RecordedEvent,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE checkpoints SET event_id = $2, recorded_at = $3 WHERE partition = $1")
        .bind(partition)
        .bind(event.event_id)
        .bind(event.recorded_at.to_utc())
        .execute(executor)
        .await
        .map(drop)
}
