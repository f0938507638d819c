use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn a_deposit_increases_the_balance() {
    given([opened_with(0)]).when(deposit(1)).then([deposited(1)]);
}

#[test]
fn a_frozen_account_accepts_deposits() {
    given([opened_with(0), frozen()]).when(deposit(250)).then([deposited(250)]);
}

#[test]
fn a_freeze_that_blocks_credits_refuses_deposits() {
    given([opened_with(0), frozen_both_ways()])
        .when(deposit(250))
        .then_refused(Refusal::AccountFrozen);
}

#[test]
fn the_latest_freeze_determines_the_blocked_directions() {
    given([opened_with(0), frozen_both_ways(), frozen()]).when(deposit(250)).then([deposited(250)]);
    given([opened_with(0), frozen_both_ways(), unfrozen()])
        .when(deposit(250))
        .then([deposited(250)]);
}

#[test]
fn a_closed_account_refuses_deposits() {
    given([opened_with(0), closed()]).when(deposit(250)).then_refused(Refusal::AccountClosed);
}

#[test]
fn a_balance_stays_within_the_range_of_exact_json_integers() {
    given([opened_with(MAX_AMOUNT - 1)]).when(deposit(1)).then([deposited(1)]);
    given([opened_with(MAX_AMOUNT)]).when(deposit(1)).then_refused(Refusal::AmountOverflow);
    given([opened_with(1)]).when(deposit(MAX_AMOUNT)).then_refused(Refusal::AmountOverflow);
}

#[test]
fn a_deposit_reduces_an_overdraft() {
    given([opened_with_overdraft(0, 500), withdrawn(500)])
        .when(deposit(MAX_AMOUNT))
        .then([deposited(MAX_AMOUNT)]);
}
