//! One line of a statement.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::http::labels::labels;
use crate::store::history::entries::Entry;

/// One line of a statement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Entry)]
pub(in crate::http) struct EntryView {
    /// Its place in the account.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: String,
    /// What it moved; negative for money out, 0 if it moved none.
    #[schema(examples(25_000))]
    amount: i64,
    /// The balance after it.
    #[schema(examples(125_000))]
    balance: i64,
    /// When it was committed to the log.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// When it counts from; the time it was recorded, if the command did not say.
    #[schema(value_type = String, format = DateTime, examples("2026-11-23T08:00:00.000000Z"))]
    effective_at: Timestamp,
    /// What for, or why, in the sender's words.
    #[schema(examples("invoice 2026-0001"))]
    reference: Option<String>,
    /// The other account of a transfer.
    counterparty: Option<Uuid>,
    /// The transfer it is a leg of, or undoes a leg of.
    transfer_id: Option<Uuid>,
    /// The hold that it is about.
    hold_id: Option<Uuid>,
    /// The version of the entry that it undoes.
    #[schema(examples(5))]
    reverses: Option<i64>,
    /// The version of the entry that undoes it; null if none does, or not yet at `as_of`.
    #[schema(examples(9))]
    reversed_by: Option<i64>,
    /// The sender's labels.
    metadata: BTreeMap<String, String>,
}

impl EntryView {
    /// An entry of an account in this partition.
    pub(in crate::http) fn of(entry: Entry, partition: Partition) -> Self {
        Self {
            version: entry.version,
            position: Position { partition, number: entry.position },
            event_type: entry.event_type,
            amount: entry.amount.unwrap_or(0),
            balance: entry.balance,
            recorded_at: entry.recorded_at,
            effective_at: entry.effective_at.unwrap_or(entry.recorded_at),
            reference: entry.reference,
            counterparty: entry.counterparty,
            transfer_id: entry.transfer_id,
            hold_id: entry.hold_id,
            reverses: entry.reverses,
            reversed_by: entry.reversed_by,
            metadata: labels(entry.metadata.as_deref()),
        }
    }
}
