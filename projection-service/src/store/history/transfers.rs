//! Transfers: each has a leg in two accounts.

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// One leg of a transfer. Amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Leg {
    /// Whose entry it is.
    pub account_id: Uuid,
    /// Its place in the account.
    pub version: i64,
    /// Where the account lives in the log.
    pub partition: Partition,
    /// Its place there.
    pub position: i64,
    /// ISO 4217.
    pub currency: String,
    /// What it moved, negative for money out.
    pub amount: i64,
    /// The balance after it.
    pub balance: i64,
    /// When it was committed to the log.
    pub recorded_at: Timestamp,
    /// When it counts from, if not from when it was recorded.
    pub effective_at: Option<Timestamp>,
    /// What for.
    pub reference: Option<String>,
    /// The sender's labels, as JSON.
    pub metadata: Option<String>,
    /// The other leg's account.
    pub counterparty: Uuid,
    /// The other leg's version there.
    pub counterparty_version: i64,
    /// The version of the entry that undoes it.
    pub reversed_by: Option<i64>,
}

/// The legs of a transfer that are there.
pub async fn legs(pool: &PgPool, transfer_id: Uuid) -> sqlx::Result<Vec<Leg>> {
    sqlx::query_as(
        "WITH leg AS (
             SELECT h.account_id, h.version, h.counterparty, h.counterparty_version
               FROM history AS h WHERE h.transfer_id = $1 AND h.reverses IS NULL
              ORDER BY h.recorded_at, h.account_id, h.version LIMIT 1)
         SELECT h.account_id, h.version, a.partition, h.position, a.currency, h.amount, h.balance, h.recorded_at,
                h.effective_at, h.reference, h.metadata::text AS metadata, h.counterparty, h.counterparty_version,
                (SELECT min(r.version) FROM history AS r
                  WHERE r.account_id = h.account_id AND r.reverses = h.version) AS reversed_by
           FROM (SELECT l.account_id, l.version FROM leg AS l
                  UNION ALL
                 SELECT l.counterparty, l.counterparty_version FROM leg AS l) AS k
           JOIN history AS h ON h.account_id = k.account_id AND h.version = k.version AND h.transfer_id = $1
           JOIN accounts AS a ON a.account_id = h.account_id",
    )
    .bind(transfer_id)
    .fetch_all(pool)
    .await
}
