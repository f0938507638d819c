//! Deletion of expired idempotency keys.

use std::ops::Range;
use std::time::Duration;

use sqlx::PgConnection;

/// Returns the number of pages of the table of keys.
pub async fn pages(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let sql =
        "SELECT pg_relation_size('passbook.commands') / current_setting('block_size')::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Deletes the keys older than `keep` (at least a week) on the given pages, and returns their
/// number.
pub async fn forget(
    connection: &mut PgConnection,
    pages: Range<i64>,
    keep: Duration,
) -> sqlx::Result<u64> {
    let forgotten: i64 =
        sqlx::query_scalar("SELECT passbook.forget_keys($1, $2, make_interval(secs => $3))")
            .bind(pages.start)
            .bind(pages.end)
            .bind(keep.as_secs_f64())
            .fetch_one(connection)
            .await?;
    Ok(forgotten.unsigned_abs())
}
