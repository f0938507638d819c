use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn a_withdrawal_can_empty_the_account() {
    given([opened_with(100), deposited(50)]).when(withdraw(150)).then([withdrawn(150)]);
}

#[test]
fn a_withdrawal_beyond_the_available_money_is_refused_with_the_amounts() {
    given([opened_with(100), withdrawn(30)])
        .when(withdraw(71))
        .then_refused(Refusal::InsufficientFunds { available: 70, overdraft_limit: 0 });
}

#[test]
fn a_withdrawal_can_use_the_overdraft_up_to_its_limit() {
    given([opened_with_overdraft(100, 500)]).when(withdraw(600)).then([withdrawn(600)]);
}

#[test]
fn a_withdrawal_beyond_the_overdraft_limit_is_refused() {
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
fn a_frozen_account_refuses_withdrawals() {
    given([opened_with(100), frozen()]).when(withdraw(1)).then_refused(Refusal::AccountFrozen);
    given([opened_with(100), frozen_both_ways()])
        .when(withdraw(1))
        .then_refused(Refusal::AccountFrozen);
}

#[test]
fn a_freeze_is_reported_before_insufficient_funds() {
    given([opened_with(0), frozen()]).when(withdraw(1)).then_refused(Refusal::AccountFrozen);
}

#[test]
fn an_unfrozen_account_allows_withdrawals_again() {
    given([opened_with(100), frozen(), unfrozen()]).when(withdraw(1)).then([withdrawn(1)]);
}

#[test]
fn a_closed_account_refuses_withdrawals() {
    given([opened_with(0), closed()]).when(withdraw(1)).then_refused(Refusal::AccountClosed);
}
