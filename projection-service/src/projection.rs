//! What an event makes of an account's view. Pure: no I/O, no clock; only the contract and std.

use std::fmt;

use passbook_shared::event::{AccountEvent, AccountStatus, MoneyMoved, Reason};
use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;

/// The part of an account's view that events change. Amounts in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// Of the newest event.
    pub version: i64,
    /// Whether money moves.
    pub status: AccountStatus,
    /// What is on it.
    pub balance: i64,
    /// How much of that is set aside by holds.
    pub held: i64,
    /// How far below 0 `balance - held` may go.
    pub overdraft_limit: i64,
    /// Opening and every movement of money.
    pub transaction_count: i64,
}

/// An event as the account's history keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    /// The account after it.
    pub after: AccountState,
    /// What it moved, negative for money out; nothing if it is not about money.
    pub amount: Option<i64>,
    /// What for, or why.
    pub reference: Option<&'e str>,
    /// When it counts from, if not from when it was recorded.
    pub effective_at: Option<Timestamp>,
    /// The sender's labels.
    pub metadata: Option<&'e Metadata>,
}

/// Why an event can't follow on a state: the log is not one that our decider wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unapplicable {
    /// Another version was to come.
    Version {
        /// That.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// The first event of an account is not its opening.
    NotOpened,
    /// An opening of an account that is there.
    OpenedTwice,
    /// An event after the closing.
    AfterClosing,
    /// The balance would leave what an amount can be.
    Overflow,
}

impl fmt::Display for Unapplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { expected, found } => {
                write!(f, "version {found} of the account comes where {expected} is next")
            }
            Self::NotOpened => f.write_str("the account's first event is not its opening"),
            Self::OpenedTwice => f.write_str("the account is opened a second time"),
            Self::AfterClosing => f.write_str("the account was closed before"),
            Self::Overflow => write!(f, "the balance would be beyond {MAX_AMOUNT} minor units"),
        }
    }
}

/// The entry that an event, the account's `version`th, makes on the account before it (nothing: not there yet).
///
/// # Errors
/// The event can't follow on that state.
pub fn project<'e>(
    before: Option<&AccountState>,
    version: i64,
    event: &'e AccountEvent,
) -> Result<Entry<'e>, Unapplicable> {
    let expected = before.map_or(1, |state| state.version + 1);
    if version != expected {
        return Err(Unapplicable::Version { expected, found: version });
    }
    let Some(before) = before else {
        return open(event);
    };
    if before.status == AccountStatus::Closed {
        return Err(Unapplicable::AfterClosing);
    }
    let after = AccountState { version, ..*before };
    match event {
        AccountEvent::AccountOpened(_) => Err(Unapplicable::OpenedTwice),
        AccountEvent::MoneyDeposited(moved) => movement(after, moved.amount.get(), moved),
        AccountEvent::MoneyWithdrawn(moved) => movement(after, -moved.amount.get(), moved),
        AccountEvent::AccountFrozen(frozen) => Ok(change(after, AccountStatus::Frozen, frozen.reason.as_deref())),
        AccountEvent::AccountUnfrozen(Reason { reason }) => Ok(change(after, AccountStatus::Open, reason.as_deref())),
        AccountEvent::AccountClosed(Reason { reason }) => Ok(change(after, AccountStatus::Closed, reason.as_deref())),
    }
}

fn open(event: &AccountEvent) -> Result<Entry<'_>, Unapplicable> {
    let AccountEvent::AccountOpened(opened) = event else {
        return Err(Unapplicable::NotOpened);
    };
    let after = AccountState {
        version: 1,
        status: AccountStatus::Open,
        balance: opened.initial_deposit,
        held: 0,
        overdraft_limit: opened.overdraft_limit,
        transaction_count: 1,
    };
    Ok(Entry {
        after,
        amount: Some(opened.initial_deposit),
        reference: None,
        effective_at: None,
        metadata: Some(&opened.metadata),
    })
}

fn movement(mut after: AccountState, amount: i64, moved: &MoneyMoved) -> Result<Entry<'_>, Unapplicable> {
    after.balance = after
        .balance
        .checked_add(amount)
        .filter(|balance| (-MAX_AMOUNT..=MAX_AMOUNT).contains(balance))
        .ok_or(Unapplicable::Overflow)?;
    after.transaction_count += 1;
    Ok(Entry {
        after,
        amount: Some(amount),
        reference: moved.reference.as_deref(),
        effective_at: moved.effective_at,
        metadata: Some(&moved.metadata),
    })
}

fn change(mut after: AccountState, status: AccountStatus, reason: Option<&str>) -> Entry<'_> {
    after.status = status;
    Entry { after, amount: None, reference: reason, effective_at: None, metadata: None }
}

#[cfg(test)]
mod tests;
