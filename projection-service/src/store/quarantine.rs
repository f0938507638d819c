//! What was set aside, and the accounts that wait. Of each account one event could not be applied; all later ones wait
//! behind it.

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

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT q.id, q.account_id, q.partition, q.position, q.kafka_offset, q.reason, q.since,
                    (SELECT count(*) FROM quarantine AS w WHERE w.account_id = q.account_id AND w.waits) AS waiting
               FROM quarantine AS q WHERE NOT q.waits ",
            $rest
        )
    };
}

/// What could not be applied, the newest first.
pub async fn newest(executor: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Quarantined>> {
    sqlx::query_as(select!("ORDER BY q.id DESC LIMIT $1")).bind(limit).fetch_all(executor).await
}

/// What could not be applied, the oldest first, after a number.
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

/// What could not be applied and has this number.
pub async fn find(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Quarantined>> {
    sqlx::query_as(select!("AND q.id = $1")).bind(id).fetch_optional(executor).await
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Document {
    /// As it was read.
    pub raw: Vec<u8>,
    /// The same.
    pub base64: String,
    /// Since when it is in the topic, if it was read there.
    pub published_at: Option<Timestamp>,
}

/// The value of what has this number.
pub async fn document(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Document>> {
    sqlx::query_as(
        "SELECT document AS raw, translate(encode(document, 'base64'), chr(10), '') AS base64, published_at
           FROM quarantine WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(executor)
    .await
}

/// An event of an account, as it was set aside.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// Where it was found.
    pub partition: Partition,
    /// Its place there in the topic, if it was read there.
    pub kafka_offset: Option<i64>,
    /// Since when it is there.
    pub published_at: Option<Timestamp>,
    /// Its place there in the log.
    pub position: i64,
    /// Its place in its account.
    pub version: i64,
    /// The record's value.
    pub document: Vec<u8>,
}

/// Events of an account, after a position, in the order of the log: the one that could not be applied comes first.
pub async fn of_account(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "SELECT id, partition, kafka_offset, published_at, position, version, document FROM quarantine
          WHERE account_id = $1 AND position > $2 ORDER BY position LIMIT $3",
    )
    .bind(account_id)
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Versions and positions of the events of an account that wait, in order.
pub async fn waiting(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "SELECT version, position FROM quarantine WHERE account_id = $1 AND waits ORDER BY position LIMIT $2",
    )
    .bind(account_id)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Those of the accounts that have an event set aside: what comes for them waits behind it.
pub async fn among(
    executor: impl PgExecutor<'_>,
    accounts: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let sql = "SELECT account_id FROM quarantine WHERE account_id = ANY ($1) AND NOT waits";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(accounts).fetch_all(executor).await?;
    Ok(ids.into_iter().collect())
}

/// Every account that has an event set aside.
pub async fn accounts(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT account_id FROM quarantine WHERE account_id IS NOT NULL AND NOT waits",
    )
    .fetch_all(executor)
    .await
}

/// Since when an account waits, if it does.
pub async fn since(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar("SELECT since FROM quarantine WHERE account_id = $1 AND NOT waits")
        .bind(account_id)
        .fetch_optional(executor)
        .await
}

/// How much is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Held {
    /// Records and events.
    pub number: i64,
    /// Since when the oldest of them is.
    pub oldest: Option<Timestamp>,
}

/// How much is in quarantine.
pub async fn held(executor: impl PgExecutor<'_>) -> sqlx::Result<Held> {
    sqlx::query_as("SELECT count(*) AS number, min(since) AS oldest FROM quarantine")
        .fetch_one(executor)
        .await
}

/// How many are set aside of an account.
pub async fn count_of(executor: impl PgExecutor<'_>, account_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM quarantine WHERE account_id = $1")
        .bind(account_id)
        .fetch_one(executor)
        .await
}

/// The positions of events of a partition that could not be applied, after one of them.
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

/// They are set aside no longer.
pub async fn remove(executor: impl PgExecutor<'_>, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM quarantine WHERE id = ANY ($1)")
        .bind(ids)
        .execute(executor)
        .await
        .map(drop)
}

/// It could not be applied, for this reason: later events of its account wait behind it.
pub async fn keep(executor: impl PgExecutor<'_>, id: i64, reason: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE quarantine SET waits = false, reason = $2 WHERE id = $1")
        .bind(id)
        .bind(reason)
        .execute(executor)
        .await
        .map(drop)
}

/// The accounts of a partition that have events set aside, each with the position of the first of them.
pub async fn first_positions(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<HashMap<Uuid, i64>> {
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
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))))
        .collect()
}

/// How much of a partition is set aside: records and events, and how many of them are known to be events.
pub async fn counts(
    executor: impl PgExecutor<'_>,
    partition: Partition,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT count(*), count(account_id) FROM quarantine WHERE partition = $1")
        .bind(partition)
        .fetch_one(executor)
        .await
}
