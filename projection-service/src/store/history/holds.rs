//! The holds of an account: each is placed by one event, and ends by one other.

use passbook_shared::event::HoldStatus;
use passbook_shared::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};
use uuid::Uuid;

/// A hold. Amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Unique in the account.
    pub hold_id: Uuid,
    /// All that was set aside.
    pub amount: i64,
    /// How much of that went out in the end.
    pub captured: i64,
    /// How it stands.
    pub status: HoldStatus,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// What for.
    pub reference: Option<String>,
    /// The labels it was placed with, as JSON.
    pub metadata: Option<String>,
    /// The version that placed it.
    pub placed_version: i64,
    /// When that was recorded.
    pub placed_at: Timestamp,
    /// The version that ended it.
    pub ended_version: Option<i64>,
    /// When that was recorded.
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

/// The type of the event after which a hold stands so, beside the one that placed it.
fn end(status: HoldStatus) -> Option<&'static str> {
    match status {
        HoldStatus::Open => None,
        HoldStatus::Captured => Some("HoldCaptured"),
        HoldStatus::Released => Some("HoldReleased"),
        HoldStatus::Expired => Some("HoldExpired"),
    }
}

fn ended_by(event_type: Option<&str>) -> sqlx::Result<HoldStatus> {
    let status = HoldStatus::ALL.into_iter().find(|status| end(*status) == event_type);
    status.ok_or_else(|| sqlx::Error::Decode(format!("no hold ends by {event_type:?}").into()))
}

/// Holds of an account as of `version` that were placed before another, newest first: those that stand so, or all.
pub async fn list(
    pool: &PgPool,
    account_id: Uuid,
    version: i64,
    before: i64,
    status: Option<HoldStatus>,
    limit: i64,
) -> sqlx::Result<Vec<Hold>> {
    // `MATERIALIZED` has an account's few holds found by their own index, not among all its entries, newest first.
    sqlx::query_as(
        "WITH placed AS MATERIALIZED (
             SELECT h.hold_id, h.hold_amount, h.expires_at, h.reference, h.metadata, h.version, h.recorded_at
               FROM history AS h
              WHERE h.account_id = $1 AND h.hold_id IS NOT NULL AND h.type = 'HoldPlaced'
                AND h.version < $2 AND h.version <= $6)
         SELECT p.hold_id, p.hold_amount, p.expires_at, p.reference, p.metadata::text AS metadata, p.version,
                p.recorded_at, coalesce(-e.amount, 0) AS captured, e.type AS ended_by, e.version AS ended_version,
                e.recorded_at AS ended_at
           FROM placed AS p
           LEFT JOIN history AS e
             ON e.account_id = $1 AND e.hold_id = p.hold_id AND e.type <> 'HoldPlaced' AND e.version <= $6
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
