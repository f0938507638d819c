//! Quarantined events of an account, and the accounts that have some.

use std::collections::HashSet;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// Quarantined event of an account.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// Number of the row.
    pub id: i64,
    /// Partition in which the event was found.
    pub partition: Partition,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Time of publication to the topic.
    pub published_at: Option<Timestamp>,
    /// Position in the log.
    pub position: i64,
    /// Version in the account.
    pub version: i64,
    /// Value of the record.
    pub document: Vec<u8>,
}

/// Returns quarantined events of an account above a position, ordered by position. The first one is
/// the one that could not be applied.
pub async fn of_account(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "SELECT id, partition, kafka_offset, published_at, position, version, document
                FROM quarantine
          WHERE account_id = $1 AND position > $2 ORDER BY position LIMIT $3",
    )
    .bind(account_id)
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Returns versions and positions of the waiting events of an account, in order.
pub async fn waiting(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "SELECT version, position FROM quarantine
          WHERE account_id = $1 AND waits ORDER BY position LIMIT $2",
    )
    .bind(account_id)
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Returns the listed accounts that have quarantined events. Their later events must wait.
pub async fn among(
    executor: impl PgExecutor<'_>,
    accounts: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let sql = "SELECT account_id FROM quarantine WHERE account_id = ANY ($1) AND NOT waits";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(accounts).fetch_all(executor).await?;
    Ok(ids.into_iter().collect())
}

/// Returns all accounts that have quarantined events.
pub async fn accounts(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT account_id FROM quarantine WHERE account_id IS NOT NULL AND NOT waits",
    )
    .fetch_all(executor)
    .await
}

/// Returns the time at which an account's first event was quarantined, if any.
pub async fn since(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar("SELECT since FROM quarantine WHERE account_id = $1 AND NOT waits")
        .bind(account_id)
        .fetch_optional(executor)
        .await
}
