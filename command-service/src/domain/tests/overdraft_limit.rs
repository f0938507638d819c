use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn a_limit_can_be_raised_lowered_and_removed() {
    given([opened_with(0)]).when(set_limit(500)).then([limited(500)]);
    given([opened_with_overdraft(0, 500)]).when(set_limit(400)).then([limited(400)]);
    given([opened_with_overdraft(0, 500)]).when(set_limit(0)).then([limited(0)]);
    given([opened_with(0)]).when(set_limit(MAX_AMOUNT)).then([limited(MAX_AMOUNT)]);
}

#[test]
fn setting_the_current_limit_changes_nothing() {
    given([opened_with_overdraft(0, 500)]).when(set_limit(500)).then_nothing();
    given([opened_with(0), limited(500)]).when(set_limit(500)).then_nothing();
    given([opened_with(0)]).when(set_limit(0)).then_nothing();
}

#[test]
fn the_latest_limit_applies() {
    given([opened_with(0), limited(500)]).when(withdraw(500)).then([withdrawn(500)]);
    given([opened_with_overdraft(0, 500), limited(100)])
        .when(withdraw(101))
        .then_refused(Refusal::InsufficientFunds { available: 0, overdraft_limit: 100 });
}

#[test]
fn a_limit_cannot_be_set_below_the_overdraft_in_use() {
    given([opened_with_overdraft(0, 500), withdrawn(300)])
        .when(set_limit(300))
        .then([limited(300)]);
    given([opened_with_overdraft(0, 500), withdrawn(300)])
        .when(set_limit(299))
        .then_refused(Refusal::OverdraftInUse { available: -300 });
    given([opened_with_overdraft(0, 500), withdrawn(200), held(100)])
        .when(set_limit(299))
        .then_refused(Refusal::OverdraftInUse { available: -300 });
}

#[test]
fn a_limit_can_be_set_on_a_frozen_account_but_not_on_a_closed_one() {
    given([opened_with(0), frozen_both_ways()]).when(set_limit(500)).then([limited(500)]);
    given([opened_with(0), closed()]).when(set_limit(500)).then_refused(Refusal::AccountClosed);
}
