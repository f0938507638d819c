//! Reversals: each entry at most once, and a transfer on both accounts or neither.

use passbook_shared::event::{
    AccountEvent, EntryReversed, MoneyMoved, ReversedTransfer, ReversibleEntry, TransferLeg,
};
use passbook_shared::money::Amount;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{Decided, Past, Subject, money, on_counterparty, opened};
use crate::domain::account::OpenAccount;
use crate::domain::command::Reversal;
use crate::domain::effective::Headroom;
use crate::domain::refusal::Refusal;

/// Returns the other account if the entry to reverse is a leg of a transfer.
pub(super) fn counterparty(past: &Past) -> Option<Uuid> {
    reversible(past.entry.as_ref()?)?.2.map(|leg| leg.counterparty)
}

/// Returns the account that the reversal debits, if any.
pub(super) fn debited(account_id: Uuid, past: &Past) -> Option<Uuid> {
    let (entry, _, leg) = reversible(past.entry.as_ref()?)?;
    match entry {
        ReversibleEntry::Deposit | ReversibleEntry::TransferReceived => Some(account_id),
        ReversibleEntry::TransferSent => leg.map(|leg| leg.counterparty),
        ReversibleEntry::Withdrawal => None,
    }
}

/// Returns the effective time of a reversal: the given one, or that of the entry. `None` if the
/// entry is part of the same append.
pub(super) fn effective_at(reversal: &Reversal, past: &Past) -> Option<Timestamp> {
    let of_entry = || past.entry.as_ref()?.effective_at().or(past.entry_recorded_at);
    reversal.effective_at.or_else(of_entry)
}

pub(super) fn reverse(
    subject: Subject<'_>,
    reversal: &Reversal,
    counterparty: Option<Subject<'_>>,
    (past, headroom): (&Past, Option<Headroom>),
) -> Result<Decided, Refusal> {
    let own = opened(subject.account)?;
    let entry =
        past.entry.as_ref().ok_or(Refusal::EntryNotFound { current_version: subject.version })?;
    let not_reversible = || Refusal::NotReversible { event_type: entry.event_type().to_owned() };
    let (entry, amount, leg) = reversible(entry).ok_or_else(not_reversible)?;
    if let Some(reversed_by) = past.reversed_by {
        return Err(Refusal::AlreadyReversed { reversed_by });
    }
    may_be_reversed(own, entry, amount, headroom)?;
    let reversed = |version, entry, transfer| {
        AccountEvent::EntryReversed(EntryReversed {
            version,
            entry,
            amount,
            transfer,
            effective_at: effective_at(reversal, past),
            reference: reversal.reference.clone(),
            metadata: reversal.metadata.clone(),
            allow_backdated_overdraft: reversal.allow_backdated_overdraft,
        })
    };
    let Some(leg) = leg else {
        return Ok(Decided {
            events: vec![reversed(reversal.version, entry, None)],
            counterparty: Vec::new(),
        });
    };
    let (other, ()) = on_counterparty(counterparty, |other| {
        may_be_reversed(other, opposite(entry), amount, headroom)
    })?;
    let transfer_to = |subject: Subject<'_>| {
        let (counterparty, counterparty_version) = (subject.account_id, subject.version + 1);
        Some(ReversedTransfer { transfer_id: leg.transfer_id, counterparty, counterparty_version })
    };
    Ok(Decided {
        events: vec![reversed(reversal.version, entry, transfer_to(other))],
        counterparty: vec![reversed(
            leg.counterparty_version,
            opposite(entry),
            transfer_to(subject),
        )],
    })
}

/// Returns the kind of the entry, its amount, and its transfer leg, if any. Returns `None` if the
/// entry cannot be reversed.
fn reversible(entry: &AccountEvent) -> Option<(ReversibleEntry, Amount, Option<&TransferLeg>)> {
    let of_money = |entry, moved: &MoneyMoved| Some((entry, moved.amount, None));
    match entry {
        AccountEvent::MoneyDeposited(moved) => of_money(ReversibleEntry::Deposit, moved),
        AccountEvent::MoneyWithdrawn(moved) => of_money(ReversibleEntry::Withdrawal, moved),
        AccountEvent::MoneySent(leg) => {
            Some((ReversibleEntry::TransferSent, leg.amount, Some(leg)))
        }
        AccountEvent::MoneyReceived(leg) => {
            Some((ReversibleEntry::TransferReceived, leg.amount, Some(leg)))
        }
        AccountEvent::AccountOpened(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::EntryReversed(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => None,
    }
}

/// Returns the kind of the other leg of a transfer.
fn opposite(entry: ReversibleEntry) -> ReversibleEntry {
    match entry {
        ReversibleEntry::Deposit => ReversibleEntry::Withdrawal,
        ReversibleEntry::Withdrawal => ReversibleEntry::Deposit,
        ReversibleEntry::TransferSent => ReversibleEntry::TransferReceived,
        ReversibleEntry::TransferReceived => ReversibleEntry::TransferSent,
    }
}

fn may_be_reversed(
    account: &OpenAccount,
    entry: ReversibleEntry,
    amount: Amount,
    headroom: Option<Headroom>,
) -> Result<(), Refusal> {
    match entry {
        ReversibleEntry::Deposit | ReversibleEntry::TransferReceived => {
            money::may_go_out(account, amount.get())?;
            money::may_have_gone_out(headroom, amount.get())
        }
        ReversibleEntry::Withdrawal | ReversibleEntry::TransferSent => {
            money::may_come_in(account, amount.get())
        }
    }
}
