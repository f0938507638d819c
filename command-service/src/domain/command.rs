//! What can be asked of an account. Most payloads are those of the events they lead to.

use passbook_shared::event::{
    AccountFrozen, AccountOpened, HoldPlaced, MoneyMoved, OverdraftLimitSet, Reason,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

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
    /// Give money to another account.
    Transfer(Transfer),
    /// Set money aside.
    Hold(HoldPlaced),
    /// Give out money that was set aside.
    Capture(Capture),
    /// Give free what was set aside.
    Release(Release),
    /// Give free what was set aside, if its time is over.
    Expire(Expire),
    /// Undo an entry.
    Reverse(Reversal),
    /// Let the available money go so far below 0.
    SetOverdraftLimit(OverdraftLimitSet),
    /// Let no money out.
    Freeze(AccountFrozen),
    /// End a freeze.
    Unfreeze(Reason),
    /// End the account.
    Close(Reason),
}

/// Payload of [`Command::Transfer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Names it, for good: a second transfer with the same id is the first one.
    pub transfer_id: Uuid,
    /// The account that receives.
    pub to: Uuid,
    /// How much, in minor units.
    pub amount: Amount,
    /// What for, in the sender's words.
    pub reference: Option<Reference>,
    /// When it counts from, if not from now.
    pub effective_at: Option<Timestamp>,
    /// The sender's own labels.
    pub metadata: Metadata,
    /// It may put the account below its limit at a time that is past.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_backdated_overdraft: bool,
}

/// Payload of [`Command::Capture`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// Which hold.
    pub hold_id: Uuid,
    /// How much of it, in minor units; all, if absent. The rest is given free.
    pub amount: Option<Amount>,
    /// What for, in the sender's words.
    pub reference: Option<Reference>,
    /// The sender's own labels.
    pub metadata: Metadata,
}

/// Payload of [`Command::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Which hold.
    pub hold_id: Uuid,
    /// Why, in the sender's words.
    pub reason: Option<Reference>,
}

/// Payload of [`Command::Expire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Expire {
    /// Which hold.
    pub hold_id: Uuid,
}

/// Payload of [`Command::Reverse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reversal {
    /// The version of the entry to undo.
    pub version: i64,
    /// When it counts from; from when the entry does, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// Why, in the sender's words.
    pub reference: Option<Reference>,
    /// The sender's own labels.
    pub metadata: Metadata,
    /// It may put the account below its limit at a time that is past.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_backdated_overdraft: bool,
}

impl Command {
    /// The command's name, as metrics label it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Deposit(_) => "deposit",
            Self::Withdraw(_) => "withdraw",
            Self::Transfer(_) => "transfer",
            Self::Hold(_) => "hold",
            Self::Capture(_) => "capture",
            Self::Release(_) => "release",
            Self::Expire(_) => "expire",
            Self::Reverse(_) => "reverse",
            Self::SetOverdraftLimit(_) => "set_overdraft_limit",
            Self::Freeze(_) => "freeze",
            Self::Unfreeze(_) => "unfreeze",
            Self::Close(_) => "close",
        }
    }
}

/// Every name that [`Command::name`] gives.
pub const NAMES: [&str; 13] = [
    "open",
    "deposit",
    "withdraw",
    "transfer",
    "hold",
    "capture",
    "release",
    "expire",
    "reverse",
    "set_overdraft_limit",
    "freeze",
    "unfreeze",
    "close",
];
