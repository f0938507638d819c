//! Application of a batch of events in one transaction: a single call of `projection.apply`.
//!
//! During catch-up the history of a large batch goes by COPY, in the same transaction.

use passbook_shared::event::AccountOpened;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::history::{self, Row};
use super::metadata;
use crate::projection::AccountState;

/// Changes of a batch.
#[derive(Debug, Default)]
pub struct Batch<'e> {
    /// Checkpoints to advance, at most one per partition.
    pub checkpoints: Vec<Move>,
    /// New accounts.
    pub opened: Vec<Opened<'e>>,
    /// States after the batch, new accounts included, one per account.
    pub accounts: Vec<Changed>,
    /// Applied events.
    pub history: Vec<Row<'e>>,
    /// Quarantined events.
    pub quarantine: Vec<QuarantinedRecord>,
}

/// Advance of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Immutable part of a new account.
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
pub struct Changed {
    /// Account id.
    pub account_id: Uuid,
    /// Time at which the newest event was recorded.
    pub last_activity: Timestamp,
    /// Position of the newest event in its partition.
    pub position: i64,
    /// State after the newest event.
    pub state: AccountState,
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
    /// True if the event itself is valid and only waits behind another one.
    pub waits: bool,
    /// Reason, for operators.
    pub reason: String,
    /// Value of the record.
    pub document: Vec<u8>,
}

/// Constraint that rejects a batch whose checkpoint another writer has moved.
pub const OUTRUN: &str = "checkpoint_is_where_expected";

/// Number of events from which history goes by COPY.
const MANY: usize = 5_000;

/// Applies a batch atomically. A caller that cancels this must drop the connection too.
///
/// # Errors
/// A violation of [`OUTRUN`] if another writer has moved a checkpoint.
pub async fn apply(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
    if batch.history.len() < MANY {
        return change(connection, batch, &batch.history).await;
    }
    let mut transaction = connection.begin().await?;
    // Checkpoints first: a writer that lost its partition fails before it sends the history.
    change(&mut transaction, batch, &[]).await?;
    history::copy(&mut transaction, &batch.history).await?;
    transaction.commit().await
}

async fn change(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    history: &[Row<'_>],
) -> sqlx::Result<()> {
    let Batch { checkpoints, opened, accounts, quarantine, history: _ } = batch;
    let metadata = |opened: &Opened<'_>| metadata::text(Some(&opened.account.metadata));
    sqlx::query(
        "SELECT projection.apply(
            $1, $2, $3, $4, $5, $6, $7,  $8, $9, $10, $11, $12, $13,  $14, $15, $16, $17, $18,
                $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39,
                $40, $41, $42, $43, $44,
            $45,  $46, $47, $48, $49, $50, $51, $52, $53, $54)",
    )
    .bind(column(checkpoints, |c| c.partition))
    .bind(column(checkpoints, |c| c.epoch))
    .bind(column(checkpoints, |c| c.from))
    .bind(column(checkpoints, |c| c.to))
    .bind(column(checkpoints, |c| c.kafka_offset))
    .bind(column(checkpoints, |c| c.event_id))
    .bind(column(checkpoints, |c| c.recorded_at))
    .bind(column(opened, |o| o.account_id))
    .bind(column(opened, |o| o.opened_at))
    .bind(column(opened, |o| o.partition))
    .bind(column(opened, |o| o.account.currency.code()))
    .bind(column(opened, |o| &*o.account.owner))
    .bind(column(opened, metadata))
    .bind(column(accounts, |a| a.account_id))
    .bind(column(accounts, |a| a.last_activity))
    .bind(column(accounts, |a| a.state.version))
    .bind(column(accounts, |a| a.position))
    .bind(column(accounts, |a| a.state.balance))
    .bind(column(accounts, |a| a.state.held))
    .bind(column(accounts, |a| a.state.overdraft_limit))
    .bind(column(accounts, |a| a.state.transaction_count))
    .bind(column(accounts, |a| a.state.status.as_str()))
    .bind(column(history, |h| h.account_id))
    .bind(column(history, |h| h.entry.after.version))
    .bind(column(history, |h| h.position))
    .bind(column(history, |h| h.recorded_at))
    .bind(column(history, |h| h.entry.amount))
    .bind(column(history, |h| h.entry.after.balance))
    .bind(column(history, |h| h.entry.after.held))
    .bind(column(history, |h| h.entry.after.overdraft_limit))
    .bind(column(history, |h| h.entry.after.transaction_count))
    .bind(column(history, |h| h.entry.effective_at))
    .bind(column(history, |h| h.entry.after.status.as_str()))
    .bind(column(history, |h| h.event_type))
    .bind(column(history, |h| h.entry.reference))
    .bind(column(history, |h| metadata::text(h.entry.metadata)))
    .bind(column(history, |h| h.entry.reverses))
    .bind(column(history, |h| h.entry.hold.map(|hold| hold.amount)))
    .bind(column(history, |h| h.entry.hold.and_then(|hold| hold.expires_at)))
    .bind(column(history, |h| h.entry.hold.map(|hold| hold.hold_id)))
    .bind(column(history, |h| h.entry.transfer.map(|transfer| transfer.transfer_id)))
    .bind(column(history, |h| h.entry.transfer.map(|transfer| transfer.counterparty)))
    .bind(column(history, |h| h.entry.transfer.map(|transfer| transfer.counterparty_version)))
    .bind(column(history, |h| h.kafka_offset))
    .bind(column(history, |h| h.published_at))
    .bind(column(quarantine, |q| q.partition))
    .bind(column(quarantine, |q| q.position))
    .bind(column(quarantine, |q| q.kafka_offset))
    .bind(column(quarantine, |q| q.published_at))
    .bind(column(quarantine, |q| q.account.map(|(id, _)| id)))
    .bind(column(quarantine, |q| q.account.map(|(_, version)| version)))
    .bind(column(quarantine, |q| q.waits))
    .bind(column(quarantine, |q| q.reason.as_str()))
    .bind(column(quarantine, |q| q.document.as_slice()))
    .execute(connection)
    .await
    .map(drop)
}

fn column<'r, R, T>(rows: &'r [R], value: impl FnMut(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
