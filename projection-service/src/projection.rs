//! What an event makes of an account's view. Pure: no I/O, no clock; only the contract and std.

mod entry;
mod inapplicable;

use passbook_shared::event::{
    AccountEvent, AccountStatus, EntryReversed, HoldCaptured, HoldPlaced, MoneyMoved, Reason,
    TransferLeg,
};
use passbook_shared::money::MAX_AMOUNT;

pub use self::entry::{Entry, Hold, Transfer};
pub use self::inapplicable::Inapplicable;

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

/// The entry that an event, the account's `version`th, makes on the account before it (nothing: not there yet).
///
/// # Errors
/// The event can't follow on that state.
pub fn project<'e>(
    before: Option<&AccountState>,
    version: i64,
    event: &'e AccountEvent,
) -> Result<Entry<'e>, Inapplicable> {
    let expected = before.map_or(1, |state| state.version + 1);
    if version != expected {
        return Err(Inapplicable::Version { expected, found: version });
    }
    let Some(before) = before else {
        return open(event);
    };
    if before.status == AccountStatus::Closed {
        return Err(Inapplicable::AfterClosing);
    }
    let after = AccountState { version, ..*before };
    match event {
        AccountEvent::AccountOpened(_) => Err(Inapplicable::OpenedTwice),
        AccountEvent::MoneyDeposited(moved) => movement(after, moved.amount.get(), moved),
        AccountEvent::MoneyWithdrawn(moved) => movement(after, -moved.amount.get(), moved),
        AccountEvent::MoneySent(leg) => transfer(after, -leg.amount.get(), leg),
        AccountEvent::MoneyReceived(leg) => transfer(after, leg.amount.get(), leg),
        AccountEvent::HoldPlaced(placed) => place(after, placed),
        AccountEvent::HoldCaptured(captured) => capture(after, captured),
        AccountEvent::HoldReleased(released) => {
            let (hold_id, amount) = (released.hold_id, released.amount.get());
            let entry = release(after, Hold { hold_id, amount, expires_at: released.expires_at })?;
            Ok(Entry { reference: released.reason.as_deref(), ..entry })
        }
        AccountEvent::HoldExpired(expired) => {
            let (hold_id, amount) = (expired.hold_id, expired.amount.get());
            release(after, Hold { hold_id, amount, expires_at: Some(expired.expires_at) })
        }
        AccountEvent::EntryReversed(reversed) => reverse(after, reversed),
        AccountEvent::OverdraftLimitSet(set) => {
            Ok(Entry::of(AccountState { overdraft_limit: set.limit, ..after }))
        }
        AccountEvent::AccountFrozen(frozen) => {
            Ok(change(after, AccountStatus::Frozen, frozen.reason.as_deref()))
        }
        AccountEvent::AccountUnfrozen(Reason { reason }) => {
            Ok(change(after, AccountStatus::Open, reason.as_deref()))
        }
        AccountEvent::AccountClosed(Reason { reason }) => {
            Ok(change(after, AccountStatus::Closed, reason.as_deref()))
        }
    }
}

fn open(event: &AccountEvent) -> Result<Entry<'_>, Inapplicable> {
    let AccountEvent::AccountOpened(opened) = event else {
        return Err(Inapplicable::NotOpened);
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
        amount: Some(opened.initial_deposit),
        effective_at: opened.effective_at,
        metadata: Some(&opened.metadata),
        ..Entry::of(after)
    })
}

fn movement(
    before: AccountState,
    amount: i64,
    moved: &MoneyMoved,
) -> Result<Entry<'_>, Inapplicable> {
    Ok(Entry {
        reference: moved.reference.as_deref(),
        effective_at: moved.effective_at,
        metadata: Some(&moved.metadata),
        ..before.moving(amount)?
    })
}

fn transfer(
    before: AccountState,
    amount: i64,
    leg: &TransferLeg,
) -> Result<Entry<'_>, Inapplicable> {
    let TransferLeg { transfer_id, counterparty, counterparty_version, .. } = *leg;
    Ok(Entry {
        reference: leg.reference.as_deref(),
        effective_at: leg.effective_at,
        metadata: Some(&leg.metadata),
        transfer: Some(Transfer { transfer_id, counterparty, counterparty_version }),
        ..before.moving(amount)?
    })
}

fn place(before: AccountState, placed: &HoldPlaced) -> Result<Entry<'_>, Inapplicable> {
    let amount = placed.amount.get();
    Ok(Entry {
        reference: placed.reference.as_deref(),
        metadata: Some(&placed.metadata),
        hold: Some(Hold { hold_id: placed.hold_id, amount, expires_at: placed.expires_at }),
        ..Entry::of(before.holding(amount)?)
    })
}

fn capture(before: AccountState, captured: &HoldCaptured) -> Result<Entry<'_>, Inapplicable> {
    let amount = captured.amount.get() + captured.released;
    Ok(Entry {
        reference: captured.reference.as_deref(),
        metadata: Some(&captured.metadata),
        hold: Some(Hold { hold_id: captured.hold_id, amount, expires_at: captured.expires_at }),
        ..before.holding(-amount)?.moving(-captured.amount.get())?
    })
}

fn release<'e>(before: AccountState, hold: Hold) -> Result<Entry<'e>, Inapplicable> {
    Ok(Entry { hold: Some(hold), ..Entry::of(before.holding(-hold.amount)?) })
}

fn reverse(before: AccountState, reversed: &EntryReversed) -> Result<Entry<'_>, Inapplicable> {
    Ok(Entry {
        reference: reversed.reference.as_deref(),
        metadata: Some(&reversed.metadata),
        transfer: reversed.transfer.map(|transfer| Transfer {
            transfer_id: transfer.transfer_id,
            counterparty: transfer.counterparty,
            counterparty_version: transfer.counterparty_version,
        }),
        effective_at: reversed.effective_at,
        reverses: Some(reversed.version),
        ..before.moving(reversed.movement())?
    })
}

fn change(before: AccountState, status: AccountStatus, reason: Option<&str>) -> Entry<'_> {
    Entry { reference: reason, ..Entry::of(AccountState { status, ..before }) }
}

impl AccountState {
    /// A movement of money, of which nothing else is known yet.
    fn moving<'e>(self, amount: i64) -> Result<Entry<'e>, Inapplicable> {
        let balance = self
            .balance
            .checked_add(amount)
            .filter(|balance| (-MAX_AMOUNT..=MAX_AMOUNT).contains(balance));
        let (balance, transaction_count) =
            (balance.ok_or(Inapplicable::Overflow)?, self.transaction_count + 1);
        Ok(Entry { amount: Some(amount), ..Entry::of(Self { balance, transaction_count, ..self }) })
    }

    /// With so much more set aside.
    fn holding(self, more: i64) -> Result<Self, Inapplicable> {
        let held = self.held.saturating_add(more);
        if !(0..=MAX_AMOUNT).contains(&held) {
            return Err(Inapplicable::Held { would_be: held });
        }
        Ok(Self { held, ..self })
    }
}

#[cfg(test)]
mod tests;
