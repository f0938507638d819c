//! Refusals of commands.

use passbook_shared::event::HoldStatus;
use passbook_shared::money::Currency;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Reason of refusing a command. Stored as JSON under the idempotency key, so names and fields must
/// stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The account does not exist.
    AccountNotFound,
    /// The account already exists.
    AccountExists,
    /// The account is closed.
    AccountClosed,
    /// The account is frozen in the direction of the movement.
    AccountFrozen,
    /// Not enough money. Amounts are in minor units.
    InsufficientFunds {
        /// `balance - held`.
        available: i64,
        /// Overdraft limit.
        overdraft_limit: i64,
    },
    /// Not enough money at or after a past effective time. Amounts are in minor units.
    InsufficientFundsAt {
        /// `balance - held` at `at`.
        available: i64,
        /// Overdraft limit at `at`.
        overdraft_limit: i64,
        /// Moment of the lowest headroom.
        at: Timestamp,
    },
    /// The account has too many events since the effective time of a debit.
    TooFarBack {
        /// Maximum number of events.
        most_later_events: usize,
    },
    /// The account to close has a balance.
    BalanceNotZero {
        /// Balance in minor units.
        balance: i64,
    },
    /// The account to close has open holds.
    HoldsOpen {
        /// Number of open holds.
        holds: usize,
    },
    /// An amount would exceed the range of exact integers.
    AmountOverflow,
    /// The other account of a transfer refuses.
    Counterparty {
        /// Id of the other account.
        account_id: Uuid,
        /// Refusal of the other account.
        refusal: Box<Refusal>,
    },
    /// Sender and receiver are the same account.
    SameAccount,
    /// The accounts of the transfer have different currencies.
    CurrencyMismatch {
        /// Currency of the sending account.
        from: Currency,
        /// Currency of the receiving account.
        to: Currency,
    },
    /// The id belongs to another transfer.
    TransferExists,
    /// The account has never had the hold.
    HoldNotFound,
    /// The hold has ended.
    HoldNotOpen {
        /// Status of the hold.
        status: HoldStatus,
    },
    /// The account already has a hold with this id, open or ended.
    HoldExists,
    /// The account has the maximum number of open holds.
    TooManyHolds {
        /// Maximum number of open holds.
        most: usize,
    },
    /// The capture exceeds the hold.
    HoldExceeded {
        /// Held amount in minor units.
        amount: i64,
    },
    /// The expiry of the hold is in the past.
    ExpiryPassed,
    /// The overdraft in use exceeds the new limit.
    OverdraftInUse {
        /// `balance - held` in minor units; negative.
        available: i64,
    },
    /// The account has no such entry.
    EntryNotFound {
        /// Current version of the account.
        current_version: i64,
    },
    /// The entry cannot be reversed.
    NotReversible {
        /// Type of the entry's event.
        #[serde(rename = "type")]
        event_type: String,
    },
    /// The entry was already reversed.
    AlreadyReversed {
        /// Version of the reversal.
        reversed_by: i64,
    },
    /// The account's version does not match `If-Match`.
    VersionMismatch {
        /// Current version of the account.
        current_version: i64,
    },
}

impl Refusal {
    /// Returns whether the refusal is stored, so that a repeat with the same idempotency key gets
    /// it again. Refusals that depend on more than the account, such as the rest of the request,
    /// are not stored. Neither are failed preconditions (RFC 9110): the command was never
    /// attempted.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::VersionMismatch { .. } | Self::TooFarBack { .. } => false,
            Self::Counterparty { refusal, .. } => refusal.is_kept(),
            Self::AccountNotFound
            | Self::AccountExists
            | Self::AccountClosed
            | Self::AccountFrozen
            | Self::InsufficientFunds { .. }
            | Self::InsufficientFundsAt { .. }
            | Self::BalanceNotZero { .. }
            | Self::HoldsOpen { .. }
            | Self::AmountOverflow
            | Self::SameAccount
            | Self::CurrencyMismatch { .. }
            | Self::TransferExists
            | Self::HoldNotFound
            | Self::HoldNotOpen { .. }
            | Self::HoldExists
            | Self::TooManyHolds { .. }
            | Self::HoldExceeded { .. }
            | Self::ExpiryPassed
            | Self::OverdraftInUse { .. }
            | Self::EntryNotFound { .. }
            | Self::NotReversible { .. }
            | Self::AlreadyReversed { .. } => true,
        }
    }
}
