use super::specification::*;
use crate::domain::Refusal;

#[test]
fn an_owner_can_be_changed_and_changed_back() {
    given([opened_with(0)]).when(change_owner("customer-4712")).then([owned_by("customer-4712")]);
    given([opened_with(0), owned_by("customer-4712")])
        .when(change_owner("customer-4711"))
        .then([owned_by("customer-4711")]);
}

#[test]
fn changing_to_the_current_owner_changes_nothing() {
    given([opened_with(0)]).when(change_owner("customer-4711")).then_nothing();
    given([opened_with(0), owned_by("customer-4712")])
        .when(change_owner("customer-4712"))
        .then_nothing();
}

#[test]
fn a_new_owner_has_the_same_money_and_the_same_holds() {
    given([opened_with(100), held(40), owned_by("customer-4712")])
        .when(withdraw(61))
        .then_refused(Refusal::InsufficientFunds { available: 60, overdraft_limit: 0 });
    given([opened_with(100), held(40), owned_by("customer-4712")])
        .when(capture(HOLD, Some(40)))
        .then([captured(40, 0)]);
}

#[test]
fn the_owner_of_a_frozen_account_can_change_but_not_that_of_a_closed_one() {
    given([opened_with(0), frozen_both_ways()])
        .when(change_owner("customer-4712"))
        .then([owned_by("customer-4712")]);
    given([opened_with(0), closed()])
        .when(change_owner("customer-4712"))
        .then_refused(Refusal::AccountClosed);
}
