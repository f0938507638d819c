//! Incoming and outgoing money.

use passbook_shared::event::{AccountEvent, MoneyMoved};
use passbook_shared::money::MAX_AMOUNT;

use crate::domain::account::OpenAccount;
use crate::domain::effective::{Headroom, MOST_LATER_EVENTS};
use crate::domain::refusal::Refusal;

/// Checks that an amount in minor units may come in.
pub(super) fn may_come_in(account: &OpenAccount, amount: i64) -> Result<(), Refusal> {
    if account.freeze.is_some_and(|freeze| freeze.block_credits) {
        return Err(Refusal::AccountFrozen);
    }
    if account.balance > MAX_AMOUNT - amount {
        return Err(Refusal::AmountOverflow);
    }
    Ok(())
}

/// Checks that an amount in minor units may go out or be held.
pub(super) fn may_go_out(account: &OpenAccount, amount: i64) -> Result<(), Refusal> {
    if account.freeze.is_some() {
        return Err(Refusal::AccountFrozen);
    }
    let (available, overdraft_limit) = (account.available(), account.overdraft_limit);
    if available - amount < -overdraft_limit {
        return Err(Refusal::InsufficientFunds { available, overdraft_limit });
    }
    Ok(())
}

/// Checks that an amount in minor units may go out as of a past time: it must have been available
/// then and ever since.
pub(super) fn may_have_gone_out(headroom: Option<Headroom>, amount: i64) -> Result<(), Refusal> {
    match headroom {
        Some(Headroom::Lowest { available, overdraft_limit, at })
            if available - amount < -overdraft_limit =>
        {
            Err(Refusal::InsufficientFundsAt { available, overdraft_limit, at })
        }
        Some(Headroom::TooFarBack) => {
            Err(Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS })
        }
        // Without a headroom, the debit is not backdated or waives the check.
        Some(Headroom::Lowest { .. }) | None => Ok(()),
    }
}

pub(super) fn deposit(
    account: &OpenAccount,
    deposit: &MoneyMoved,
) -> Result<AccountEvent, Refusal> {
    may_come_in(account, deposit.amount.get())?;
    Ok(AccountEvent::MoneyDeposited(deposit.clone()))
}

pub(super) fn withdraw(
    account: &OpenAccount,
    withdrawal: &MoneyMoved,
    headroom: Option<Headroom>,
) -> Result<AccountEvent, Refusal> {
    may_go_out(account, withdrawal.amount.get())?;
    may_have_gone_out(headroom, withdrawal.amount.get())?;
    Ok(AccountEvent::MoneyWithdrawn(withdrawal.clone()))
}
