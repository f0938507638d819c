//! Status of an account: opening, overdraft limit, owner, freeze, closing.

use passbook_shared::event::{
    AccountEvent, AccountFrozen, AccountOpened, OverdraftLimitSet, OwnerChanged, Reason,
};

use crate::domain::account::{Account, Freeze, OpenAccount};
use crate::domain::refusal::Refusal;

pub(super) fn open(account: &Account, opening: &AccountOpened) -> Result<AccountEvent, Refusal> {
    match account {
        Account::Unopened => Ok(AccountEvent::AccountOpened(opening.clone())),
        Account::Open(_) | Account::Closed(_) => Err(Refusal::AccountExists),
    }
}

pub(super) fn set_limit(
    account: &OpenAccount,
    set: OverdraftLimitSet,
) -> Result<Vec<AccountEvent>, Refusal> {
    if account.overdraft_limit == set.limit {
        return Ok(Vec::new());
    }
    if account.available() < -set.limit {
        return Err(Refusal::OverdraftInUse { available: account.available() });
    }
    Ok(vec![AccountEvent::OverdraftLimitSet(set)])
}

pub(super) fn set_owner(account: &OpenAccount, to: &OwnerChanged) -> Vec<AccountEvent> {
    if account.owner == to.owner {
        return Vec::new();
    }
    vec![AccountEvent::OwnerChanged(to.clone())]
}

pub(super) fn freeze(account: &OpenAccount, freeze: &AccountFrozen) -> Vec<AccountEvent> {
    if account.freeze == Some(Freeze { block_credits: freeze.block_credits }) {
        return Vec::new();
    }
    vec![AccountEvent::AccountFrozen(freeze.clone())]
}

pub(super) fn unfreeze(account: &OpenAccount, reason: &Reason) -> Vec<AccountEvent> {
    if account.freeze.is_none() {
        return Vec::new();
    }
    vec![AccountEvent::AccountUnfrozen(reason.clone())]
}

pub(super) fn close(account: &OpenAccount, reason: &Reason) -> Result<AccountEvent, Refusal> {
    if account.balance != 0 {
        return Err(Refusal::BalanceNotZero { balance: account.balance });
    }
    match account.holds.size() {
        0 => Ok(AccountEvent::AccountClosed(reason.clone())),
        holds => Err(Refusal::HoldsOpen { holds }),
    }
}
