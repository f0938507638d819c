//! What was set aside, and the accounts that wait.

use std::collections::{HashMap, HashSet};

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgExecutor, Row};
use uuid::Uuid;

/// A record or an event that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Quarantined {
    /// Its number.
    pub id: i64,
    /// Whose it is, if that could be read.
    pub account_id: Option<Uuid>,
    /// Where it was found.
    pub partition: Partition,
    /// Its place there in the log, if that could be read.
    pub position: Option<i64>,
    /// Its place there in the topic, if it was read there.
    pub kafka_offset: Option<i64>,
    /// Why it was not applied.
    pub reason: String,
    /// How many later events of its account wait behind it.
    pub waiting: i64,
    /// When it was set aside.
    pub since: Timestamp,
}

/// What could not be applied, the newest first.
///
/// # Errors
/// As any query.
pub async fn newest(executor: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Quarantined>> {
    sqlx::query_as(
        "SELECT q.id, q.account_id, q.partition, q.position, q.kafka_offset, q.reason, q.since,
                (SELECT count(*) FROM quarantine AS w WHERE w.account_id = q.account_id AND w.waits) AS waiting
           FROM quarantine AS q WHERE NOT q.waits ORDER BY q.id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Those of the accounts that have an event set aside: what comes for them waits behind it.
///
/// # Errors
/// As any query.
pub async fn waiting(executor: impl PgExecutor<'_>, accounts: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT DISTINCT account_id FROM quarantine WHERE account_id = ANY ($1)")
        .bind(accounts)
        .fetch_all(executor)
        .await?;
    Ok(ids.into_iter().collect())
}

/// How many records and events are set aside.
///
/// # Errors
/// As any query.
pub async fn count(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM quarantine").fetch_one(executor).await
}

/// The accounts of a partition that have events set aside, each with the position of the first of them.
///
/// # Errors
/// As any query.
pub async fn first_positions(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows = sqlx::query(
        "SELECT account_id, min(position) FROM quarantine
          WHERE partition = $1 AND account_id IS NOT NULL AND position IS NOT NULL GROUP BY account_id",
    )
    .bind(partition)
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The documents of events of a partition that are set aside, by their positions; each with its account and version.
///
/// # Errors
/// As any query.
pub async fn documents(
    executor: impl PgExecutor<'_>,
    partition: Partition,
    accounts: &[Uuid],
    positions: &[i64],
) -> sqlx::Result<HashMap<i64, (Uuid, i64, Vec<u8>)>> {
    let rows = sqlx::query(
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
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))).collect()
}

/// How much of a partition is set aside: records and events, and how many of them are known to be events.
///
/// # Errors
/// As any query.
pub async fn counts(executor: impl PgExecutor<'_>, partition: Partition) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT count(*), count(account_id) FROM quarantine WHERE partition = $1")
        .bind(partition)
        .fetch_one(executor)
        .await
}
