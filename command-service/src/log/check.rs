//! Whether the log obeys the rules, and whether what is kept beside it (heads, holds, transfers, reversals, snapshots) is what
//! its fold gives. Checked account by account, so that the memory does not grow with the log.

mod fold;
mod others;
mod rows;
mod side;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use passbook_shared::difference::{Difference, Findings, What};
use passbook_shared::partition::Partition;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::fold::Fold;
use self::others::Others;
use self::rows::Read;

/// Checks that run at the same time; further ones wait.
const AT_ONCE: usize = 2;
/// Events folded at once: a few milliseconds of a processor.
const CHUNK: i64 = 2_000;

/// The place where a check goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// At this account, or the next one there is.
    Account(Uuid),
    /// At this transfer, or the next one there is.
    Transfer(Uuid),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account-{id}"),
            Self::Transfer(id) => write!(f, "transfer-{id}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = |id: &str| id.parse().ok();
        let account = || text.strip_prefix("account-").and_then(id).map(Self::Account);
        let transfer = || text.strip_prefix("transfer-").and_then(id).map(Self::Transfer);
        account().or_else(transfer).ok_or_else(|| "is not a cursor of this check".to_owned())
    }
}

/// Some of a partition's log, checked.
#[derive(Debug, Default)]
pub struct Checked {
    /// Accounts that were folded.
    pub accounts: u64,
    /// Events that were folded.
    pub events: u64,
    /// Accounts that were checked only up to an event that can't be read.
    pub unreadable: u64,
    /// What was found.
    pub findings: Findings,
    /// Where to go on; nothing at the end of the partition.
    pub next: Option<Cursor>,
}

/// Checks the log, each time on a connection of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checker {
    database: PgConnectOptions,
    partitions: Partition,
    turn: Arc<Semaphore>,
}

impl Checker {
    /// Checks a log of so many partitions in this database.
    pub fn new(database: PgConnectOptions, partitions: Partition) -> Self {
        Self { database, partitions, turn: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Checks accounts of a partition until about `limit` events are folded, but no account in part; then its share of the
    /// transfers.
    ///
    /// # Errors
    /// As any query.
    pub async fn page(
        &self,
        partition: Partition,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Checked, sqlx::Error> {
        let _turn = self.turn.acquire().await;
        // Not of a pool: a caller that goes away takes its transaction along.
        let mut connection = self.database.connect().await?;
        // All of a page is of one moment.
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut connection)
            .await?;
        let mut page =
            Page { connection, partitions: self.partitions, partition, answer: Checked::default() };
        match cursor {
            None => {
                page.head().await?;
                page.accounts(Uuid::nil(), limit).await?;
            }
            Some(Cursor::Account(from)) => page.accounts(from, limit).await?,
            Some(Cursor::Transfer(from)) => page.transfers(from, limit).await?,
        }
        let Page { connection, answer, .. } = page;
        connection.close().await?;
        Ok(answer)
    }
}

struct Page {
    connection: PgConnection,
    partitions: Partition,
    partition: Partition,
    answer: Checked,
}

impl Page {
    fn difference(&self, what: What, account_id: Option<Uuid>, version: Option<i64>) -> Difference {
        Difference::new(what, self.partition, account_id, version)
    }

    /// The head stands at the last event.
    async fn head(&mut self) -> Result<(), sqlx::Error> {
        let (expected, found) = rows::head(&mut self.connection, self.partition).await?;
        if Some(expected) != found {
            let difference = self.difference(What::LogHead, None, None);
            self.answer.findings.add(|| Difference {
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
            let enough = read >= limit && !is_last && cut_last_account(&mut chunk);
            let up_to = match chunk.last() {
                Some(last) if !is_last => {
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
        self.beside(&mut folds, from, to).await?;
        self.answer.accounts += folds.len() as u64;
        let transfers = Cursor::Transfer(self.transfers_from(self.partition));
        self.answer.next = Some(next(to).map_or(transfers, Cursor::Account));
        Ok(())
    }

    /// Folds the events between two places, and compares the snapshots there.
    async fn fold(
        &mut self,
        folds: &mut HashMap<Uuid, Fold>,
        chunk: Vec<Read>,
        after: (Uuid, i64),
        up_to: (Uuid, i64),
    ) -> Result<(), sqlx::Error> {
        let others =
            Others::of(&mut self.connection, self.partitions, self.partition, &chunk).await?;
        let mut snapshots =
            rows::snapshots(&mut self.connection, self.partition, after, up_to).await?;
        for read in chunk {
            let fold = folds
                .entry(read.account_id)
                .or_insert_with(|| Fold::new(self.partition, read.account_id));
            self.answer.events += 1;
            fold.take(read.version, read.event, &others, self.partitions, &mut self.answer);
            if let Some(snapshot) = snapshots.remove(&(read.account_id, read.version)) {
                fold.compare(read.position, &snapshot, &mut self.answer.findings);
            }
        }
        for ((account_id, version), _) in snapshots {
            if folds.get(&account_id).is_none_or(|fold| !fold.is_lost()) {
                let difference =
                    self.difference(What::SnapshotDiffers, Some(account_id), Some(version));
                self.answer
                    .findings
                    .add(|| Difference { found: json!("a snapshot of no event"), ..difference });
            }
        }
        Ok(())
    }

    /// Where the transfers begin that are checked with a partition: each has an equal share of the ids.
    fn transfers_from(&self, partition: Partition) -> Uuid {
        let (partition, partitions) =
            (i128::from(partition).unsigned_abs(), i128::from(self.partitions).unsigned_abs());
        Uuid::from_u128(u128::MAX / partitions.max(1) * partition)
    }

    /// Every transfer is of an event.
    async fn transfers(&mut self, from: Uuid, limit: usize) -> Result<(), sqlx::Error> {
        let to = if self.partition + 1 == self.partitions {
            Uuid::max()
        } else {
            Uuid::from_u128(self.transfers_from(self.partition + 1).as_u128() - 1)
        };
        let last = side::transfers(self, from, to, limit).await?;
        self.answer.next = last.and_then(next).filter(|next| *next <= to).map(Cursor::Transfer);
        Ok(())
    }
}

/// Cuts off the events of the last account, which may go on. False if there is no other.
fn cut_last_account(chunk: &mut Vec<Read>) -> bool {
    let Some(last) = chunk.last().map(|read| read.account_id) else { return false };
    let begin = chunk.partition_point(|read| read.account_id < last);
    if begin > 0 {
        chunk.truncate(begin);
    }
    begin > 0
}

fn next(id: Uuid) -> Option<Uuid> {
    id.as_u128().checked_add(1).map(Uuid::from_u128)
}
