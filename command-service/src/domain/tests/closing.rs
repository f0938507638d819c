use super::specification::*;
use crate::domain::account::ClosedAccount;
use crate::domain::{Account, Refusal};

#[test]
fn an_empty_account_is_closed() {
    given([opened_with(0)]).when(close()).then([closed()]);
    given([opened_with(100), withdrawn(100)]).when(close()).then([closed()]);
}

#[test]
fn one_with_money_on_it_is_not() {
    given([opened_with(1)]).when(close()).then_refused(Refusal::BalanceNotZero { balance: 1 });
}

#[test]
fn nor_is_one_that_is_overdrawn() {
    given([opened_with_overdraft(0, 500), withdrawn(20)])
        .when(close())
        .then_refused(Refusal::BalanceNotZero { balance: -20 });
}

#[test]
fn nor_is_one_with_open_holds() {
    let history = || given([opened_with_overdraft(0, 500), held_until(20, Some(5))]);
    history().when(close()).then_refused(Refusal::HoldsOpen { holds: 1 });
    history().at(5).when(close()).then([expired(20, 5), closed()]);
    given([opened_with_overdraft(0, 500), held(20), released(20)]).when(close()).then([closed()]);
    let overdrawn = given([opened_with_overdraft(0, 500), held(20), withdrawn(1)]);
    overdrawn.when(close()).then_refused(Refusal::BalanceNotZero { balance: -1 });
}

#[test]
fn one_whose_money_went_to_another_is() {
    given([opened_with(100), sent(100, 2)])
        .and(OTHER, [opened_with(0)])
        .when(close())
        .then([closed()]);
}

#[test]
fn a_frozen_account_may_be_closed() {
    given([opened_with(0), frozen()]).when(close()).then([closed()]);
}

#[test]
fn an_account_is_closed_once() {
    given([opened_with(0), closed()]).when(close()).then_refused(Refusal::AccountClosed);
}

#[test]
fn closing_is_final_whatever_a_log_may_say_after_it() {
    let end =
        Account::Closed(ClosedAccount { currency: "EUR".parse().unwrap(), overdraft_limit: 500 });
    given([opened_with_overdraft(0, 500), closed()]).then_it_is(&end);
    given([opened_with_overdraft(0, 500), closed(), deposited(1), unfrozen(), opened_with(7)])
        .then_it_is(&end);
}
