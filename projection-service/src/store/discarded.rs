//! What somebody threw away: kept for good, and of all generations of the views.

use std::collections::HashSet;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// A record or an event that was thrown away.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Discarded {
    /// Its number.
    #[sqlx(rename = "discarded_id")]
    pub id: i64,
    /// Whose it is, if that could be read.
    pub account_id: Option<Uuid>,
    /// Where it was found.
    pub partition: Partition,
    /// Its place there in the log, if that could be read.
    pub position: Option<i64>,
    /// Its place there in the topic, if it was read there.
    pub kafka_offset: Option<i64>,
    /// Its place in its account.
    pub version: Option<i64>,
    /// Why it was set aside.
    pub reason: String,
    /// When that was.
    pub since: Timestamp,
    /// Why it was thrown away.
    pub discard_reason: String,
    /// When that was.
    pub discarded_at: Timestamp,
    /// The record's value.
    pub document: Vec<u8>,
    /// The same in base64.
    pub document_base64: String,
}

/// The newest first, before a number.
pub async fn list(
    executor: impl PgExecutor<'_>,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<Discarded>> {
    sqlx::query_as(
        "SELECT discarded_id, account_id, partition, position, kafka_offset, version, reason, since, discard_reason,
                discarded_at, document, translate(encode(document, 'base64'), chr(10), '') AS document_base64
           FROM projection.discarded WHERE discarded_id < $1 ORDER BY discarded_id DESC LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// The places of events of these accounts that were thrown away.
pub async fn among(
    executor: impl PgExecutor<'_>,
    accounts: &[Uuid],
) -> sqlx::Result<Vec<Position>> {
    let found: Vec<(Partition, i64)> = sqlx::query_as(
        "SELECT partition, position FROM projection.discarded WHERE account_id = ANY ($1) AND position IS NOT NULL",
    )
    .bind(accounts)
    .fetch_all(executor)
    .await?;
    Ok(found.into_iter().map(|(partition, number)| Position { partition, number }).collect())
}

/// The positions of events of a partition that were thrown away.
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

/// Whether an account's event with this version was thrown away.
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

/// What is known of an event beside what the quarantine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whether its version is next in its account, which so has a hole there.
    pub passed_over: bool,
}

/// Records that what has this number in the quarantine is thrown away, for a reason; of a record that is no event, with
/// no `event`. It is still to be removed there.
pub async fn record(
    executor: impl PgExecutor<'_>,
    id: i64,
    event: Option<Event>,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO projection.discarded (partition, position, kafka_offset, account_id, version, recorded_at,
                                           passed_over, reason, since, document, discard_reason)
         SELECT partition, position, kafka_offset, account_id, version, $2, $3, reason, since, document, $4
           FROM quarantine WHERE id = $1",
    )
    .bind(id)
    .bind(event.map(|event| event.recorded_at.to_utc()))
    .bind(event.is_some_and(|event| event.passed_over))
    .bind(reason)
    .execute(executor)
    .await
    .map(drop)
}
