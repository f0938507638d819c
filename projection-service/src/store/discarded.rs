//! Discarded events. They are kept forever, and apply to all generations of the views.

use std::collections::HashSet;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// Discarded event.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Discarded {
    /// Number of the row.
    #[sqlx(rename = "discarded_id")]
    pub id: i64,
    /// Account, if readable.
    pub account_id: Option<Uuid>,
    /// Partition in which the event was found.
    pub partition: Partition,
    /// Position in the log, if readable.
    pub position: Option<i64>,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Version in the account, if readable.
    pub version: Option<i64>,
    /// Reason of the quarantine.
    pub reason: String,
    /// Time of the quarantine.
    pub since: Timestamp,
    /// Reason of the discard.
    pub discard_reason: String,
    /// Time of the discard.
    pub discarded_at: Timestamp,
    /// Value of the record.
    pub document: Vec<u8>,
    /// Value of the record, in base64.
    pub document_base64: String,
}

/// Returns a page of discarded events below a number, newest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<Discarded>> {
    sqlx::query_as(
        // Postgres breaks base64 into lines, which `translate` removes.
        "SELECT discarded_id, account_id, partition, position, kafka_offset, version, reason,
                since, discard_reason,
                discarded_at, document, translate(encode(document, 'base64'), chr(10),
                    '') AS document_base64
           FROM projection.discarded WHERE discarded_id < $1 ORDER BY discarded_id DESC LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Returns the positions of the discarded events of these accounts.
pub async fn among(
    executor: impl PgExecutor<'_>,
    accounts: &[Uuid],
) -> sqlx::Result<Vec<Position>> {
    let found: Vec<(Partition, i64)> = sqlx::query_as(
        "SELECT partition, position FROM projection.discarded
          WHERE account_id = ANY ($1) AND position IS NOT NULL",
    )
    .bind(accounts)
    .fetch_all(executor)
    .await?;
    Ok(found.into_iter().map(|(partition, number)| Position { partition, number }).collect())
}

/// Returns the positions of the discarded events of a partition.
pub async fn positions(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<HashSet<i64>> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM projection.discarded
          WHERE partition = $1 AND account_id IS NOT NULL AND position IS NOT NULL",
    )
    .bind(partition)
    .fetch_all(executor)
    .await?;
    Ok(found.into_iter().collect())
}

/// Returns whether an account's event with this version was discarded.
pub async fn contains(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    version: i64,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM projection.discarded WHERE account_id = $1 AND version = $2)",
    )
    .bind(account_id)
    .bind(version)
    .fetch_one(executor)
    .await
}

/// Facts about an event that its quarantine row lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Time at which the event was recorded.
    pub recorded_at: Timestamp,
    /// True if the event has the next version of its account. The history then lacks that version.
    pub passed_over: bool,
}

/// Copies a quarantined row to the discarded ones, with a reason. `event` is absent if the record
/// is not an event. The caller removes the row from the quarantine.
pub async fn record(
    executor: impl PgExecutor<'_>,
    id: i64,
    event: Option<Event>,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO projection.discarded (partition, position, kafka_offset, account_id,
                version, recorded_at,
                                           passed_over, reason, since, document, discard_reason)
         SELECT partition, position, kafka_offset, account_id, version, $2, $3, reason, since,
             document, $4
           FROM quarantine WHERE id = $1",
    )
    .bind(id)
    .bind(event.map(|event| event.recorded_at))
    .bind(event.is_some_and(|event| event.passed_over))
    .bind(reason)
    .execute(executor)
    .await
    .map(drop)
}
