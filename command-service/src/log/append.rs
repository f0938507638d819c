//! Append of a batch. One call of `passbook.append_batch` makes all its commands durable, or none.

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

/// Appended events, with the time at which their connection was opened. Another connection that has
/// answered since that time reads the log that contains these events.
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
    /// Expected versions of accounts whose commands append no events. A mismatch fails the append.
    pub asserted: Vec<AssertedVersion>,
}

impl Append {
    /// Returns true if the append would write and check nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keys.is_empty() && self.asserted.is_empty()
    }

    /// Returns the partitions to write to, in ascending order.
    fn partitions(&self) -> Vec<Partition> {
        // Not those of asserted versions: their accounts are only read, so their heads stay
        // unlocked.
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

/// Types of events whose append also writes to `transfers`, `reversals` or `holds`.
const INDEXED: [&str; 6] =
    ["MoneySent", "EntryReversed", "HoldPlaced", "HoldCaptured", "HoldReleased", "HoldExpired"];
/// Types of events whose append also writes to `tenants`, if the account has a tenant.
const INDEXED_BY_TENANT: [&str; 2] = ["AccountOpened", "AccountClosed"];

/// Appends a batch in one round trip. The append is part of the open transaction, or a transaction
/// of its own. Returns the events with their positions and recording times.
///
/// # Errors
/// A violated constraint means that a state of the decision was stale, or that a partition is
/// forked. Nothing was appended then. After a lost connection, the outcome is unknown.
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
    // Guards the indexing below.
    if next.len() != partitions.len() {
        let (wanted, found) = (partitions.len(), next.len());
        let reason = format!("an append to {wanted} partitions was answered for {found}");
        return Err(sqlx::Error::Protocol(reason));
    }
    let recorded = append.events.into_iter().map(|event| {
        let (last, recorded_at) = &mut next[index_of(&partitions, event.partition)];
        // As the function numbers them: from the position before the partition's first event.
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
    // Most batches have none of them, and the function then leaves out four tables.
    let is_there = |indexed: &&str| events.iter().any(|event| event.event_type == *indexed);
    let is_of_tenant = |indexed: &&str| {
        let is_it = |event: &NewEvent| {
            event.event_type == *indexed && event.metadata.context.tenant.is_some()
        };
        events.iter().any(is_it)
    };
    let indexed = INDEXED.into_iter().filter(is_there);
    let indexed: Vec<&str> =
        indexed.chain(INDEXED_BY_TENANT.into_iter().filter(is_of_tenant)).collect();
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

/// Locks the heads of partitions until the transaction ends. Other appends to the partitions wait.
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
