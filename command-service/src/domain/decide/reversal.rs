//! Entries undone: once, and a transfer on both accounts or on neither.

use passbook_shared::event::{AccountEvent, EntryReversed, MoneyMoved, ReversedTransfer, ReversibleEntry, TransferLeg};
use passbook_shared::money::Amount;
use uuid::Uuid;

use super::{Decided, Past, Subject, money, on_counterparty, opened};
use crate::domain::account::OpenAccount;
use crate::domain::command::Reversal;
use crate::domain::refusal::Refusal;

/// The other account, if it is a leg of a transfer that is to be undone.
pub(super) fn counterparty(past: &Past) -> Option<Uuid> {
    reversible(past.entry.as_ref()?)?.2.map(|leg| leg.counterparty)
}

pub(super) fn reverse(
    subject: Subject<'_>,
    reversal: &Reversal,
    counterparty: Option<Subject<'_>>,
    past: &Past,
) -> Result<Decided, Refusal> {
    let own = opened(subject.account)?;
    let entry = past.entry.as_ref().ok_or(Refusal::EntryNotFound { current_version: subject.version })?;
    let not_reversible = || Refusal::NotReversible { event_type: entry.event_type().to_owned() };
    let (entry, amount, leg) = reversible(entry).ok_or_else(not_reversible)?;
    if let Some(reversed_by) = past.reversed_by {
        return Err(Refusal::AlreadyReversed { reversed_by });
    }
    may_be_undone(own, entry, amount)?;
    let reversed = |version, entry, transfer| {
        let (reference, metadata) = (reversal.reference.clone(), reversal.metadata.clone());
        AccountEvent::EntryReversed(EntryReversed { version, entry, amount, transfer, reference, metadata })
    };
    let Some(leg) = leg else {
        return Ok(Decided { events: vec![reversed(reversal.version, entry, None)], counterparty: None });
    };
    let (other, ()) = on_counterparty(counterparty, |other| may_be_undone(other, opposite(entry), amount))?;
    let beside = |subject: Subject<'_>| {
        let (counterparty, counterparty_version) = (subject.account_id, subject.version + 1);
        Some(ReversedTransfer { transfer_id: leg.transfer_id, counterparty, counterparty_version })
    };
    Ok(Decided {
        events: vec![reversed(reversal.version, entry, beside(other))],
        counterparty: Some(reversed(leg.counterparty_version, opposite(entry), beside(subject))),
    })
}

/// What the entry is, how much it moved, and the leg of a transfer that it is, if it is one; nothing if it can't be
/// undone.
fn reversible(entry: &AccountEvent) -> Option<(ReversibleEntry, Amount, Option<&TransferLeg>)> {
    let of_money = |entry, moved: &MoneyMoved| Some((entry, moved.amount, None));
    match entry {
        AccountEvent::MoneyDeposited(moved) => of_money(ReversibleEntry::Deposit, moved),
        AccountEvent::MoneyWithdrawn(moved) => of_money(ReversibleEntry::Withdrawal, moved),
        AccountEvent::MoneySent(leg) => Some((ReversibleEntry::TransferSent, leg.amount, Some(leg))),
        AccountEvent::MoneyReceived(leg) => Some((ReversibleEntry::TransferReceived, leg.amount, Some(leg))),
        AccountEvent::AccountOpened(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::EntryReversed(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => None,
    }
}

/// What the other leg of a transfer is.
fn opposite(entry: ReversibleEntry) -> ReversibleEntry {
    match entry {
        ReversibleEntry::Deposit => ReversibleEntry::Withdrawal,
        ReversibleEntry::Withdrawal => ReversibleEntry::Deposit,
        ReversibleEntry::TransferSent => ReversibleEntry::TransferReceived,
        ReversibleEntry::TransferReceived => ReversibleEntry::TransferSent,
    }
}

fn may_be_undone(account: &OpenAccount, entry: ReversibleEntry, amount: Amount) -> Result<(), Refusal> {
    match entry {
        ReversibleEntry::Deposit | ReversibleEntry::TransferReceived => money::may_go_out(account, amount.get()),
        ReversibleEntry::Withdrawal | ReversibleEntry::TransferSent => money::may_come_in(account, amount.get()),
    }
}
