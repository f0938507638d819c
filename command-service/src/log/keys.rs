//! Idempotency keys that have been kept for long enough.

use std::ops::Range;
use std::time::Duration;

use sqlx::PgConnection;

/// How many pages the table of keys has.
///
/// # Errors
/// As any query.
pub async fn pages(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let sql = "SELECT pg_relation_size('passbook.commands') / current_setting('block_size')::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Deletes the keys on some of its pages that are older than `keep`; gives how many.
///
/// # Errors
/// As any query.
pub async fn forget(connection: &mut PgConnection, pages: Range<i64>, keep: Duration) -> sqlx::Result<u64> {
    let sql = "DELETE FROM passbook.commands
                WHERE ctid >= $1::text::tid AND ctid < $2::text::tid
                  AND recorded_at < clock_timestamp() - make_interval(secs => $3)";
    sqlx::query(sql)
        .bind(format!("({},0)", pages.start))
        .bind(format!("({},0)", pages.end))
        .bind(keep.as_secs_f64())
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}
