//! Quarantined events. The first one of an account could not be applied; all later ones wait behind
//! it.

mod waiting;

use std::collections::HashMap;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgExecutor, Row};
use uuid::Uuid;

pub use waiting::{Waiting, accounts, among, of_account, since, waiting};

/// Event that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Quarantined {
    /// Number of the row.
    pub id: i64,
    /// Account, if readable.
    pub account_id: Option<Uuid>,
    /// Partition in which the event was found.
    pub partition: Partition,
    /// Position in the log, if readable.
    pub position: Option<i64>,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Reason of the failure.
    pub reason: String,
    /// Number of later events of the account that wait.
    pub waiting: i64,
    /// Time of the quarantine.
    pub since: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT q.id, q.account_id, q.partition, q.position, q.kafka_offset, q.reason, q.since,
                    (SELECT count(*) FROM quarantine AS w WHERE w.account_id = q.account_id
                        AND w.waits) AS waiting
               FROM quarantine AS q WHERE NOT q.waits ",
            $rest
        )
    };
}

/// Returns the newest events that could not be applied.
pub async fn newest(executor: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Quarantined>> {
    sqlx::query_as(select!("ORDER BY q.id DESC LIMIT $1")).bind(limit).fetch_all(executor).await
}

/// Returns a page of events that could not be applied, above a number, oldest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Quarantined>> {
    sqlx::query_as(select!("AND q.id > $1 ORDER BY q.id LIMIT $2"))
        .bind(after)
        .bind(limit)
        .fetch_all(executor)
        .await
}

/// Returns the event that could not be applied and has this number.
pub async fn find(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Quarantined>> {
    sqlx::query_as(select!("AND q.id = $1")).bind(id).fetch_optional(executor).await
}

/// Value of a quarantined record.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Document {
    /// Bytes as read.
    pub raw: Vec<u8>,
    /// The same bytes in base64.
    pub base64: String,
    /// Time of publication to the topic; absent if the event came from the log.
    pub published_at: Option<Timestamp>,
}

/// Returns the value of the record with this number.
pub async fn document(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Document>> {
    sqlx::query_as(
        // Postgres breaks base64 into lines, which `translate` removes.
        "SELECT document AS raw, translate(encode(document, 'base64'), chr(10), '') AS base64,
                published_at
           FROM quarantine WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// Size of the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct QuarantineSize {
    /// Number of quarantined events.
    pub number: i64,
    /// Time of the oldest.
    pub oldest: Option<Timestamp>,
}

/// Size of the quarantine.
pub async fn size(executor: impl PgExecutor<'_>) -> sqlx::Result<QuarantineSize> {
    sqlx::query_as("SELECT count(*) AS number, min(since) AS oldest FROM quarantine")
        .fetch_one(executor)
        .await
}

/// Returns the number of quarantined events of an account.
pub async fn count_of(executor: impl PgExecutor<'_>, account_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM quarantine WHERE account_id = $1")
        .bind(account_id)
        .fetch_one(executor)
        .await
}

/// Returns positions above `after` of a partition's events that could not be applied.
pub async fn failures(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    after: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT position FROM quarantine WHERE partition = $1 AND NOT waits AND position > $2",
    )
    .bind(partition)
    .bind(after)
    .fetch_all(executor)
    .await
}

/// Removes events from the quarantine.
pub async fn remove(executor: impl PgExecutor<'_>, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM quarantine WHERE id = ANY ($1)")
        .bind(ids)
        .execute(executor)
        .await
        .map(drop)
}

/// Marks an event as the one that could not be applied, with its reason.
pub async fn keep(executor: impl PgExecutor<'_>, id: i64, reason: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE quarantine SET waits = false, reason = $2 WHERE id = $1")
        .bind(id)
        .bind(reason)
        .execute(executor)
        .await
        .map(drop)
}

/// Returns the position of the first quarantined event of each account of a partition.
pub async fn first_positions(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows = sqlx::query(
        "SELECT account_id, min(position) FROM quarantine
          WHERE partition = $1 AND account_id IS NOT NULL
              AND position IS NOT NULL GROUP BY account_id",
    )
    .bind(partition)
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Returns account, version and document of quarantined events of a partition, by position.
pub async fn documents(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    accounts: &[Uuid],
    positions: &[i64],
) -> sqlx::Result<HashMap<i64, (Uuid, i64, Vec<u8>)>> {
    let rows = sqlx::query(
        // The account is part of the join, because the index begins with it.
        "SELECT q.position, q.account_id, q.version, q.document
           FROM quarantine AS q JOIN unnest($2::uuid[], $3::bigint[]) AS k (account_id, position)
                ON q.account_id = k.account_id AND q.position = k.position
          WHERE q.partition = $1",
    )
    .bind(partition)
    .bind(accounts)
    .bind(positions)
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))))
        .collect()
}

/// Returns the number of quarantined records of a partition, and how many of them are known to be
/// events.
pub async fn counts(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT count(*), count(account_id) FROM quarantine WHERE partition = $1")
        .bind(partition)
        .fetch_one(executor)
        .await
}
