//! Payload of the event that reverses an entry.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Amount;
use crate::text::{Metadata, Reference};
use crate::timestamp::Timestamp;

/// Payload of [`AccountEvent::EntryReversed`](super::AccountEvent::EntryReversed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntryReversed {
    /// Version of the reversed entry.
    #[schema(minimum = 1)]
    pub version: i64,
    /// Kind of the reversed entry; money moves the other way now.
    pub entry: ReversibleEntry,
    /// Full amount of the reversed entry, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Reversal of the other leg, if the entry is a leg of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ReversedTransfer, required = false)]
    pub transfer: Option<ReversedTransfer>,
    /// Time from which the reversal counts, if it is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// Reason that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// True if the reversal may put the account below its limit at a past time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}

impl EntryReversed {
    /// Returns the change of the balance in minor units; negative for a debit.
    pub fn movement(&self) -> i64 {
        match self.entry {
            ReversibleEntry::Deposit | ReversibleEntry::TransferReceived => -self.amount.get(),
            ReversibleEntry::Withdrawal | ReversibleEntry::TransferSent => self.amount.get(),
        }
    }
}

/// Kinds of entries that can be reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReversibleEntry {
    /// `MoneyDeposited`.
    Deposit,
    /// `MoneyWithdrawn`.
    Withdrawal,
    /// `MoneySent`.
    TransferSent,
    /// `MoneyReceived`.
    TransferReceived,
}

/// A transfer of which both legs are reversed, as one leg's reversal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReversedTransfer {
    /// Id of the transfer, which both legs share.
    pub transfer_id: Uuid,
    /// Account of the other leg.
    pub counterparty: Uuid,
    /// Version of the other account's own `EntryReversed`.
    #[schema(minimum = 1)]
    pub counterparty_version: i64,
}
