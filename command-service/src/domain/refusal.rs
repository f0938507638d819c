//! The ways in which the domain says no.

use serde::{Deserialize, Serialize};

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
    /// Only an account with nothing on it can be closed.
    BalanceNotZero {
        /// What is on it, in minor units.
        balance: i64,
    },
    /// The balance would leave what can be held exactly.
    AmountOverflow,
    /// The account is not at the version `If-Match` expects.
    VersionMismatch {
        /// The version it is at.
        current_version: i64,
    },
}
