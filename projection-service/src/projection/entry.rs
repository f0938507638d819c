//! History entry of an event.

use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::AccountState;

/// An event in the account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Account after the event.
    pub after: AccountState,
    /// Amount moved in minor units, negative for money out; none if no money moves.
    pub amount: Option<i64>,
    /// Reference or reason given by the client.
    pub reference: Option<&'e str>,
    /// Effective time, if it differs from the time of recording.
    pub effective_at: Option<Timestamp>,
    /// Metadata given by the client.
    pub metadata: Option<&'e Metadata>,
    /// Transfer of which the event is a leg or reverses a leg.
    pub transfer: Option<Transfer>,
    /// Version of the entry that is reversed.
    pub reverses: Option<i64>,
    /// Hold that begins or ends with the event.
    pub hold: Option<Hold>,
    /// New owner of the account, if the event changes it.
    pub owner: Option<&'e str>,
}

/// A transfer, as seen from one of its two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Id that both legs share.
    pub transfer_id: Uuid,
    /// Other account.
    pub counterparty: Uuid,
    /// Version of the other leg in that account.
    pub counterparty_version: i64,
}

/// A hold, as recorded in each of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Id of the hold, unique in the account.
    pub hold_id: Uuid,
    /// Total amount held in minor units, regardless of how much is captured.
    pub amount: i64,
    /// Time at which the hold expires, if it does.
    pub expires_at: Option<Timestamp>,
}

impl Entry<'_> {
    /// Returns an entry with the state after it, and all other fields empty.
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
            owner: None,
        }
    }
}
