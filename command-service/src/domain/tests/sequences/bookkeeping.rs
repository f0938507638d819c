//! Bookkeeping invariants of any log.

use std::collections::{HashMap, HashSet};

use passbook_shared::event::{AccountEvent, EntryReversed, ReversibleEntry};
use proptest::prelude::*;
use uuid::Uuid;

use crate::domain::tests::log::{Log, place};

/// Returns the money that an event brings in from outside. Money between accounts does not count.
pub(super) fn from_outside(event: &AccountEvent) -> i128 {
    let amount = match event {
        AccountEvent::AccountOpened(opened) => opened.initial_deposit,
        AccountEvent::MoneyDeposited(deposit) => deposit.amount.get(),
        AccountEvent::MoneyWithdrawn(withdrawal) => -withdrawal.amount.get(),
        AccountEvent::HoldCaptured(captured) => -captured.amount.get(),
        AccountEvent::EntryReversed(reversed) => match reversed.entry {
            ReversibleEntry::Deposit => -reversed.amount.get(),
            ReversibleEntry::Withdrawal => reversed.amount.get(),
            ReversibleEntry::TransferSent | ReversibleEntry::TransferReceived => 0,
        },
        AccountEvent::MoneySent(_)
        | AccountEvent::MoneyReceived(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => 0,
    };
    amount.into()
}

/// Returns the account of the event's other leg, if any.
pub(super) fn counterparty_of(event: &AccountEvent) -> Option<Uuid> {
    match event {
        AccountEvent::MoneySent(leg) | AccountEvent::MoneyReceived(leg) => Some(leg.counterparty),
        AccountEvent::EntryReversed(reversed) => {
            reversed.transfer.map(|transfer| transfer.counterparty)
        }
        AccountEvent::AccountOpened(_)
        | AccountEvent::MoneyDeposited(_)
        | AccountEvent::MoneyWithdrawn(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => None,
    }
}

/// Checks that no entry is reversed twice.
pub(super) fn entries_are_reversed_once(events: &[AccountEvent]) -> Result<(), TestCaseError> {
    let mut undone = HashSet::new();
    for event in events {
        if let AccountEvent::EntryReversed(reversed) = event {
            prop_assert!(undone.insert(reversed.version), "version {} twice", reversed.version);
        }
    }
    Ok(())
}

/// Checks that each hold is placed once and ends at most once, as a whole.
pub(super) fn holds_end_once(events: &[AccountEvent]) -> Result<(), TestCaseError> {
    let mut open = HashMap::new();
    let mut placed = HashSet::new();
    for event in events {
        let (hold_id, amount, expires_at) = match event {
            AccountEvent::HoldPlaced(hold) => {
                prop_assert!(placed.insert(hold.hold_id));
                open.insert(hold.hold_id, (hold.amount.get(), hold.expires_at));
                continue;
            }
            AccountEvent::HoldCaptured(end) => {
                (end.hold_id, end.amount.get() + end.released, end.expires_at)
            }
            AccountEvent::HoldReleased(end) => (end.hold_id, end.amount.get(), end.expires_at),
            AccountEvent::HoldExpired(end) => (end.hold_id, end.amount.get(), Some(end.expires_at)),
            _ => continue,
        };
        prop_assert_eq!(open.remove(&hold_id), Some((amount, expires_at)));
    }
    Ok(())
}

/// Checks that both legs of a transfer or a reversal name each other and that transfer ids are
/// unique.
pub(super) fn legs_match(log: &Log) -> Result<(), TestCaseError> {
    let mut transfers = HashSet::new();
    for (account_id, happened) in log.accounts() {
        for (version, event) in (1..).zip(&happened.events) {
            match event {
                AccountEvent::MoneySent(sent) => {
                    prop_assert!(transfers.insert(sent.transfer_id));
                    let other = at(log, sent.counterparty, sent.counterparty_version);
                    let Some(AccountEvent::MoneyReceived(received)) = other else {
                        return Err(TestCaseError::fail(format!("{other:?} received {sent:?}")));
                    };
                    prop_assert_eq!(
                        (received.counterparty, received.counterparty_version),
                        (account_id, version)
                    );
                    prop_assert_eq!(
                        (received.transfer_id, received.amount),
                        (sent.transfer_id, sent.amount)
                    );
                }
                AccountEvent::MoneyReceived(received) => {
                    let other = at(log, received.counterparty, received.counterparty_version);
                    prop_assert!(
                        matches!(other, Some(AccountEvent::MoneySent(_))),
                        "{:?} sent {:?}",
                        other,
                        received
                    );
                }
                AccountEvent::EntryReversed(reversed) => {
                    reversal_matches_entry(log, account_id, version, reversed)?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn reversal_matches_entry(
    log: &Log,
    account_id: Uuid,
    version: i64,
    undo: &EntryReversed,
) -> Result<(), TestCaseError> {
    let entry = at(log, account_id, undo.version);
    let (amount, leg) = match (undo.entry, entry) {
        (ReversibleEntry::Deposit, Some(AccountEvent::MoneyDeposited(moved)))
        | (ReversibleEntry::Withdrawal, Some(AccountEvent::MoneyWithdrawn(moved))) => {
            (moved.amount, None)
        }
        (ReversibleEntry::TransferSent, Some(AccountEvent::MoneySent(leg)))
        | (ReversibleEntry::TransferReceived, Some(AccountEvent::MoneyReceived(leg))) => {
            (leg.amount, Some(leg))
        }
        _ => return Err(TestCaseError::fail(format!("{undo:?} of {entry:?}"))),
    };
    prop_assert_eq!(undo.amount, amount);
    prop_assert_eq!(undo.transfer.is_some(), leg.is_some());
    let Some((transfer, leg)) = undo.transfer.zip(leg) else { return Ok(()) };
    prop_assert_eq!(
        (transfer.transfer_id, transfer.counterparty),
        (leg.transfer_id, leg.counterparty)
    );
    let other = at(log, transfer.counterparty, transfer.counterparty_version);
    let Some(AccountEvent::EntryReversed(other)) = other else {
        return Err(TestCaseError::fail(format!("{other:?} does not match {undo:?}")));
    };
    prop_assert_eq!(other.version, leg.counterparty_version);
    let named = other.transfer.map(|other| (other.counterparty, other.counterparty_version));
    prop_assert_eq!(named, Some((account_id, version)));
    Ok(())
}

fn at(log: &Log, account_id: Uuid, version: i64) -> Option<&AccountEvent> {
    log.events(account_id).get(place(version)?)
}
