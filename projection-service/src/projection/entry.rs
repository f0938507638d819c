//! What the views keep of an event.

use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::AccountState;

/// An event as the account's history keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    /// The account after it.
    pub after: AccountState,
    /// What it moved, negative for money out; nothing if it moves no money.
    pub amount: Option<i64>,
    /// What for, or why.
    pub reference: Option<&'e str>,
    /// When it counts from, if not from when it was recorded.
    pub effective_at: Option<Timestamp>,
    /// The sender's labels.
    pub metadata: Option<&'e Metadata>,
    /// The transfer that it is a leg of, or undoes a leg of.
    pub transfer: Option<Transfer>,
    /// The version of the entry that it undoes.
    pub reverses: Option<i64>,
    /// The hold that begins or ends with it.
    pub hold: Option<Hold>,
}

/// A transfer as one of its two accounts sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// What both legs share.
    pub transfer_id: Uuid,
    /// The other account.
    pub counterparty: Uuid,
    /// The version of the same in that account.
    pub counterparty_version: i64,
}

/// A hold, as every event of it tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Unique in the account.
    pub hold_id: Uuid,
    /// All that it sets aside, in minor units, whatever is captured of it.
    pub amount: i64,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
}

impl Entry<'_> {
    /// One that leaves the account so, and of which nothing else is known yet.
    pub(super) fn of(after: AccountState) -> Self {
        Self {
            after,
            amount: None,
            reference: None,
            effective_at: None,
            metadata: None,
            transfer: None,
            reverses: None,
            hold: None,
        }
    }
}
