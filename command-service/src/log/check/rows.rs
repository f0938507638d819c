//! Queries of the check.

use std::collections::HashMap;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::upcast::DecodeError;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::account::STATE_VERSION;
use crate::log::load::decode;

/// Event of the log.
pub(super) struct StoredEvent {
    pub(super) account_id: Uuid,
    pub(super) version: i64,
    pub(super) position: i64,
    pub(super) event: Result<AccountEvent, DecodeError>,
}

/// Snapshot as stored.
pub(super) struct StoredSnapshot {
    pub(super) position: i64,
    pub(super) state: String,
}

/// Returns the last position of a partition by its events and by its head.
pub(super) async fn head(
    connection: &mut PgConnection,
    partition: Partition,
) -> sqlx::Result<(i64, Option<i64>)> {
    sqlx::query_as(
        "SELECT coalesce((SELECT max(e.position) FROM passbook.events AS e WHERE e.partition =
         $1), 0),
                (SELECT h.position FROM passbook.log_head AS h WHERE h.partition = $1)",
    )
    .bind(partition)
    .fetch_one(connection)
    .await
}

/// Returns events of a partition after a place, ordered by account and version.
pub(super) async fn chunk(
    connection: &mut PgConnection,
    partition: Partition,
    after: (Uuid, i64),
    limit: i64,
) -> sqlx::Result<Vec<StoredEvent>> {
    let rows = sqlx::query(
        "SELECT e.account_id, e.version, e.position, e.type, e.schema_version, e.data::text FROM
         passbook.events AS e
          WHERE e.partition = $1 AND (e.account_id, e.version) > ($2, $3)
          ORDER BY e.account_id, e.version LIMIT $4",
    )
    .bind(partition)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Returns the existing events among `wanted`.
pub(super) async fn events(
    connection: &mut PgConnection,
    wanted: &[(Partition, Uuid, i64)],
) -> sqlx::Result<HashMap<(Uuid, i64), Result<AccountEvent, DecodeError>>> {
    let rows = sqlx::query(
        "SELECT e.account_id, e.version, e.position, e.type, e.schema_version, e.data::text
           FROM unnest($1, $2, $3) AS w (partition, account_id, version)
           JOIN passbook.events AS e USING (partition, account_id, version)",
    )
    .bind(wanted.iter().map(|event| event.0).collect::<Vec<_>>())
    .bind(wanted.iter().map(|event| event.1).collect::<Vec<_>>())
    .bind(wanted.iter().map(|event| event.2).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| read(row).map(|read| ((read.account_id, read.version), read.event)))
        .collect()
}

fn read(row: &PgRow) -> sqlx::Result<StoredEvent> {
    let event = decode(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    Ok(StoredEvent {
        account_id: row.try_get(0)?,
        version: row.try_get(1)?,
        position: row.try_get(2)?,
        event,
    })
}

/// Returns the snapshots between two places that have the current state version.
pub(super) async fn snapshots(
    connection: &mut PgConnection,
    partition: Partition,
    after: (Uuid, i64),
    up_to: (Uuid, i64),
) -> sqlx::Result<HashMap<(Uuid, i64), StoredSnapshot>> {
    let rows = sqlx::query(
        "SELECT s.account_id, s.version, s.position, s.state::text FROM passbook.snapshots AS s
          WHERE s.partition = $1 AND (s.account_id, s.version) > ($2, $3) AND (s.account_id,
          s.version) <= ($4, $5)
            AND s.state_version = $6",
    )
    .bind(partition)
    .bind(after.0)
    .bind(after.1)
    .bind(up_to.0)
    .bind(up_to.1)
    .bind(STATE_VERSION)
    .fetch_all(connection)
    .await?;
    let stored = |row: &PgRow| {
        let place = (row.try_get(0)?, row.try_get(1)?);
        Ok((place, StoredSnapshot { position: row.try_get(2)?, state: row.try_get(3)? }))
    };
    rows.iter().map(stored).collect()
}
