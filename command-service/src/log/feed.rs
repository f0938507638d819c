//! What the relay asks of the log: which partitions are its own, where they end, and ranges of them.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::in_time;
use super::rows::{event_columns, recorded_event};

/// The class of our advisory locks; the second number is the partition.
const RELAY_LOCK: i32 = 0x7061_7373;

/// Takes the locks of those partitions that no other relay has; they last as long as the connection.
///
/// # Errors
/// As any query.
pub async fn lock_partitions(
    connection: &mut PgConnection,
    wanted: &[Partition],
) -> Result<Vec<Partition>, sqlx::Error> {
    let sql = "SELECT p FROM unnest($2) AS p WHERE pg_try_advisory_lock($1, p)";
    in_time(sqlx::query_scalar(sql).bind(RELAY_LOCK).bind(wanted).fetch_all(connection)).await
}

/// The last position number of each partition, from partition 0 on.
///
/// # Errors
/// As any query.
pub async fn heads(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    let sql = "SELECT position FROM passbook.log_head ORDER BY partition";
    in_time(sqlx::query_scalar(sql).fetch_all(connection)).await
}

/// The ids of the events at those positions of a partition that the log has.
///
/// # Errors
/// As any query.
pub async fn event_ids(
    connection: &mut PgConnection,
    partition: Partition,
    positions: &[i64],
) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
    let sql = "SELECT e.position, e.event_id FROM passbook.events AS e
                WHERE e.partition = $1 AND e.position = ANY ($2)";
    in_time(sqlx::query_as(sql).bind(partition).bind(positions).fetch_all(connection)).await
}

/// Of these events, by partition with position and id, those that the log does not have there: partition and position.
///
/// # Errors
/// As any query.
pub async fn missing(
    connection: &mut PgConnection,
    events: &BTreeMap<Partition, (i64, Uuid)>,
) -> Result<Vec<(Partition, i64)>, sqlx::Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT s.partition, s.position FROM unnest($1, $2, $3) AS s (partition, position, event_id)
                WHERE NOT EXISTS (SELECT FROM passbook.events AS e
                                   WHERE e.partition = s.partition AND e.position = s.position
                                     AND e.event_id = s.event_id)";
    let asked = sqlx::query_as(sql)
        .bind(events.keys().copied().collect::<Vec<_>>())
        .bind(events.values().map(|event| event.0).collect::<Vec<_>>())
        .bind(events.values().map(|event| event.1).collect::<Vec<_>>());
    in_time(asked.fetch_all(connection)).await
}

/// Events of a partition after a position number, in order, at most `limit`.
///
/// # Errors
/// As any query.
pub async fn after(
    connection: &mut PgConnection,
    partition: Partition,
    after: i64,
    limit: i64,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        " FROM passbook.events AS e WHERE e.partition = $1 AND e.position > $2 ORDER BY e.position LIMIT $3"
    ))
    .bind(partition)
    .bind(after)
    .bind(limit)
    .fetch_all(connection);
    in_time(rows).await?.iter().map(recorded_event).collect()
}
