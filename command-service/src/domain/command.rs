//! Commands on accounts. Most payloads are those of the resulting events.

use passbook_shared::event::{
    AccountFrozen, AccountOpened, HoldPlaced, MoneyMoved, OverdraftLimitSet, OwnerChanged, Reason,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// Request that may be refused. Its serialized form is the input of an idempotency key's
/// fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Open the account.
    Open(AccountOpened),
    /// Deposit money.
    Deposit(MoneyMoved),
    /// Withdraw money.
    Withdraw(MoneyMoved),
    /// Transfer money to another account.
    Transfer(Transfer),
    /// Place a hold.
    Hold(HoldPlaced),
    /// Pay out held money.
    Capture(Capture),
    /// Release a hold.
    Release(Release),
    /// End a hold that has expired.
    Expire(Expire),
    /// Reverse an entry.
    Reverse(Reversal),
    /// Set the overdraft limit.
    SetOverdraftLimit(OverdraftLimitSet),
    /// Change the owner.
    ChangeOwner(OwnerChanged),
    /// Freeze the account.
    Freeze(AccountFrozen),
    /// End a freeze.
    Unfreeze(Reason),
    /// Close the account.
    Close(Reason),
}

/// Payload of [`Command::Transfer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Permanent id of the transfer. A second transfer with the same id is a repeat.
    pub transfer_id: Uuid,
    /// Receiving account.
    pub to: Uuid,
    /// Amount in minor units.
    pub amount: Amount,
    /// Reference in the client's words.
    pub reference: Option<Reference>,
    /// Effective time, if not the time of recording.
    pub effective_at: Option<Timestamp>,
    /// Metadata of the client.
    pub metadata: Metadata,
    /// Waives the availability check of a past effective time.
    // Younger than the fingerprints: a request without it must keep its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_backdated_overdraft: bool,
}

/// Payload of [`Command::Capture`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// Id of the hold.
    pub hold_id: Uuid,
    /// Amount in minor units; the whole hold if absent. The rest is released.
    pub amount: Option<Amount>,
    /// Reference in the client's words.
    pub reference: Option<Reference>,
    /// Metadata of the client.
    pub metadata: Metadata,
}

/// Payload of [`Command::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Id of the hold.
    pub hold_id: Uuid,
    /// Reason in the client's words.
    pub reason: Option<Reference>,
}

/// Payload of [`Command::Expire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Expire {
    /// Id of the hold.
    pub hold_id: Uuid,
}

/// Payload of [`Command::Reverse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reversal {
    /// Version of the entry to reverse.
    pub version: i64,
    /// Effective time; that of the entry if absent.
    // Younger than the fingerprints: a request without it must keep its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// Reason in the client's words.
    pub reference: Option<Reference>,
    /// Metadata of the client.
    pub metadata: Metadata,
    /// Waives the availability check of a past effective time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_backdated_overdraft: bool,
}

impl Command {
    /// Returns the name of the command in metrics.
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
            Self::ChangeOwner(_) => "change_owner",
            Self::Freeze(_) => "freeze",
            Self::Unfreeze(_) => "unfreeze",
            Self::Close(_) => "close",
        }
    }
}

/// All names that [`Command::name`] returns.
pub const NAMES: [&str; 14] = [
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
    "change_owner",
    "freeze",
    "unfreeze",
    "close",
];
