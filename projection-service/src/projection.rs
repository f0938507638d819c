//! Projection of an event onto an account's view: pure, without I/O or clock.

mod entry;
mod inapplicable;

use passbook_shared::event::{
    AccountEvent, AccountStatus, EntryReversed, HoldCaptured, HoldPlaced, MoneyMoved, OwnerChanged,
    Reason, TransferLeg,
};
use passbook_shared::money::MAX_AMOUNT;

pub use self::entry::{Entry, Hold, Transfer};
pub use self::inapplicable::Inapplicable;

/// Part of an account's view that events change. Amounts are in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// Version of the last event.
    pub version: i64,
    /// Status, which decides whether money may move.
    pub status: AccountStatus,
    /// Balance, including held money.
    pub balance: i64,
    /// Part of the balance that is held.
    pub held: i64,
    /// Amount by which `balance - held` may fall below 0.
    pub overdraft_limit: i64,
    /// Number of movements of money, the opening included.
    pub transaction_count: i64,
}

/// Returns the history entry of an event with `version`, applied to the state before it. The state
/// is `None` if the account does not exist yet.
///
/// # Errors
/// The event cannot follow that state.
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
        AccountEvent::OwnerChanged(changed) => Ok(change_owner(after, changed)),
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
    // A capture ends the hold, so the rest of the held amount is released.
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

fn change_owner(before: AccountState, changed: &OwnerChanged) -> Entry<'_> {
    let reference = changed.reason.as_deref();
    Entry { reference, owner: Some(&changed.owner), ..Entry::of(before) }
}

fn change(before: AccountState, status: AccountStatus, reason: Option<&str>) -> Entry<'_> {
    Entry { reference: reason, ..Entry::of(AccountState { status, ..before }) }
}

impl AccountState {
    /// Returns an entry that moves `amount`, with all other fields empty.
    fn moving<'e>(self, amount: i64) -> Result<Entry<'e>, Inapplicable> {
        let balance = self
            .balance
            .checked_add(amount)
            .filter(|balance| (-MAX_AMOUNT..=MAX_AMOUNT).contains(balance));
        let (balance, transaction_count) =
            (balance.ok_or(Inapplicable::Overflow)?, self.transaction_count + 1);
        Ok(Entry { amount: Some(amount), ..Entry::of(Self { balance, transaction_count, ..self }) })
    }

    /// Returns the state with `more` held.
    fn holding(self, more: i64) -> Result<Self, Inapplicable> {
        // A saturated sum is out of range as well.
        let held = self.held.saturating_add(more);
        if !(0..=MAX_AMOUNT).contains(&held) {
            return Err(Inapplicable::Held { would_be: held });
        }
        Ok(Self { held, ..self })
    }
}

#[cfg(test)]
mod tests;
