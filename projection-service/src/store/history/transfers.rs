//! Transfers. Each has a leg in two accounts.

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::store::scope::Scope;

/// Leg of a transfer. Amounts are in minor units.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Leg {
    /// Account of the leg.
    pub account_id: Uuid,
    /// Version in the account.
    pub version: i64,
    /// Partition of the account.
    pub partition: Partition,
    /// Position in the partition.
    pub position: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Amount, negative for the sender.
    pub amount: i64,
    /// Balance after the leg.
    pub balance: i64,
    /// Time at which the leg was recorded.
    pub recorded_at: Timestamp,
    /// Effective time, if it differs from the time of recording.
    pub effective_at: Option<Timestamp>,
    /// Reference of the sender.
    pub reference: Option<String>,
    /// Metadata of the sender, as JSON.
    pub metadata: Option<String>,
    /// Account of the other leg.
    pub counterparty: Uuid,
    /// Version of the other leg in its account.
    pub counterparty_version: i64,
    /// Version of the entry that reverses the leg.
    pub reversed_by: Option<i64>,
    /// True if the account is in the scope, false if only its counterparty is.
    pub is_in_scope: bool,
}

/// Returns the legs of a transfer that were applied, if one of them is in the scope.
pub async fn legs(pool: &PgPool, scope: &Scope, transfer_id: Uuid) -> sqlx::Result<Vec<Leg>> {
    let mut legs: Vec<Leg> = sqlx::query_as(
        "WITH leg AS (
             SELECT h.account_id, h.version, h.counterparty, h.counterparty_version
               FROM history AS h WHERE h.transfer_id = $1 AND h.reverses IS NULL
              ORDER BY h.recorded_at, h.account_id, h.version LIMIT 1)
         SELECT h.account_id, h.version, a.partition, h.position, a.currency, h.amount,
             h.balance, h.recorded_at,
                h.effective_at, h.reference, h.metadata::text AS metadata, h.counterparty,
                    h.counterparty_version,
                (SELECT min(r.version) FROM history AS r
                  WHERE r.account_id = h.account_id AND r.reverses = h.version) AS reversed_by,
                ($2::text IS NULL OR a.tenant IS NOT DISTINCT FROM $2)
                    AND ($3::text IS NULL OR a.owner = $3) AS is_in_scope
           FROM (SELECT l.account_id, l.version FROM leg AS l
                  UNION ALL
                 SELECT l.counterparty, l.counterparty_version FROM leg AS l) AS k
           JOIN history AS h ON h.account_id = k.account_id AND h.version = k.version
               AND h.transfer_id = $1
           JOIN accounts AS a ON a.account_id = h.account_id",
    )
    .bind(transfer_id)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_all(pool)
    .await?;
    if !legs.iter().any(|leg| leg.is_in_scope) {
        legs.clear();
    }
    Ok(legs)
}
