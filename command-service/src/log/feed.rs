//! Queries of the relay: its partitions, their heads, and ranges of events.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::in_time;
use super::rows::{event_columns, recorded_event};

/// First key of the relay's advisory locks; the second key is the partition.
const RELAY_LOCK: i32 = 0x7061_7373;

/// Events of partition `$1` after position `$2`, in order, at most `$3`.
pub(super) const PARTITION_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM passbook.events AS e WHERE e.partition = $1 AND e.position > $2
      ORDER BY e.position LIMIT $3"
);

/// Locks the wanted partitions that no other relay holds, and returns them. The locks last as long
/// as the connection.
pub async fn lock_partitions(
    connection: &mut PgConnection,
    wanted: &[Partition],
) -> Result<Vec<Partition>, sqlx::Error> {
    let sql = "SELECT p FROM unnest($2) AS p WHERE pg_try_advisory_lock($1, p)";
    in_time(sqlx::query_scalar(sql).bind(RELAY_LOCK).bind(wanted).fetch_all(connection)).await
}

/// Returns the last position of each partition, from partition 0 on.
pub async fn heads(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    // Partitions are numbered from 0 without gaps, so the index is the partition.
    let sql = "SELECT position FROM passbook.log_head ORDER BY partition";
    in_time(sqlx::query_scalar(sql).fetch_all(connection)).await
}

/// Returns the ids of the partition's events at the given positions.
pub async fn event_ids(
    connection: &mut PgConnection,
    partition: Partition,
    positions: &[i64],
) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
    let sql = "SELECT e.position, e.event_id FROM passbook.events AS e
                WHERE e.partition = $1 AND e.position = ANY ($2)";
    in_time(sqlx::query_as(sql).bind(partition).bind(positions).fetch_all(connection)).await
}

/// Returns partition and position of the given events (by partition: position and id) that the log
/// lacks.
pub async fn missing(
    connection: &mut PgConnection,
    events: &BTreeMap<Partition, (i64, Uuid)>,
) -> Result<Vec<(Partition, i64)>, sqlx::Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT s.partition, s.position FROM unnest($1, $2, $3) AS s (partition, position,
               event_id)
                WHERE NOT EXISTS (SELECT FROM passbook.events AS e
                                   WHERE e.partition = s.partition AND e.position = s.position
                                     AND e.event_id = s.event_id)";
    let asked = sqlx::query_as(sql)
        .bind(events.keys().copied().collect::<Vec<_>>())
        .bind(events.values().map(|event| event.0).collect::<Vec<_>>())
        .bind(events.values().map(|event| event.1).collect::<Vec<_>>());
    in_time(asked.fetch_all(connection)).await
}

/// Returns at most `limit` events of a partition after a position, in order.
pub async fn after(
    connection: &mut PgConnection,
    partition: Partition,
    after: i64,
    limit: i64,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let rows =
        sqlx::query(PARTITION_EVENTS).bind(partition).bind(after).bind(limit).fetch_all(connection);
    in_time(rows).await?.iter().map(recorded_event).collect()
}
