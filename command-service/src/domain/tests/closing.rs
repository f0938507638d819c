use super::specification::*;
use crate::domain::account::ClosedAccount;
use crate::domain::{Account, Refusal};

#[test]
fn an_empty_account_can_be_closed() {
    given([opened_with(0)]).when(close()).then([closed()]);
    given([opened_with(100), withdrawn(100)]).when(close()).then([closed()]);
}

#[test]
fn an_account_with_money_cannot_be_closed() {
    given([opened_with(1)]).when(close()).then_refused(Refusal::BalanceNotZero { balance: 1 });
}

#[test]
fn an_overdrawn_account_cannot_be_closed() {
    given([opened_with_overdraft(0, 500), withdrawn(20)])
        .when(close())
        .then_refused(Refusal::BalanceNotZero { balance: -20 });
}

#[test]
fn an_account_with_open_holds_cannot_be_closed() {
    let history = || given([opened_with_overdraft(0, 500), held_until(20, Some(5))]);
    history().when(close()).then_refused(Refusal::HoldsOpen { holds: 1 });
    history().at(5).when(close()).then([expired(20, 5), closed()]);
    given([opened_with_overdraft(0, 500), held(20), released(20)]).when(close()).then([closed()]);
    let overdrawn = given([opened_with_overdraft(0, 500), held(20), withdrawn(1)]);
    overdrawn.when(close()).then_refused(Refusal::BalanceNotZero { balance: -1 });
}

#[test]
fn an_account_can_be_closed_after_transferring_its_money() {
    given([opened_with(100), sent(100, 2)])
        .and(OTHER, [opened_with(0)])
        .when(close())
        .then([closed()]);
}

#[test]
fn a_frozen_account_can_be_closed() {
    given([opened_with(0), frozen()]).when(close()).then([closed()]);
}

#[test]
fn a_closed_account_cannot_be_closed_again() {
    given([opened_with(0), closed()]).when(close()).then_refused(Refusal::AccountClosed);
}

#[test]
fn events_after_a_closing_change_nothing() {
    let end = Account::Closed(ClosedAccount {
        tenant: None,
        owner: opening(0, 0).owner,
        currency: "EUR".parse().unwrap(),
        overdraft_limit: 500,
    });
    given([opened_with_overdraft(0, 500), closed()]).then_it_is(&end);
    given([opened_with_overdraft(0, 500), closed(), deposited(1), unfrozen(), opened_with(7)])
        .then_it_is(&end);
}
