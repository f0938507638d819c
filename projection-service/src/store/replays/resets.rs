//! Replays that a reset of the consumer group's offsets requests. Such a replay is pending until
//! the service has committed its own offsets again.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::store::replay_target::ReplayTarget;

/// Advisory lock of the instance that examines reset offsets.
const NOTICE_LOCK: i64 = 0x7061_7373_0001;

/// Tries to lock the examination of reset offsets, until [`notice_done`] or the end of the
/// connection.
pub async fn try_notice_alone(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(NOTICE_LOCK)
        .fetch_one(connection)
        .await
}

/// Unlocks the examination of reset offsets.
pub async fn notice_done(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(NOTICE_LOCK)
        .execute(connection)
        .await
        .map(drop)
}

/// Stores the replay that a reset of offsets requests. Replaces a pending one.
pub async fn notice(connection: &mut PgConnection, asked_for: &ReplayTarget) -> sqlx::Result<()> {
    sqlx::query(
        // One statement replaces the pending replay, so a crash cannot lose both.
        "WITH before AS (DELETE FROM projection.replays WHERE state = 'noticed')
         INSERT INTO projection.replays (replay_id, asked_for, state) VALUES ($1, $2, 'noticed')",
    )
    .bind(Uuid::now_v7())
    .bind(Json(asked_for))
    .execute(connection)
    .await
    .map(drop)
}

/// Deletes a pending replay whose reset was undone before the replay was queued.
pub async fn forget(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM projection.replays WHERE state = 'noticed'")
        .execute(connection)
        .await
        .map(drop)
}

/// Queues the pending replay, once the service's own offsets are committed again.
pub async fn confirm(connection: &mut PgConnection) -> sqlx::Result<()> {
    // Usually no replay is pending, and a retry or discard may have locked the table. The read
    // avoids that lock.
    let sql = "SELECT EXISTS (SELECT FROM projection.replays WHERE state = 'noticed')";
    if sqlx::query_scalar(sql).fetch_one(&mut *connection).await? {
        let sql = "UPDATE projection.replays SET state = 'waiting' WHERE state = 'noticed'";
        sqlx::query(sql).execute(connection).await?;
    }
    Ok(())
}
