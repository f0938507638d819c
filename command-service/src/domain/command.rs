//! What can be asked of an account. The payloads are those of the events they lead to.

use passbook_shared::event::{AccountFrozen, AccountOpened, MoneyMoved, Reason};
use serde::Serialize;

/// A request, imperative, that may be refused. Serialized, it is what an idempotency key's fingerprint is taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Let the account come to be.
    Open(AccountOpened),
    /// Take money in.
    Deposit(MoneyMoved),
    /// Give money out.
    Withdraw(MoneyMoved),
    /// Let no money out.
    Freeze(AccountFrozen),
    /// End a freeze.
    Unfreeze(Reason),
    /// End the account.
    Close(Reason),
}

impl Command {
    /// The command's name, as metrics label it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Deposit(_) => "deposit",
            Self::Withdraw(_) => "withdraw",
            Self::Freeze(_) => "freeze",
            Self::Unfreeze(_) => "unfreeze",
            Self::Close(_) => "close",
        }
    }
}
