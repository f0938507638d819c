//! Consistency check: events against the domain's rules, and derived rows (heads, holds, transfers,
//! reversals, snapshots) against the fold of the events. Runs account by account, so that its
//! memory does not grow with the log.

mod cursor;
mod derived_tables;
mod fold;
mod related;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use passbook_shared::difference::{Difference, DifferenceKind, Findings};
use passbook_shared::partition::{Partition, PartitionCount};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use self::cursor::Cursor;
use self::derived_tables::DerivedTables;
use self::fold::Fold;
use self::related::RelatedEvents;
use self::rows::StoredEvent;

/// Maximum number of concurrent checks; further ones wait.
const AT_ONCE: usize = 2;
/// Number of events folded without yielding: a few milliseconds of processor time.
const CHUNK: i64 = 2_000;

/// Result of checking a part of a partition.
#[derive(Debug, Default)]
pub struct CheckedPage {
    /// Number of folded accounts.
    pub accounts: u64,
    /// Number of folded events.
    pub events: u64,
    /// Number of events that could not be decoded. Their accounts are checked up to there.
    pub unreadable: u64,
    /// Differences found.
    pub findings: Findings,
    /// Place to continue at; `None` at the end of the partition.
    pub next: Option<Cursor>,
}

/// Checks the log, each page on its own connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checker {
    database: PgConnectOptions,
    partitions: PartitionCount,
    turn: Arc<Semaphore>,
}

impl Checker {
    /// Creates a checker of a log with the given number of partitions.
    pub fn new(database: PgConnectOptions, partitions: PartitionCount) -> Self {
        Self { database, partitions, turn: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Checks accounts of a partition until about `limit` events are folded, each account as a
    /// whole. After the last account, checks the partition's share of the transfers.
    pub async fn page(
        &self,
        partition: Partition,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<CheckedPage, sqlx::Error> {
        let _turn = self.turn.acquire().await;
        // Not pooled: if the caller is cancelled, the transaction ends with the connection.
        let mut connection = self.database.connect().await?;
        // One snapshot for the whole page.
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut connection)
            .await?;
        let mut page = PageCheck {
            connection,
            partitions: self.partitions,
            partition,
            result: CheckedPage::default(),
        };
        match cursor {
            None => {
                page.head().await?;
                page.accounts(Uuid::nil(), limit).await?;
            }
            Some(Cursor::Account(from)) => page.accounts(from, limit).await?,
            Some(Cursor::Transfer(from)) => page.transfers(from, limit).await?,
        }
        let PageCheck { connection, result, .. } = page;
        connection.close().await?;
        Ok(result)
    }
}

struct PageCheck {
    connection: PgConnection,
    partitions: PartitionCount,
    partition: Partition,
    result: CheckedPage,
}

impl PageCheck {
    fn difference(
        &self,
        what: DifferenceKind,
        account_id: Option<Uuid>,
        version: Option<i64>,
    ) -> Difference {
        Difference::new(what, self.partition, account_id, version)
    }

    /// Checks that the head is at the last event.
    async fn head(&mut self) -> Result<(), sqlx::Error> {
        let (expected, found) = rows::head(&mut self.connection, self.partition).await?;
        if Some(expected) != found {
            let difference = self.difference(DifferenceKind::LogHead, None, None);
            self.result.findings.add(|| Difference {
                expected: json!(expected),
                found: json!(found),
                ..difference
            });
        }
        Ok(())
    }

    async fn accounts(&mut self, from: Uuid, limit: usize) -> Result<(), sqlx::Error> {
        let mut folds: HashMap<Uuid, Fold> = HashMap::new();
        let (mut at, mut read) = ((from, i64::MIN), 0);
        let to = loop {
            let mut chunk = rows::chunk(&mut self.connection, self.partition, at, CHUNK).await?;
            let is_last = i64::try_from(chunk.len()).unwrap_or(i64::MAX) < CHUNK;
            read += chunk.len();
            // The chunk may end within an account, which the next page must then fold as a whole.
            let enough = read >= limit && !is_last && cut_last_account(&mut chunk);
            let up_to = match chunk.last() {
                Some(last) if !is_last => {
                    // A page ends with a whole account, and so with all of its snapshots.
                    (last.account_id, if enough { i64::MAX } else { last.version })
                }
                _ => (Uuid::max(), i64::MAX),
            };
            self.fold(&mut folds, chunk, at, up_to).await?;
            at = up_to;
            if enough || is_last {
                break up_to.0;
            }
        };
        let mut tables = DerivedTables {
            connection: &mut self.connection,
            partition: self.partition,
            findings: &mut self.result.findings,
        };
        tables.compare(&mut folds, from, to).await?;
        self.result.accounts += folds.len() as u64;
        let transfers = Cursor::Transfer(self.transfers_from(self.partition.index()));
        self.result.next = Some(next(to).map_or(transfers, Cursor::Account));
        Ok(())
    }

    /// Folds the events of a chunk, and compares the snapshots in its range.
    async fn fold(
        &mut self,
        folds: &mut HashMap<Uuid, Fold>,
        chunk: Vec<StoredEvent>,
        after: (Uuid, i64),
        up_to: (Uuid, i64),
    ) -> Result<(), sqlx::Error> {
        let related =
            RelatedEvents::of(&mut self.connection, self.partitions, self.partition, &chunk)
                .await?;
        let mut snapshots =
            rows::snapshots(&mut self.connection, self.partition, after, up_to).await?;
        for event in chunk {
            let fold = folds
                .entry(event.account_id)
                .or_insert_with(|| Fold::new(self.partition, event.account_id));
            self.result.events += 1;
            self.result.unreadable += u64::from(event.event.is_err());
            let findings = &mut self.result.findings;
            fold.take(event.version, event.event, &related, self.partitions, findings);
            if let Some(snapshot) = snapshots.remove(&(event.account_id, event.version)) {
                fold.compare(event.position, &snapshot, &mut self.result.findings);
            }
        }
        for ((account_id, version), _) in snapshots {
            // A lost fold has skipped events, which may be those of the snapshot.
            if folds.get(&account_id).is_none_or(|fold| !fold.is_lost()) {
                let difference = self.difference(
                    DifferenceKind::SnapshotDiffers,
                    Some(account_id),
                    Some(version),
                );
                self.result.findings.add(|| Difference {
                    found: json!("a snapshot without an event"),
                    ..difference
                });
            }
        }
        Ok(())
    }

    /// Returns the first transfer id that is checked with a partition, by its index. Partitions
    /// have equal shares of the id space.
    fn transfers_from(&self, index: usize) -> Uuid {
        let share = u128::MAX / u128::from(self.partitions.get());
        Uuid::from_u128(share * index as u128)
    }

    /// Checks that every transfer row has its event.
    async fn transfers(&mut self, from: Uuid, limit: usize) -> Result<(), sqlx::Error> {
        let to = if self.partition == self.partitions.last() {
            Uuid::max()
        } else {
            Uuid::from_u128(self.transfers_from(self.partition.index() + 1).as_u128() - 1)
        };
        let last = derived_tables::transfers(
            &mut self.connection,
            self.partitions,
            (from, to),
            limit,
            &mut self.result.findings,
        )
        .await?;
        self.result.next = last.and_then(next).filter(|next| *next <= to).map(Cursor::Transfer);
        Ok(())
    }
}

/// Removes the events of the last account, which may be incomplete. Returns false, with nothing
/// removed, if it is the only one.
fn cut_last_account(chunk: &mut Vec<StoredEvent>) -> bool {
    let Some(last) = chunk.last().map(|event| event.account_id) else { return false };
    let begin = chunk.partition_point(|event| event.account_id < last);
    if begin > 0 {
        chunk.truncate(begin);
    }
    begin > 0
}

fn next(id: Uuid) -> Option<Uuid> {
    id.as_u128().checked_add(1).map(Uuid::from_u128)
}
