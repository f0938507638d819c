//! A batch of events, applied in one round trip and one transaction: a single call of `projection.apply`.
//!
//! The structs here are columns: element n of each belongs to row n, as the function takes them.

use chrono::{DateTime, Utc};
use passbook_shared::partition::Partition;
use sqlx::PgConnection;
use uuid::Uuid;

/// What a batch changes.
#[derive(Debug, Default)]
pub struct Batch<'e> {
    /// The partitions it moves on.
    pub checkpoints: Checkpoints,
    /// Accounts that are new.
    pub opened: Opened<'e>,
    /// Accounts as they stand after it, the new ones too; each once.
    pub accounts: Accounts,
    /// Its events.
    pub history: History<'e>,
    /// What it sets aside.
    pub quarantine: Quarantine,
}

/// Columns of checkpoints, and the positions they are expected at.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns are described in the migrations")]
pub struct Checkpoints {
    pub partitions: Vec<Partition>,
    pub expected: Vec<i64>,
    pub positions: Vec<i64>,
    pub kafka_offsets: Vec<Option<i64>>,
    pub recorded_at: Vec<Option<DateTime<Utc>>>,
}

/// Columns of accounts that never change.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns are described in the migrations")]
pub struct Opened<'e> {
    pub account_ids: Vec<Uuid>,
    pub opened_at: Vec<DateTime<Utc>>,
    pub partitions: Vec<Partition>,
    pub currencies: Vec<&'static str>,
    pub owners: Vec<&'e str>,
    pub metadata: Vec<Option<String>>,
}

/// Columns of accounts that events change.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns are described in the migrations")]
pub struct Accounts {
    pub account_ids: Vec<Uuid>,
    pub last_activity: Vec<DateTime<Utc>>,
    pub versions: Vec<i64>,
    pub positions: Vec<i64>,
    pub balances: Vec<i64>,
    pub held: Vec<i64>,
    pub overdraft_limits: Vec<i64>,
    pub transaction_counts: Vec<i64>,
    pub statuses: Vec<&'static str>,
}

/// Columns of history.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns are described in the migrations")]
pub struct History<'e> {
    pub account_ids: Vec<Uuid>,
    pub versions: Vec<i64>,
    pub positions: Vec<i64>,
    pub recorded_at: Vec<DateTime<Utc>>,
    pub amounts: Vec<Option<i64>>,
    pub balances: Vec<i64>,
    pub held: Vec<i64>,
    pub overdraft_limits: Vec<i64>,
    pub transaction_counts: Vec<i64>,
    pub effective_at: Vec<Option<DateTime<Utc>>>,
    pub statuses: Vec<&'static str>,
    pub types: Vec<&'static str>,
    pub references: Vec<Option<&'e str>>,
    pub metadata: Vec<Option<String>>,
}

/// Columns of what is set aside.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns are described in the migrations")]
pub struct Quarantine {
    pub partitions: Vec<Partition>,
    pub positions: Vec<Option<i64>>,
    pub kafka_offsets: Vec<Option<i64>>,
    pub account_ids: Vec<Option<Uuid>>,
    pub versions: Vec<Option<i64>>,
    pub waits: Vec<bool>,
    pub reasons: Vec<String>,
    pub documents: Vec<Vec<u8>>,
}

/// The constraint that refuses a batch because a partition is not at the position its writer knows.
pub const OUTRUN: &str = "checkpoint_is_where_expected";

/// Applies a batch: all of it, or nothing.
///
/// # Errors
/// As any query; [`OUTRUN`] names the constraint if somebody else has gone on with a partition.
pub async fn apply(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
    let Batch { checkpoints, opened, accounts, history, quarantine } = batch;
    sqlx::query(
        "SELECT projection.apply(
            $1, $2, $3, $4, $5,  $6, $7, $8, $9, $10, $11,  $12, $13, $14, $15, $16, $17, $18, $19, $20,
            $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34,
            $35, $36, $37, $38, $39, $40, $41, $42)",
    )
    .bind(&checkpoints.partitions)
    .bind(&checkpoints.expected)
    .bind(&checkpoints.positions)
    .bind(&checkpoints.kafka_offsets)
    .bind(&checkpoints.recorded_at)
    .bind(&opened.account_ids)
    .bind(&opened.opened_at)
    .bind(&opened.partitions)
    .bind(&opened.currencies)
    .bind(&opened.owners)
    .bind(&opened.metadata)
    .bind(&accounts.account_ids)
    .bind(&accounts.last_activity)
    .bind(&accounts.versions)
    .bind(&accounts.positions)
    .bind(&accounts.balances)
    .bind(&accounts.held)
    .bind(&accounts.overdraft_limits)
    .bind(&accounts.transaction_counts)
    .bind(&accounts.statuses)
    .bind(&history.account_ids)
    .bind(&history.versions)
    .bind(&history.positions)
    .bind(&history.recorded_at)
    .bind(&history.amounts)
    .bind(&history.balances)
    .bind(&history.held)
    .bind(&history.overdraft_limits)
    .bind(&history.transaction_counts)
    .bind(&history.effective_at)
    .bind(&history.statuses)
    .bind(&history.types)
    .bind(&history.references)
    .bind(&history.metadata)
    .bind(&quarantine.partitions)
    .bind(&quarantine.positions)
    .bind(&quarantine.kafka_offsets)
    .bind(&quarantine.account_ids)
    .bind(&quarantine.versions)
    .bind(&quarantine.waits)
    .bind(&quarantine.reasons)
    .bind(&quarantine.documents)
    .execute(connection)
    .await
    .map(drop)
}
