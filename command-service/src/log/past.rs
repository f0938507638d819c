//! Facts that commands need and states do not keep: entries to be reversed, holds that have
//! ended, transfers by id.

use std::collections::HashMap;

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row};
use uuid::Uuid;

use super::load::decode;

/// An entry of an account, by its version.
pub type EntryId = (Partition, Uuid, i64);
/// A hold of an account.
pub type HoldId = (Partition, Uuid, Uuid);

/// An entry, and whether it was undone.
#[derive(Debug)]
pub struct Entry {
    /// The event of the entry.
    pub event: Result<AccountEvent, DecodeError>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The version of the reversal, if there is one.
    pub reversed_by: Option<i64>,
}

/// Those of the entries that are there.
///
/// # Errors
/// Errors of Postgres.
pub async fn entries(
    executor: impl PgExecutor<'_>,
    wanted: &[EntryId],
) -> sqlx::Result<HashMap<EntryId, Entry>> {
    let rows = sqlx::query(
        "SELECT w.partition, w.account_id, w.version, e.type, e.schema_version, e.data::text,
                r.reversed_by, e.recorded_at
           FROM unnest($1, $2, $3) AS w (partition, account_id, version)
           JOIN passbook.events AS e USING (partition, account_id, version)
           LEFT JOIN passbook.reversals AS r USING (partition, account_id, version)",
    )
    .bind(wanted.iter().map(|entry| entry.0).collect::<Vec<_>>())
    .bind(wanted.iter().map(|entry| entry.1).collect::<Vec<_>>())
    .bind(wanted.iter().map(|entry| entry.2).collect::<Vec<_>>())
    .fetch_all(executor)
    .await?;
    let entry = |row: &PgRow| {
        let event = decode(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let id = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok((id, Entry { event, recorded_at: row.try_get(7)?, reversed_by: row.try_get(6)? }))
    };
    rows.iter().map(entry).collect()
}

/// Those of the holds that have ended, and how.
///
/// # Errors
/// Errors of Postgres.
pub async fn ended_holds(
    executor: impl PgExecutor<'_>,
    wanted: &[HoldId],
) -> sqlx::Result<Vec<((Uuid, Uuid), HoldStatus)>> {
    let rows = sqlx::query(
        "SELECT h.account_id, h.hold_id, h.ended
           FROM unnest($1, $2, $3) AS w (partition, account_id, hold_id)
           JOIN passbook.holds AS h USING (partition, account_id, hold_id)
          WHERE h.ended IS NOT NULL",
    )
    .bind(wanted.iter().map(|hold| hold.0).collect::<Vec<_>>())
    .bind(wanted.iter().map(|hold| hold.1).collect::<Vec<_>>())
    .bind(wanted.iter().map(|hold| hold.2).collect::<Vec<_>>())
    .fetch_all(executor)
    .await?;
    let ended = |row: &PgRow| Ok(((row.try_get(0)?, row.try_get(1)?), status(row.try_get(2)?)?));
    rows.iter().map(ended).collect()
}

fn status(text: &str) -> sqlx::Result<HoldStatus> {
    let known = HoldStatus::ALL.into_iter().find(|status| status.as_str() == text);
    known.ok_or_else(|| sqlx::Error::Decode(format!("`{text}` is no status of a hold").into()))
}

/// An open hold whose time is over.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct DueHold {
    /// Its account.
    pub account_id: Uuid,
    /// Its id.
    pub hold_id: Uuid,
    /// When it was over.
    pub expires_at: Timestamp,
}

/// Holds that are due by Postgres's clock, after the given one, the longest over first.
///
/// # Errors
/// Errors of Postgres.
pub async fn due_holds(
    executor: impl PgExecutor<'_>,
    after: Option<DueHold>,
    limit: usize,
) -> sqlx::Result<Vec<DueHold>> {
    sqlx::query_as(
        // After a key, not an offset: expiries remove rows meanwhile. `statement_timestamp` is
        // stable, so the index on `expires_at` can be used.
        "SELECT account_id, hold_id, expires_at FROM passbook.holds
          WHERE ended IS NULL AND expires_at <= statement_timestamp()
            AND (expires_at, account_id, hold_id) > (coalesce($1, '-infinity'::timestamptz), $2, $3)
          ORDER BY expires_at, account_id, hold_id LIMIT $4",
    )
    .bind(after.map(|hold| hold.expires_at))
    .bind(after.map_or(Uuid::nil(), |hold| hold.account_id))
    .bind(after.map_or(Uuid::nil(), |hold| hold.hold_id))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
}

/// Those of the transfers that are there: the account that sent, and the version of its leg.
///
/// # Errors
/// Errors of Postgres.
pub async fn transfers(
    executor: impl PgExecutor<'_>,
    wanted: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, (Uuid, i64)>> {
    // Without a partition: the ids are unique in the whole store.
    let sql = "SELECT transfer_id, account_id, version FROM passbook.transfers
                WHERE transfer_id = ANY ($1)";
    let rows = sqlx::query(sql).bind(wanted).fetch_all(executor).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}
