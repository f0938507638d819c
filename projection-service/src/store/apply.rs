//! A batch of events, applied in one round trip and one transaction: a single call of `projection.apply`.
//!
//! When there is much to catch up on, its history goes by COPY in the same transaction.

use passbook_shared::event::AccountOpened;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::history::{self, Row};
use super::labels;
use crate::projection::AccountState;

/// What a batch changes.
#[derive(Debug, Default)]
pub struct Batch<'e> {
    /// The partitions it moves on, each once.
    pub checkpoints: Vec<Move>,
    /// Accounts that are new.
    pub opened: Vec<Opened<'e>>,
    /// Accounts as they stand after it, the new ones too; each once.
    pub accounts: Vec<Changed>,
    /// Its events.
    pub history: Vec<Row<'e>>,
    /// What it sets aside.
    pub quarantine: Vec<SetAside>,
}

/// A checkpoint that moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Of the log.
    pub partition: Partition,
    /// The epoch it must be of.
    pub epoch: i64,
    /// The position it must be at.
    pub from: i64,
    /// The position it moves to.
    pub to: i64,
    /// Where in the topic to read on.
    pub kafka_offset: Option<i64>,
    /// The event at the position it moves to, if one is known.
    pub event_id: Option<Uuid>,
    /// When the last event was recorded; absent if there is none.
    pub recorded_at: Option<Timestamp>,
}

/// A new account, as it will be for good.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'e> {
    /// Its id.
    pub account_id: Uuid,
    /// When its opening was recorded.
    pub opened_at: Timestamp,
    /// Where it lives in the log.
    pub partition: Partition,
    /// The rest.
    pub account: &'e AccountOpened,
}

/// What events changed of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Its id.
    pub account_id: Uuid,
    /// When the newest event was recorded.
    pub last_activity: Timestamp,
    /// Of the newest event, in its partition.
    pub position: i64,
    /// As that left it.
    pub state: AccountState,
}

/// A record or an event that is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was found.
    pub partition: Partition,
    /// Its place there in the log, if that could be read.
    pub position: Option<i64>,
    /// Its place there in the topic, if it was read there.
    pub kafka_offset: Option<i64>,
    /// Since when it is there.
    pub published_at: Option<Timestamp>,
    /// Its account and its version there, if they could be read.
    pub account: Option<(Uuid, i64)>,
    /// Nothing is wrong with it: it waits behind another.
    pub waits: bool,
    /// Why, for people.
    pub reason: String,
    /// The record's value.
    pub document: Vec<u8>,
}

/// The constraint that refuses a batch because a partition is not where its writer knows it to be.
pub const OUTRUN: &str = "checkpoint_is_where_expected";

/// From so many events on, history goes by COPY.
const MANY: usize = 5_000;

/// Applies a batch: all of it, or nothing. Not to be cancelled, unless the connection is dropped with it.
///
/// # Errors
/// As any query; [`OUTRUN`] names the constraint if somebody else has gone on with a partition.
pub async fn apply(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
    if batch.history.len() < MANY {
        return change(connection, batch, &batch.history).await;
    }
    let mut transaction = connection.begin().await?;
    // The checkpoints first: who was outrun has not sent the rest yet.
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
    let metadata = |opened: &Opened<'_>| labels::text(Some(&opened.account.metadata));
    sqlx::query(
        "SELECT projection.apply(
            $1, $2, $3, $4, $5, $6, $7,  $8, $9, $10, $11, $12, $13,  $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44,
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
    .bind(column(history, |h| labels::text(h.entry.metadata)))
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
