//! Progress of each partition.

use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::{PgConnection, PgExecutor};

use crate::checkpoint::Checkpoint;

/// Creates the missing checkpoints of a topic with `partitions` partitions.
pub async fn ensure(connection: &mut PgConnection, partitions: PartitionCount) -> sqlx::Result<()> {
    sqlx::query(
        // Another instance may insert the same rows at the same time.
        "INSERT INTO checkpoints (partition) SELECT p FROM generate_series(0, $1 - 1) AS p
         WHERE NOT EXISTS (SELECT FROM checkpoints AS c WHERE c.partition = p)
         ON CONFLICT DO NOTHING",
    )
    .bind(i32::from(partitions.get()))
    .execute(connection)
    .await
    .map(drop)
}

/// Returns all checkpoints, ordered by partition.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at
           FROM checkpoints ORDER BY partition",
    )
    .fetch_all(executor)
    .await
}

/// Locks and returns the checkpoints that no other transaction has locked. Replays hold the locks
/// of the others.
pub async fn free(connection: &mut PgConnection) -> sqlx::Result<Vec<Partition>> {
    // Outside of a transaction, the locks end with the statement, which then only tests them.
    sqlx::query_scalar("SELECT partition FROM checkpoints FOR UPDATE SKIP LOCKED")
        .fetch_all(connection)
        .await
}

/// Returns the checkpoint of a partition.
pub async fn find(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<Option<Checkpoint>> {
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at
           FROM checkpoints WHERE partition = $1",
    )
    .bind(partition)
    .fetch_optional(executor)
    .await
}

/// Returns the position of a partition; 0 if nothing was applied.
pub async fn position(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT position FROM checkpoints WHERE partition = $1")
        .bind(partition)
        .fetch_optional(executor)
        .await
        .map(Option::unwrap_or_default)
}

/// Raises the epoch of a partition after its views were changed, so that the consumer restarts from
/// the checkpoint.
pub async fn raise_epoch(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<()> {
    sqlx::query("UPDATE checkpoints SET epoch = epoch + 1 WHERE partition = $1")
        .bind(partition)
        .execute(executor)
        .await
        .map(drop)
}

/// Locks and returns all checkpoints until the end of the transaction.
///
/// # Errors
/// `lock_not_available` if another transaction holds a lock for more than 2 s.
pub async fn hold(connection: &mut PgConnection) -> sqlx::Result<Vec<Checkpoint>> {
    // A rewind may hold the lock for long, so the caller gives up soon.
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *connection).await?;
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at
                FROM checkpoints ORDER BY partition
            FOR UPDATE",
    )
    .fetch_all(connection)
    .await
}

/// Locks and returns the checkpoint of one partition, as [`hold`] does for all.
///
/// # Errors
/// Same as for [`hold`].
pub async fn hold_one(
    connection: &mut PgConnection,
    partition: Partition,
) -> sqlx::Result<Checkpoint> {
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *connection).await?;
    sqlx::query_as(
        "SELECT partition, position, epoch, kafka_offset, event_id, recorded_at
                FROM checkpoints WHERE partition = $1
            FOR UPDATE",
    )
    .bind(partition)
    .fetch_one(connection)
    .await
}

/// Rewinds the views of a partition to a position by their history. Reading resumes at `read_from`.
pub async fn rewind(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    position: i64,
    read_from: Option<i64>,
) -> sqlx::Result<()> {
    // The function also raises the epoch, so the consumer restarts from the checkpoint.
    sqlx::query("SELECT projection.rewind($1, $2, $3)")
        .bind(partition)
        .bind(position)
        .bind(read_from)
        .execute(executor)
        .await
        .map(drop)
}

/// Sets the event id of a checkpoint that has none after a rewind.
pub async fn name(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    event: &RecordedEvent,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE checkpoints SET event_id = $2, recorded_at = $3 WHERE partition = $1")
        .bind(partition)
        .bind(event.event_id)
        .bind(event.recorded_at)
        .execute(executor)
        .await
        .map(drop)
}
