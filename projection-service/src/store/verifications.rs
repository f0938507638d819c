//! Verifications of all instances, each stored by the instance that runs it.

use serde_json::Value;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// Number of rows kept; older ones are deleted.
const KEPT: i64 = 20;

/// Stored verification.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StoredVerification {
    /// State, as JSON.
    pub body: Value,
    /// True if it is marked as running but was not updated for 30 s.
    pub is_lost: bool,
}

/// Stores the state of a verification.
pub async fn save(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    running: bool,
    body: &Value,
) -> sqlx::Result<()> {
    sqlx::query(
        "WITH reported AS (
            INSERT INTO projection.verifications (verify_id, running, body) VALUES ($1, $2, $3)
            ON CONFLICT (verify_id) DO UPDATE SET running = $2, body = $3,
                told_at = clock_timestamp())
         DELETE FROM projection.verifications WHERE verify_id IN (
            SELECT verify_id FROM projection.verifications ORDER BY verify_id DESC OFFSET $4)",
    )
    .bind(id)
    .bind(running)
    .bind(body)
    // Ids of version 7 ascend by time, so the query deletes the oldest rows.
    .bind(KEPT)
    .execute(executor)
    .await
    .map(drop)
}

/// Returns the verification with this id, if there is one.
pub async fn find(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> sqlx::Result<Option<StoredVerification>> {
    sqlx::query_as(
        // Postgres supplies both times, so the clocks of the instances need not agree.
        "SELECT body, running AND told_at < clock_timestamp() - interval '30 seconds' AS is_lost
           FROM projection.verifications WHERE verify_id = $1",
    )
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// Returns the id of a running verification of any instance.
pub async fn running(executor: impl PgExecutor<'_>) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "SELECT verify_id FROM projection.verifications
          WHERE running AND told_at >= clock_timestamp() - interval '30 seconds'
              ORDER BY verify_id DESC LIMIT 1",
    )
    .fetch_optional(executor)
    .await
}
