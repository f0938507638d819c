//! Entry of a statement.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::http::metadata::parse_metadata;
use crate::store::history::entries::Entry;

/// Entry of a statement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Entry)]
pub(in crate::http) struct EntryView {
    /// Version in the account.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Position in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// Type of the event.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: String,
    /// Amount in minor units; negative for a debit, 0 if no money moved.
    #[schema(examples(25_000))]
    amount: i64,
    /// Balance after the entry.
    #[schema(examples(125_000))]
    balance: i64,
    /// Time at which the event was recorded.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// Effective time; the time of recording, unless the command named another.
    #[schema(value_type = String, format = DateTime, examples("2026-11-23T08:00:00.000000Z"))]
    effective_at: Timestamp,
    /// Reference or reason, in the sender's words.
    #[schema(examples("invoice 2026-0001"))]
    reference: Option<String>,
    /// Other account of the transfer.
    counterparty: Option<Uuid>,
    /// Transfer of which this entry is a leg, or reverses one.
    transfer_id: Option<Uuid>,
    /// Hold that the entry places or ends.
    hold_id: Option<Uuid>,
    /// New owner of the account; null if the entry does not change it.
    #[schema(examples("customer-4712"))]
    owner: Option<String>,
    /// Version of the entry that this one reverses.
    #[schema(examples(5))]
    reverses: Option<i64>,
    /// Version of the entry that reverses this one; null if there is none, or none yet at `as_of`.
    #[schema(examples(9))]
    reversed_by: Option<i64>,
    /// Metadata of the sender.
    metadata: BTreeMap<String, String>,
}

impl EntryView {
    /// Converts an entry of an account in this partition.
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
            owner: entry.owner,
            reverses: entry.reverses,
            reversed_by: entry.reversed_by,
            metadata: parse_metadata(entry.metadata.as_deref()),
        }
    }
}
