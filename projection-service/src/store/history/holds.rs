//! Holds of an account. One event places a hold, and another one ends it.

use passbook_shared::event::HoldStatus;
use passbook_shared::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};
use uuid::Uuid;

use crate::store::scope::AccountInScope;

/// Hold. Amounts are in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Hold id, unique in the account.
    pub hold_id: Uuid,
    /// Amount held when the hold was placed.
    pub amount: i64,
    /// Amount captured when the hold ended.
    pub captured: i64,
    /// Status.
    pub status: HoldStatus,
    /// Time of expiry, if any.
    pub expires_at: Option<Timestamp>,
    /// Reference of the sender.
    pub reference: Option<String>,
    /// Metadata of the placement, as JSON.
    pub metadata: Option<String>,
    /// Version of the account's event that placed the hold.
    pub placed_version: i64,
    /// Time at which that event was recorded.
    pub placed_at: Timestamp,
    /// Version of the account's event that ended the hold.
    pub ended_version: Option<i64>,
    /// Time at which that event was recorded.
    pub ended_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Hold {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            hold_id: row.try_get("hold_id")?,
            amount: row.try_get("hold_amount")?,
            captured: row.try_get("captured")?,
            status: ended_by(row.try_get("ended_by")?)?,
            expires_at: row.try_get("expires_at")?,
            reference: row.try_get("reference")?,
            metadata: row.try_get("metadata")?,
            placed_version: row.try_get("version")?,
            placed_at: row.try_get("recorded_at")?,
            ended_version: row.try_get("ended_version")?,
            ended_at: row.try_get("ended_at")?,
        })
    }
}

/// Returns the type of the event that leads to a status, other than the placement.
fn end(status: HoldStatus) -> Option<&'static str> {
    match status {
        HoldStatus::Open => None,
        HoldStatus::Captured => Some("HoldCaptured"),
        HoldStatus::Released => Some("HoldReleased"),
        HoldStatus::Expired => Some("HoldExpired"),
    }
}

fn ended_by(event_type: Option<&str>) -> sqlx::Result<HoldStatus> {
    // The inverse of `end`, which therefore has the only list of event types.
    let status = HoldStatus::ALL.into_iter().find(|status| end(*status) == event_type);
    status.ok_or_else(|| {
        sqlx::Error::Decode(format!("event type {event_type:?} does not end a hold").into())
    })
}

/// Returns holds of an account as of `version` that were placed before another version, newest
/// first, with this status or any.
pub async fn list(
    pool: &PgPool,
    account_id: AccountInScope,
    version: i64,
    before: i64,
    status: Option<HoldStatus>,
    limit: i64,
) -> sqlx::Result<Vec<Hold>> {
    // `MATERIALIZED` makes Postgres find an account's few holds by their own index, not by scanning
    // all of its entries from the newest.
    sqlx::query_as(
        "WITH placed AS MATERIALIZED (
             SELECT h.hold_id, h.hold_amount, h.expires_at, h.reference, h.metadata, h.version,
                 h.recorded_at
               FROM history AS h
              WHERE h.account_id = $1 AND h.hold_id IS NOT NULL AND h.type = 'HoldPlaced'
                AND h.version < $2 AND h.version <= $6)
         SELECT p.hold_id, p.hold_amount, p.expires_at, p.reference,
             p.metadata::text AS metadata, p.version,
                p.recorded_at, coalesce(-e.amount, 0) AS captured, e.type AS ended_by,
                    e.version AS ended_version,
                e.recorded_at AS ended_at
           FROM placed AS p
           LEFT JOIN history AS e
             ON e.account_id = $1 AND e.hold_id = p.hold_id AND e.type <> 'HoldPlaced'
                 AND e.version <= $6
          WHERE $3 OR e.type IS NOT DISTINCT FROM $4
          ORDER BY p.version DESC LIMIT $5",
    )
    .bind(account_id)
    .bind(before)
    .bind(status.is_none())
    .bind(status.and_then(end))
    .bind(limit)
    .bind(version)
    .fetch_all(pool)
    .await
}
