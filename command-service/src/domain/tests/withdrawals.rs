use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn money_goes_out_to_the_last_cent() {
    given([opened_with(100), deposited(50)]).when(withdraw(150)).then([withdrawn(150)]);
}

#[test]
fn but_no_further_and_the_refusal_says_what_there_is() {
    given([opened_with(100), withdrawn(30)])
        .when(withdraw(71))
        .then_refused(Refusal::InsufficientFunds { available: 70, overdraft_limit: 0 });
}

#[test]
fn an_overdraft_goes_to_its_limit() {
    given([opened_with_overdraft(100, 500)]).when(withdraw(600)).then([withdrawn(600)]);
}

#[test]
fn and_no_further() {
    given([opened_with_overdraft(100, 500)])
        .when(withdraw(601))
        .then_refused(Refusal::InsufficientFunds { available: 100, overdraft_limit: 500 });
    given([opened_with_overdraft(100, 500), withdrawn(600)])
        .when(withdraw(1))
        .then_refused(Refusal::InsufficientFunds { available: -500, overdraft_limit: 500 });
}

#[test]
fn the_largest_overdraft_and_amount_do_not_overflow() {
    given([opened_with_overdraft(0, MAX_AMOUNT)])
        .when(withdraw(MAX_AMOUNT))
        .then([withdrawn(MAX_AMOUNT)]);
    given([opened_with_overdraft(0, MAX_AMOUNT), withdrawn(MAX_AMOUNT)])
        .when(withdraw(MAX_AMOUNT))
        .then_refused(Refusal::InsufficientFunds {
            available: -MAX_AMOUNT,
            overdraft_limit: MAX_AMOUNT,
        });
}

#[test]
fn a_frozen_account_gives_nothing_out() {
    given([opened_with(100), frozen()]).when(withdraw(1)).then_refused(Refusal::AccountFrozen);
    given([opened_with(100), frozen_both_ways()])
        .when(withdraw(1))
        .then_refused(Refusal::AccountFrozen);
}

#[test]
fn that_it_is_frozen_is_said_before_what_there_is() {
    given([opened_with(0), frozen()]).when(withdraw(1)).then_refused(Refusal::AccountFrozen);
}

#[test]
fn once_unfrozen_it_does_again() {
    given([opened_with(100), frozen(), unfrozen()]).when(withdraw(1)).then([withdrawn(1)]);
}

#[test]
fn a_closed_account_gives_nothing_out() {
    given([opened_with(0), closed()]).when(withdraw(1)).then_refused(Refusal::AccountClosed);
}
