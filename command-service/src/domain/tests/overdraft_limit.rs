use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

#[test]
fn a_limit_is_set_higher_lower_and_to_nothing() {
    given([opened_with(0)]).when(set_limit(500)).then([limited(500)]);
    given([opened_with_overdraft(0, 500)]).when(set_limit(400)).then([limited(400)]);
    given([opened_with_overdraft(0, 500)]).when(set_limit(0)).then([limited(0)]);
    given([opened_with(0)]).when(set_limit(MAX_AMOUNT)).then([limited(MAX_AMOUNT)]);
}

#[test]
fn setting_it_to_what_it_is_changes_nothing() {
    given([opened_with_overdraft(0, 500)]).when(set_limit(500)).then_nothing();
    given([opened_with(0), limited(500)]).when(set_limit(500)).then_nothing();
    given([opened_with(0)]).when(set_limit(0)).then_nothing();
}

#[test]
fn the_newest_limit_is_the_one_that_counts() {
    given([opened_with(0), limited(500)]).when(withdraw(500)).then([withdrawn(500)]);
    given([opened_with_overdraft(0, 500), limited(100)])
        .when(withdraw(101))
        .then_refused(Refusal::InsufficientFunds { available: 0, overdraft_limit: 100 });
}

#[test]
fn a_limit_is_not_set_below_what_is_used_of_it() {
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
fn a_freeze_does_not_keep_it_from_being_set_and_closing_does() {
    given([opened_with(0), frozen_both_ways()]).when(set_limit(500)).then([limited(500)]);
    given([opened_with(0), closed()]).when(set_limit(500)).then_refused(Refusal::AccountClosed);
}
