//! What follows from a command: events, nothing (what is asked for is so already), or a refusal.

use passbook_shared::event::{AccountEvent, AccountFrozen, AccountOpened, MoneyMoved, Reason};
use passbook_shared::money::MAX_AMOUNT;

use super::account::{Account, Freeze, OpenAccount};
use super::command::Command;
use super::refusal::Refusal;

/// The events that follow from a command on an account.
///
/// # Errors
/// The rule that refuses it.
pub fn decide(account: &Account, command: &Command) -> Result<Vec<AccountEvent>, Refusal> {
    match command {
        Command::Open(opening) => open(account, opening),
        Command::Deposit(deposit) => opened(account).and_then(|account| take_in(account, deposit)),
        Command::Withdraw(withdrawal) => opened(account).and_then(|account| give_out(account, withdrawal)),
        Command::Freeze(freeze) => opened(account).map(|account| start_freeze(account, freeze)),
        Command::Unfreeze(reason) => opened(account).map(|account| end_freeze(account, reason)),
        Command::Close(reason) => opened(account).and_then(|account| close(account, reason)),
    }
}

fn opened(account: &Account) -> Result<&OpenAccount, Refusal> {
    match account {
        Account::Unopened => Err(Refusal::AccountNotFound),
        Account::Open(open) => Ok(open),
        Account::Closed(_) => Err(Refusal::AccountClosed),
    }
}

fn open(account: &Account, opening: &AccountOpened) -> Result<Vec<AccountEvent>, Refusal> {
    match account {
        Account::Unopened => Ok(vec![AccountEvent::AccountOpened(opening.clone())]),
        Account::Open(_) | Account::Closed(_) => Err(Refusal::AccountExists),
    }
}

fn take_in(account: &OpenAccount, deposit: &MoneyMoved) -> Result<Vec<AccountEvent>, Refusal> {
    if account.freeze.is_some_and(|freeze| freeze.block_credits) {
        return Err(Refusal::AccountFrozen);
    }
    if account.balance > MAX_AMOUNT - deposit.amount.get() {
        return Err(Refusal::AmountOverflow);
    }
    Ok(vec![AccountEvent::MoneyDeposited(deposit.clone())])
}

fn give_out(account: &OpenAccount, withdrawal: &MoneyMoved) -> Result<Vec<AccountEvent>, Refusal> {
    if account.freeze.is_some() {
        return Err(Refusal::AccountFrozen);
    }
    let (available, overdraft_limit) = (account.available(), account.overdraft_limit);
    if available - withdrawal.amount.get() < -overdraft_limit {
        return Err(Refusal::InsufficientFunds { available, overdraft_limit });
    }
    if account.balance - withdrawal.amount.get() < -MAX_AMOUNT {
        return Err(Refusal::AmountOverflow);
    }
    Ok(vec![AccountEvent::MoneyWithdrawn(withdrawal.clone())])
}

fn start_freeze(account: &OpenAccount, freeze: &AccountFrozen) -> Vec<AccountEvent> {
    if account.freeze == Some(Freeze { block_credits: freeze.block_credits }) {
        return Vec::new();
    }
    vec![AccountEvent::AccountFrozen(freeze.clone())]
}

fn end_freeze(account: &OpenAccount, reason: &Reason) -> Vec<AccountEvent> {
    if account.freeze.is_none() {
        return Vec::new();
    }
    vec![AccountEvent::AccountUnfrozen(reason.clone())]
}

fn close(account: &OpenAccount, reason: &Reason) -> Result<Vec<AccountEvent>, Refusal> {
    if account.balance != 0 {
        return Err(Refusal::BalanceNotZero { balance: account.balance });
    }
    Ok(vec![AccountEvent::AccountClosed(reason.clone())])
}
