//! The append: one call of `passbook.append_batch` makes many commands durable, all or nothing.

mod check;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use sqlx::{PgConnection, Row};
use tokio::time::Instant;

pub use check::{try_events, try_nothing};
use rows::EventRow;
pub use rows::{AssertedVersion, NewEvent, NewKey};

/// Events that were appended, with the time at which their connection was opened. A connection that
/// has answered since then reads the same log.
#[derive(Debug)]
pub struct Appended {
    /// Events, oldest first.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Time at which the connection was opened.
    pub connected: Instant,
}

/// Rows that one append writes and checks.
#[derive(Debug, Default)]
pub struct Append {
    /// Events, oldest first.
    pub events: Vec<NewEvent>,
    /// Idempotency keys to keep.
    pub keys: Vec<NewKey>,
    /// Versions that accounts must have for a command without events to be right.
    pub asserted: Vec<AssertedVersion>,
}

impl Append {
    /// Returns true if there is nothing to write or check.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keys.is_empty() && self.asserted.is_empty()
    }

    /// Returns the partitions to write to, in ascending order.
    fn partitions(&self) -> Vec<Partition> {
        let events = self.events.iter().map(|event| event.partition);
        let mut partitions: Vec<Partition> =
            events.chain(self.keys.iter().map(|key| key.partition)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }
}

fn index_of(partitions: &[Partition], partition: Partition) -> usize {
    partitions.partition_point(|p| *p < partition)
}

/// Types of events that have a row in `transfers`, `reversals` or `holds` as well.
const INDEXED: [&str; 6] =
    ["MoneySent", "EntryReversed", "HoldPlaced", "HoldCaptured", "HoldReleased", "HoldExpired"];

/// Appends in one round trip and one transaction, or within the transaction that is open. Returns
/// the events with their positions and times.
///
/// # Errors
/// A violated constraint means that a state decided on was stale, and nothing was appended. After
/// any other error the append may or may not have happened.
pub async fn append(
    connection: &mut PgConnection,
    append: Append,
) -> Result<Vec<Arc<RecordedEvent>>, sqlx::Error> {
    let partitions = append.partitions();
    let rows = call(connection, &append, &partitions).await?;
    let mut next: Vec<(i64, Timestamp)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    if next.len() != partitions.len() {
        let (wanted, found) = (partitions.len(), next.len());
        let reason = format!("an append to {wanted} partitions was answered for {found}");
        return Err(sqlx::Error::Protocol(reason));
    }
    let recorded = append.events.into_iter().map(|event| {
        let (last, recorded_at) = &mut next[index_of(&partitions, event.partition)];
        *last += 1;
        Arc::new(event.recorded(*last, *recorded_at))
    });
    Ok(recorded.collect())
}

async fn call(
    connection: &mut PgConnection,
    append: &Append,
    partitions: &[Partition],
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let Append { events, keys, asserted } = append;
    let mut counts = vec![0; partitions.len()];
    let rows: Vec<EventRow<'_>> = events
        .iter()
        .map(|event| {
            let head = index_of(partitions, event.partition);
            counts[head] += 1;
            EventRow::new(event, head, counts[head])
        })
        .collect();
    let indexed: Vec<&str> = INDEXED
        .into_iter()
        .filter(|indexed| events.iter().any(|event| event.event_type == *indexed))
        .collect();
    sqlx::query("SELECT base, recorded FROM passbook.append_batch($1, $2, $3, $4, $5, $6)")
        .bind(partitions)
        .bind(counts)
        .bind(rows)
        .bind(indexed)
        .bind(keys)
        .bind(asserted)
        .fetch_all(connection)
        .await
}

/// Locks the heads of partitions until the transaction ends: no other append to them commits
/// meanwhile.
///
/// # Errors
/// Errors of Postgres.
pub async fn lock_heads(
    connection: &mut PgConnection,
    partitions: &[Partition],
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT passbook.lock_heads($1)").bind(partitions).execute(connection).await?;
    Ok(())
}
