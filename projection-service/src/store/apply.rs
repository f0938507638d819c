//! Application of a batch of events in one transaction: a call of `projection.apply_changes`.
//!
//! During catch-up, COPY writes the history of a large batch in the same transaction.

mod rows;

use passbook_shared::event::AccountOpened;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::history::{self, Row};
use crate::projection::AccountState;
use rows::{ChangedRow, EntryRow, OpenedRow, QuarantinedRow};

/// Changes of a batch.
#[derive(Debug, Default)]
pub struct Batch<'e> {
    /// Checkpoints to advance, at most one per partition.
    pub checkpoints: Vec<Move>,
    /// New accounts.
    pub opened: Vec<Opened<'e>>,
    /// States after the batch, new accounts included, one per account.
    pub accounts: Vec<Changed<'e>>,
    /// Applied events.
    pub history: Vec<Row<'e>>,
    /// Quarantined events.
    pub quarantine: Vec<QuarantinedRecord>,
}

/// Advance of a checkpoint: a row of `projection.checkpoint_move`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Encode)]
pub struct Move {
    /// Partition of the log.
    pub partition: Partition,
    /// Epoch that the checkpoint must have.
    pub epoch: i64,
    /// Position that the checkpoint must have.
    pub from: i64,
    /// New position.
    pub to: i64,
    /// Topic offset to resume from.
    pub kafka_offset: Option<i64>,
    /// Id of the event at the new position, if known.
    pub event_id: Option<Uuid>,
    /// Time at which the event at the new position was recorded, if known.
    pub recorded_at: Option<Timestamp>,
}

/// Part of a new account that its opening states.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'e> {
    /// Account id.
    pub account_id: Uuid,
    /// Time at which the opening was recorded.
    pub opened_at: Timestamp,
    /// Partition of the account.
    pub partition: Partition,
    /// Payload of the opening.
    pub account: &'e AccountOpened,
}

/// State of an account after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed<'e> {
    /// Account id.
    pub account_id: Uuid,
    /// Time at which the newest event was recorded.
    pub last_activity: Timestamp,
    /// Position of the newest event in its partition.
    pub position: i64,
    /// State after the newest event.
    pub state: AccountState,
    /// New owner, if the batch changes it.
    pub owner: Option<&'e str>,
}

/// Event to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRecord {
    /// Partition in which the event was found.
    pub partition: Partition,
    /// Position in the log, if readable.
    pub position: Option<i64>,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Time of publication to the topic.
    pub published_at: Option<Timestamp>,
    /// Account and version, if readable.
    pub account: Option<(Uuid, i64)>,
    /// True if the event waits behind another one and was not tried.
    pub waits: bool,
    /// Reason, for operators.
    pub reason: String,
    /// Value of the record.
    pub document: Vec<u8>,
}

/// Constraint that rejects a batch whose checkpoint another writer has moved.
pub const OUTRUN: &str = "checkpoint_is_where_expected";

/// Minimum number of events for which COPY writes the history.
const MANY: usize = 5_000;

/// Applies a batch atomically. A caller that cancels this must drop the connection too.
///
/// # Errors
/// A violation of [`OUTRUN`] if another writer has moved a checkpoint.
pub async fn apply(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
    if batch.history.len() < MANY {
        // One statement is a transaction of its own, or a part of the open one.
        return change(connection, batch, &batch.history).await;
    }
    // Two statements need a transaction; within an open one, this is a savepoint.
    let mut transaction = connection.begin().await?;
    // The checkpoints come first, so that a writer that lost its partition fails before it sends
    // the history.
    change(&mut transaction, batch, &[]).await?;
    history::copy(&mut transaction, &batch.history).await?;
    transaction.commit().await
}

async fn change(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    history: &[Row<'_>],
) -> sqlx::Result<()> {
    // The history is a parameter, because `apply` may copy it separately.
    let Batch { checkpoints, opened, accounts, quarantine, history: _ } = batch;
    sqlx::query("SELECT projection.apply_changes($1, $2, $3, $4, $5)")
        .bind(checkpoints)
        .bind(rows::<OpenedRow<'_>, _>(opened))
        .bind(rows::<ChangedRow<'_>, _>(accounts))
        .bind(rows::<EntryRow<'_>, _>(history))
        .bind(rows::<QuarantinedRow<'_>, _>(quarantine))
        .execute(connection)
        .await
        .map(drop)
}

fn rows<'r, R: From<&'r T>, T>(of: &'r [T]) -> Vec<R> {
    of.iter().map(R::from).collect()
}
