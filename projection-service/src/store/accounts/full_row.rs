//! Full rows of `accounts`, for comparisons with the log.

use futures_util::TryStreamExt;
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::store::metadata;

/// Full row of an account. Text columns are as stored, so that the comparison detects manual
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the table's definition documents its columns")]
pub struct FullRow<'r> {
    pub account_id: Uuid,
    pub opened_at: Timestamp,
    pub last_activity: Timestamp,
    pub version: i64,
    pub position: i64,
    pub balance: i64,
    pub held: i64,
    pub overdraft_limit: i64,
    pub transaction_count: i64,
    pub partition: Partition,
    pub status: &'r str,
    pub currency: &'r str,
    pub owner: &'r str,
    pub opening_owner: Option<&'r str>,
    pub metadata: Option<Value>,
    pub tenant: Option<&'r str>,
}

impl<'r> FullRow<'r> {
    fn read(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            account_id: row.try_get(0)?,
            opened_at: row.try_get(1)?,
            last_activity: row.try_get(2)?,
            version: row.try_get(3)?,
            position: row.try_get(4)?,
            balance: row.try_get(5)?,
            held: row.try_get(6)?,
            overdraft_limit: row.try_get(7)?,
            transaction_count: row.try_get(8)?,
            partition: row.try_get(9)?,
            status: row.try_get(10)?,
            currency: row.try_get(11)?,
            owner: row.try_get(12)?,
            opening_owner: row.try_get(13)?,
            metadata: metadata::read(row.try_get(14)?)?,
            tenant: row.try_get(15)?,
        })
    }
}

/// Calls `each` with every account of a partition.
pub async fn each_of(
    connection: &mut PgConnection,
    partition: Partition,
    mut each: impl FnMut(&FullRow<'_>) + Send,
) -> sqlx::Result<()> {
    let mut rows = sqlx::query(
        "SELECT account_id, opened_at, last_activity, version, position, balance, held,
                overdraft_limit,
                transaction_count, partition, status, currency, owner, opening_owner,
                metadata::text, tenant
           FROM accounts WHERE partition = $1",
    )
    .bind(partition)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        each(&FullRow::read(&row)?);
    }
    Ok(())
}

/// Calls `each` with every listed account that exists.
pub async fn each_with(
    connection: &mut PgConnection,
    accounts: &[Uuid],
    mut each: impl FnMut(&FullRow<'_>) + Send,
) -> sqlx::Result<()> {
    let mut rows = sqlx::query(
        "SELECT account_id, opened_at, last_activity, version, position, balance, held,
                overdraft_limit,
                transaction_count, partition, status, currency, owner, opening_owner,
                metadata::text, tenant
           FROM accounts WHERE account_id = ANY ($1)",
    )
    .bind(accounts)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        each(&FullRow::read(&row)?);
    }
    Ok(())
}

/// Returns accounts whose partition a log of `partitions` partitions does not have.
pub async fn outside(
    connection: &mut PgConnection,
    partitions: PartitionCount,
) -> sqlx::Result<Vec<(Uuid, Partition)>> {
    sqlx::query_as(
        "SELECT account_id, partition FROM accounts WHERE partition < 0 OR partition >= $1",
    )
    .bind(partitions)
    .fetch_all(connection)
    .await
}
