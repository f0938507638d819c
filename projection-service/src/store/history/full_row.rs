//! Full rows of `history`, for comparisons with the log.

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::projection::Entry;
use crate::store::metadata;

/// Full row of an event, except the columns about its delivery. Text columns are as stored, so that
/// the comparison detects manual changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the table's definition documents its columns")]
pub struct FullRow<'r> {
    pub account_id: Uuid,
    pub version: i64,
    pub position: i64,
    pub recorded_at: Timestamp,
    pub amount: Option<i64>,
    pub balance: i64,
    pub held: i64,
    pub overdraft_limit: i64,
    pub transaction_count: i64,
    pub effective_at: Option<Timestamp>,
    pub reverses: Option<i64>,
    pub hold_amount: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub hold_id: Option<Uuid>,
    pub transfer_id: Option<Uuid>,
    pub counterparty: Option<Uuid>,
    pub counterparty_version: Option<i64>,
    pub status: &'r str,
    #[serde(rename = "type")]
    pub event_type: &'r str,
    pub reference: Option<&'r str>,
    pub owner: Option<&'r str>,
    pub metadata: Option<Value>,
}

impl<'e> From<&super::Row<'e>> for FullRow<'e> {
    fn from(row: &super::Row<'e>) -> Self {
        let Entry {
            after,
            amount,
            reference,
            effective_at,
            metadata,
            transfer,
            reverses,
            hold,
            owner,
        } = row.entry;
        Self {
            account_id: row.account_id,
            version: after.version,
            position: row.position,
            recorded_at: row.recorded_at,
            amount,
            balance: after.balance,
            held: after.held,
            overdraft_limit: after.overdraft_limit,
            transaction_count: after.transaction_count,
            effective_at,
            reverses,
            hold_amount: hold.map(|hold| hold.amount),
            expires_at: hold.and_then(|hold| hold.expires_at),
            hold_id: hold.map(|hold| hold.hold_id),
            transfer_id: transfer.map(|transfer| transfer.transfer_id),
            counterparty: transfer.map(|transfer| transfer.counterparty),
            counterparty_version: transfer.map(|transfer| transfer.counterparty_version),
            status: after.status.as_str(),
            event_type: row.event_type,
            reference,
            owner,
            metadata: metadata::value(metadata),
        }
    }
}

impl<'r> FullRow<'r> {
    /// Reads a row of this file's queries, from the second column on.
    fn read(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            account_id: row.try_get(1)?,
            version: row.try_get(2)?,
            position: row.try_get(3)?,
            recorded_at: row.try_get(4)?,
            amount: row.try_get(5)?,
            balance: row.try_get(6)?,
            held: row.try_get(7)?,
            overdraft_limit: row.try_get(8)?,
            transaction_count: row.try_get(9)?,
            effective_at: row.try_get(10)?,
            reverses: row.try_get(11)?,
            hold_amount: row.try_get(12)?,
            expires_at: row.try_get(13)?,
            hold_id: row.try_get(14)?,
            transfer_id: row.try_get(15)?,
            counterparty: row.try_get(16)?,
            counterparty_version: row.try_get(17)?,
            status: row.try_get(18)?,
            event_type: row.try_get(19)?,
            reference: row.try_get(20)?,
            owner: row.try_get(21)?,
            metadata: metadata::read(row.try_get(22)?)?,
        })
    }
}

/// Calls `each` with those of the rows that exist, and their index in the list.
pub async fn each_of(
    connection: &mut PgConnection,
    accounts: &[Uuid],
    versions: &[i64],
    mut each: impl FnMut(usize, &FullRow<'_>) + Send,
) -> sqlx::Result<()> {
    // `OFFSET 0` prevents a scan of the whole table for a small part of it.
    let mut rows = sqlx::query(
        "SELECT k.number - 1, h.account_id, h.version, h.position, h.recorded_at, h.amount,
                h.balance, h.held,
                h.overdraft_limit, h.transaction_count, h.effective_at, h.reverses,
                    h.hold_amount, h.expires_at,
                h.hold_id, h.transfer_id, h.counterparty, h.counterparty_version, h.status,
                    h.type, h.reference,
                h.owner, h.metadata::text
           FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS k (account_id, version, number)
          CROSS JOIN LATERAL (
                SELECT account_id, version, position, recorded_at, amount, balance, held,
                    overdraft_limit,
                       transaction_count, effective_at, reverses, hold_amount, expires_at,
                           hold_id, transfer_id,
                       counterparty, counterparty_version, status, type, reference, owner,
                           metadata
                  FROM history WHERE account_id = k.account_id
                      AND version = k.version OFFSET 0) AS h",
    )
    .bind(accounts)
    .bind(versions)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let place: i64 = row.try_get(0)?;
        // The rows may come in any order, so each carries its place in the list.
        each(usize::try_from(place).unwrap_or_default(), &FullRow::read(&row)?);
    }
    Ok(())
}

/// Returns rows with a version above the one given with the account, or below 1.
pub fn beyond<'c>(
    connection: &'c mut PgConnection,
    accounts: &'c [Uuid],
    versions: &'c [i64],
) -> BoxStream<'c, sqlx::Result<(Uuid, i64, i64)>> {
    sqlx::query_as(
        "SELECT h.account_id, h.version, h.position
           FROM unnest($1::uuid[], $2::bigint[]) AS k (account_id, version)
          CROSS JOIN LATERAL (
                SELECT account_id, version, position FROM history
                 WHERE account_id = k.account_id AND version > k.version
                 UNION ALL
                SELECT account_id, version, position FROM history
                 WHERE account_id = k.account_id AND version < 1 AND version <= k.version) AS h",
    )
    .bind(accounts)
    .bind(versions)
    .fetch(connection)
}

/// Returns accounts that have a history but no row in `accounts`. Reads one row per account.
pub async fn without_account(connection: &mut PgConnection) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        // A skip scan of the index: `DISTINCT` would read the row of each event.
        "WITH RECURSIVE ids AS (
            (SELECT h.account_id FROM history AS h ORDER BY h.account_id LIMIT 1)
             UNION ALL
            SELECT (SELECT h.account_id FROM history AS h WHERE h.account_id > i.account_id
                     ORDER BY h.account_id LIMIT 1)
              FROM ids AS i WHERE i.account_id IS NOT NULL)
         SELECT i.account_id FROM ids AS i
          WHERE i.account_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM accounts AS a WHERE a.account_id = i.account_id)",
    )
    .fetch_all(connection)
    .await
}
