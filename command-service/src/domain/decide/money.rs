//! Money that comes in or goes out.

use passbook_shared::event::{AccountEvent, MoneyMoved};
use passbook_shared::money::MAX_AMOUNT;

use crate::domain::account::OpenAccount;
use crate::domain::effective::{Headroom, MOST_LATER_EVENTS};
use crate::domain::refusal::Refusal;

/// Whether so much may come in, in minor units.
pub(super) fn may_come_in(account: &OpenAccount, amount: i64) -> Result<(), Refusal> {
    if account.freeze.is_some_and(|freeze| freeze.block_credits) {
        return Err(Refusal::AccountFrozen);
    }
    if account.balance > MAX_AMOUNT - amount {
        return Err(Refusal::AmountOverflow);
    }
    Ok(())
}

/// Whether so much may go out, or be set aside, in minor units.
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

/// Whether so much may go out as of a time that is past, at that time and at any later one.
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
        Some(Headroom::Lowest { .. }) | None => Ok(()),
    }
}

pub(super) fn take_in(
    account: &OpenAccount,
    deposit: &MoneyMoved,
) -> Result<AccountEvent, Refusal> {
    may_come_in(account, deposit.amount.get())?;
    Ok(AccountEvent::MoneyDeposited(deposit.clone()))
}

pub(super) fn give_out(
    account: &OpenAccount,
    withdrawal: &MoneyMoved,
    headroom: Option<Headroom>,
) -> Result<AccountEvent, Refusal> {
    may_go_out(account, withdrawal.amount.get())?;
    may_have_gone_out(headroom, withdrawal.amount.get())?;
    Ok(AccountEvent::MoneyWithdrawn(withdrawal.clone()))
}
