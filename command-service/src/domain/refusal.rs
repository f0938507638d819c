//! The ways in which the domain says no.

use passbook_shared::event::HoldStatus;
use passbook_shared::money::Currency;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a command is not done. Kept as JSON under the command's idempotency key, so names and fields stay readable
/// for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such account.
    AccountNotFound,
    /// The account is there already.
    AccountExists,
    /// The account is over.
    AccountClosed,
    /// The account is frozen, in the direction the money was to go.
    AccountFrozen,
    /// Not enough money; amounts in minor units.
    InsufficientFunds {
        /// `balance - held`.
        available: i64,
        /// How far below 0 that may go.
        overdraft_limit: i64,
    },
    /// Not enough money as of an effective time that is past, or later; amounts in minor units.
    InsufficientFundsAt {
        /// `balance - held` then.
        available: i64,
        /// How far below 0 that could go then.
        overdraft_limit: i64,
        /// The tightest moment.
        at: Timestamp,
    },
    /// The account has too many events since the effective time of a debit.
    TooFarBack {
        /// How many it may have.
        most_later_events: usize,
    },
    /// Only an account with nothing on it can be closed.
    BalanceNotZero {
        /// What is on it, in minor units.
        balance: i64,
    },
    /// Only an account without open holds can be closed.
    HoldsOpen {
        /// How many there are.
        holds: usize,
    },
    /// The balance would leave what can be held exactly.
    AmountOverflow,
    /// The other account of a transfer does not allow it.
    Counterparty {
        /// That account.
        account_id: Uuid,
        /// Why not.
        refusal: Box<Refusal>,
    },
    /// A transfer from an account to itself.
    SameAccount,
    /// A transfer between accounts of two currencies.
    CurrencyMismatch {
        /// Of the account that would send.
        from: Currency,
        /// Of the account that would receive.
        to: Currency,
    },
    /// The id is another transfer's.
    TransferExists,
    /// The account has never had such a hold.
    HoldNotFound,
    /// The hold has ended.
    HoldNotOpen {
        /// How.
        status: HoldStatus,
    },
    /// The account has, or had, a hold with that id.
    HoldExists,
    /// The account has as many open holds as it may have.
    TooManyHolds {
        /// The maximum number of open holds.
        most: usize,
    },
    /// More is to be captured than was set aside.
    HoldExceeded {
        /// What was, in minor units.
        amount: i64,
    },
    /// A hold is to end at a time that is over.
    ExpiryPassed,
    /// The overdraft is used beyond that limit.
    OverdraftInUse {
        /// `balance - held`, in minor units; below 0.
        available: i64,
    },
    /// The account has no such entry.
    EntryNotFound {
        /// The version it is at.
        current_version: i64,
    },
    /// The entry is none that can be undone.
    NotReversible {
        /// The type of its event.
        #[serde(rename = "type")]
        event_type: String,
    },
    /// The entry was undone before.
    AlreadyReversed {
        /// The version of the reversal.
        reversed_by: i64,
    },
    /// The account is not at the version `If-Match` expects.
    VersionMismatch {
        /// The version it is at.
        current_version: i64,
    },
}

impl Refusal {
    /// Returns whether a request with the same idempotency key gets this answer again, instead of being decided anew. One
    /// whose answer depends on more than the account, as on what else is in the request, is decided anew; and so is one whose
    /// precondition failed, as RFC 9110 has it: nothing was asked of the account.
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
