//! Rows of a batch, as the composite types of `projection.apply_changes`.

use passbook_shared::composite_type;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{Changed, Move, Opened, QuarantinedRecord};
use crate::store::history::Row;
use crate::store::metadata;

composite_type!(Move, "projection.checkpoint_move");
composite_type!(OpenedRow<'_>, "projection.new_account");
composite_type!(ChangedRow<'_>, "projection.changed_account");
composite_type!(EntryRow<'_>, "projection.entry");
composite_type!(QuarantinedRow<'_>, "projection.quarantined_record");

#[derive(sqlx::Encode)]
pub(super) struct OpenedRow<'e> {
    account_id: Uuid,
    opened_at: Timestamp,
    partition: Partition,
    currency: &'e str,
    owner: &'e str,
    metadata: Option<String>,
    tenant: Option<&'e str>,
}

impl<'e> From<&'e Opened<'_>> for OpenedRow<'e> {
    fn from(opened: &'e Opened<'_>) -> Self {
        Self {
            account_id: opened.account_id,
            opened_at: opened.opened_at,
            partition: opened.partition,
            currency: opened.account.currency.code(),
            owner: &opened.account.owner,
            metadata: metadata::text(Some(&opened.account.metadata)),
            tenant: opened.account.tenant.as_deref(),
        }
    }
}

#[derive(sqlx::Encode)]
pub(super) struct ChangedRow<'e> {
    account_id: Uuid,
    last_activity: Timestamp,
    version: i64,
    position: i64,
    balance: i64,
    held: i64,
    overdraft_limit: i64,
    transaction_count: i64,
    status: &'static str,
    owner: Option<&'e str>,
}

impl<'e> From<&Changed<'e>> for ChangedRow<'e> {
    fn from(Changed { account_id, last_activity, position, state, owner }: &Changed<'e>) -> Self {
        Self {
            account_id: *account_id,
            last_activity: *last_activity,
            version: state.version,
            position: *position,
            balance: state.balance,
            held: state.held,
            overdraft_limit: state.overdraft_limit,
            transaction_count: state.transaction_count,
            status: state.status.as_str(),
            owner: *owner,
        }
    }
}

#[derive(sqlx::Encode)]
pub(super) struct EntryRow<'e> {
    account_id: Uuid,
    version: i64,
    position: i64,
    recorded_at: Timestamp,
    amount: Option<i64>,
    balance: i64,
    held: i64,
    overdraft_limit: i64,
    transaction_count: i64,
    effective_at: Option<Timestamp>,
    status: &'static str,
    event_type: &'static str,
    reference: Option<&'e str>,
    metadata: Option<String>,
    reverses: Option<i64>,
    hold_amount: Option<i64>,
    expires_at: Option<Timestamp>,
    hold_id: Option<Uuid>,
    transfer_id: Option<Uuid>,
    counterparty: Option<Uuid>,
    counterparty_version: Option<i64>,
    kafka_offset: Option<i64>,
    published_at: Option<Timestamp>,
    owner: Option<&'e str>,
}

impl<'e> From<&Row<'e>> for EntryRow<'e> {
    fn from(row: &Row<'e>) -> Self {
        let Row { entry, .. } = row;
        let (after, hold, transfer) = (entry.after, entry.hold, entry.transfer);
        Self {
            account_id: row.account_id,
            version: after.version,
            position: row.position,
            recorded_at: row.recorded_at,
            amount: entry.amount,
            balance: after.balance,
            held: after.held,
            overdraft_limit: after.overdraft_limit,
            transaction_count: after.transaction_count,
            effective_at: entry.effective_at,
            status: after.status.as_str(),
            event_type: row.event_type,
            reference: entry.reference,
            metadata: metadata::text(entry.metadata),
            reverses: entry.reverses,
            hold_amount: hold.map(|hold| hold.amount),
            expires_at: hold.and_then(|hold| hold.expires_at),
            hold_id: hold.map(|hold| hold.hold_id),
            transfer_id: transfer.map(|transfer| transfer.transfer_id),
            counterparty: transfer.map(|transfer| transfer.counterparty),
            counterparty_version: transfer.map(|transfer| transfer.counterparty_version),
            kafka_offset: row.kafka_offset,
            published_at: row.published_at,
            owner: entry.owner,
        }
    }
}

#[derive(sqlx::Encode)]
pub(super) struct QuarantinedRow<'e> {
    partition: Partition,
    position: Option<i64>,
    kafka_offset: Option<i64>,
    published_at: Option<Timestamp>,
    account_id: Option<Uuid>,
    version: Option<i64>,
    waits: bool,
    reason: &'e str,
    document: &'e [u8],
}

impl<'e> From<&'e QuarantinedRecord> for QuarantinedRow<'e> {
    fn from(record: &'e QuarantinedRecord) -> Self {
        Self {
            partition: record.partition,
            position: record.position,
            kafka_offset: record.kafka_offset,
            published_at: record.published_at,
            // A row has both values or neither, so they come from one option.
            account_id: record.account.map(|(account_id, _)| account_id),
            version: record.account.map(|(_, version)| version),
            waits: record.waits,
            reason: &record.reason,
            document: &record.document,
        }
    }
}
