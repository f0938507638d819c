use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn money_comes_in() {
    given([opened_with(0)]).when(deposit(1)).then([deposited(1)]);
}

#[test]
fn a_frozen_account_still_takes_money_in() {
    given([opened_with(0), frozen()]).when(deposit(250)).then([deposited(250)]);
}

#[test]
fn an_account_frozen_both_ways_takes_none() {
    given([opened_with(0), frozen_both_ways()])
        .when(deposit(250))
        .then_refused(Refusal::AccountFrozen);
}

#[test]
fn the_newest_freeze_says_which_ways_are_shut() {
    given([opened_with(0), frozen_both_ways(), frozen()]).when(deposit(250)).then([deposited(250)]);
    given([opened_with(0), frozen_both_ways(), unfrozen()])
        .when(deposit(250))
        .then([deposited(250)]);
}

#[test]
fn a_closed_account_takes_none() {
    given([opened_with(0), closed()]).when(deposit(250)).then_refused(Refusal::AccountClosed);
}

#[test]
fn a_balance_stays_within_what_json_holds_exactly() {
    given([opened_with(MAX_AMOUNT - 1)]).when(deposit(1)).then([deposited(1)]);
    given([opened_with(MAX_AMOUNT)]).when(deposit(1)).then_refused(Refusal::AmountOverflow);
    given([opened_with(1)]).when(deposit(MAX_AMOUNT)).then_refused(Refusal::AmountOverflow);
}

#[test]
fn a_deposit_brings_an_overdrawn_account_back() {
    given([opened_with_overdraft(0, 500), withdrawn(500)])
        .when(deposit(MAX_AMOUNT))
        .then([deposited(MAX_AMOUNT)]);
}
