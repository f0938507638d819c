use passbook_shared::event::{AccountEvent, HoldCaptured, HoldExpired, HoldReleased, HoldStatus};
use passbook_shared::money::MAX_AMOUNT;
use uuid::Uuid;

use super::specification::*;
use crate::domain::Refusal;

const UNKNOWN: Uuid = Uuid::from_u128(0x99);

#[test]
fn held_money_is_unavailable_but_part_of_the_balance() {
    given([opened_with(100)]).when(hold(100)).then([held(100)]);
    given([opened_with(100), held(30)]).then_it_has(30, 70);
}

#[test]
fn a_hold_cannot_exceed_the_available_money() {
    given([opened_with(100), withdrawn(30)])
        .when(hold(71))
        .then_refused(Refusal::InsufficientFunds { available: 70, overdraft_limit: 0 });
    given([opened_with_overdraft(100, 50)]).when(hold(150)).then([held(150)]);
    given([opened_with(100), held(30)])
        .when(withdraw(71))
        .then_refused(Refusal::InsufficientFunds { available: 70, overdraft_limit: 0 });
}

#[test]
fn held_money_stays_within_the_range_of_exact_json_integers() {
    let other = AccountEvent::HoldPlaced(hold_of(UNKNOWN, MAX_AMOUNT, None));
    given([opened_with_overdraft(MAX_AMOUNT, MAX_AMOUNT), other])
        .when(hold(1))
        .then_refused(Refusal::AmountOverflow);
}

#[test]
fn a_hold_id_cannot_be_reused_in_an_account() {
    for ended in [None, Some(captured(30, 0)), Some(released(30)), Some(expired(30, 5))] {
        let history = [opened_with(100), held(30)].into_iter().chain(ended);
        given(history).when(hold(1)).then_refused(Refusal::HoldExists);
    }
    given([opened_with(100)])
        .and(OTHER, [opened_with(100), held(30)])
        .when(hold(1))
        .then([held(1)]);
}

#[test]
fn a_hold_must_expire_in_the_future() {
    given([opened_with(100)])
        .at(5)
        .when(hold_until(1, Some(5)))
        .then_refused(Refusal::ExpiryPassed);
    given([opened_with(100)]).at(5).when(hold_until(1, Some(6))).then([held_until(1, Some(6))]);
}

#[test]
fn a_partial_capture_releases_the_rest() {
    given([opened_with(100), held(30)]).when(capture(HOLD, None)).then([captured(30, 0)]);
    given([opened_with(100), held(30)]).when(capture(HOLD, Some(30))).then([captured(30, 0)]);
    given([opened_with(100), held(30)]).when(capture(HOLD, Some(10))).then([captured(10, 20)]);
    given([opened_with(100), held(30), captured(10, 20)]).then_it_has(0, 90);
}

#[test]
fn a_capture_cannot_exceed_its_hold() {
    given([opened_with(100), held(30)])
        .when(capture(HOLD, Some(31)))
        .then_refused(Refusal::HoldExceeded { amount: 30 });
}

#[test]
fn a_release_frees_the_whole_hold() {
    given([opened_with(100), held(30)]).when(release(HOLD)).then([released(30)]);
    given([opened_with(100), held(30), released(30)]).then_it_has(0, 100);
}

#[test]
fn an_ended_hold_cannot_be_ended_again() {
    for (end, status) in [
        (captured(30, 0), HoldStatus::Captured),
        (released(30), HoldStatus::Released),
        (expired(30, 5), HoldStatus::Expired),
    ] {
        let history = || given([opened_with(100), held(30), end.clone()]);
        history().when(capture(HOLD, None)).then_refused(Refusal::HoldNotOpen { status });
        history().when(release(HOLD)).then_refused(Refusal::HoldNotOpen { status });
        history().when(expire(HOLD)).then_nothing();
    }
}

#[test]
fn an_unknown_hold_is_not_found() {
    given([opened_with(100), held(30)])
        .when(capture(UNKNOWN, None))
        .then_refused(Refusal::HoldNotFound);
    given([opened_with(100), held(30)]).when(release(UNKNOWN)).then_refused(Refusal::HoldNotFound);
    given([opened_with(100), held(30)]).when(expire(UNKNOWN)).then_nothing();
    let of_other = given([opened_with(100)]).and(OTHER, [opened_with(100), held(30)]);
    of_other.when(release(HOLD)).then_refused(Refusal::HoldNotFound);
}

#[test]
fn a_hold_is_over_at_its_expiry_even_if_unrecorded() {
    let history = || given([opened_with(100), held_until(30, Some(5))]).at(5);
    let over = Refusal::HoldNotOpen { status: HoldStatus::Expired };
    history().when(capture(HOLD, None)).then_refused(over.clone());
    history().when(release(HOLD)).then_refused(over);
    history().when(expire(HOLD)).then([expired(30, 5)]);
    given([opened_with(100), held_until(30, Some(5)), expired(30, 5)]).then_it_has(0, 100);
}

#[test]
fn a_hold_does_not_expire_before_its_time() {
    let history = || given([opened_with(100), held_until(30, Some(5))]).at(4);
    let (amount, expires_at) = (passbook_shared::money::Amount::new(30).unwrap(), Some(at(5)));
    let AccountEvent::HoldCaptured(taken) = captured(30, 0) else { unreachable!() };
    let AccountEvent::HoldReleased(freed) = released(30) else { unreachable!() };
    history()
        .when(capture(HOLD, None))
        .then([AccountEvent::HoldCaptured(HoldCaptured { expires_at, ..taken })]);
    history().when(release(HOLD)).then([AccountEvent::HoldReleased(HoldReleased {
        amount,
        expires_at,
        ..freed
    })]);
    history().when(expire(HOLD)).then_nothing();
    given([opened_with(100), held(30)]).at(1_000_000).when(expire(HOLD)).then_nothing();
}

#[test]
fn a_frozen_account_refuses_holds_and_captures_but_allows_releases() {
    let history = || given([opened_with(100), held_until(30, Some(5)), frozen()]);
    history().when(hold(1)).then_refused(Refusal::HoldExists);
    given([opened_with(100), frozen()]).when(hold(1)).then_refused(Refusal::AccountFrozen);
    history().when(capture(HOLD, None)).then_refused(Refusal::AccountFrozen);
    history().at(5).when(expire(HOLD)).then([expired(30, 5)]);
    given([opened_with(100), held(30), frozen()]).when(release(HOLD)).then([released(30)]);
}

#[test]
fn a_closed_account_refuses_commands_on_holds() {
    for command in [hold(1), capture(HOLD, None), release(HOLD), expire(HOLD)] {
        given([opened_with(0), closed()]).when(command).then_refused(Refusal::AccountClosed);
    }
}

#[test]
fn an_expired_hold_does_not_block_commands() {
    let account = || given([opened_with(100), held_until(60, Some(5))]);
    account()
        .at(4)
        .when(withdraw(41))
        .then_refused(Refusal::InsufficientFunds { available: 40, overdraft_limit: 0 });
    account().at(5).when(withdraw(41)).then([expired(60, 5), withdrawn(41)]);
    account().at(5).when(withdraw(40)).then([withdrawn(40)]);
    account()
        .at(5)
        .when(withdraw(101))
        .then_refused(Refusal::InsufficientFunds { available: 100, overdraft_limit: 0 });
    let empty = || given([opened_with_overdraft(0, 60), held_until(60, Some(5))]);
    empty().at(4).when(close()).then_refused(Refusal::HoldsOpen { holds: 1 });
    empty().at(5).when(close()).then([expired(60, 5), closed()]);
    empty().at(4).when(set_limit(0)).then_refused(Refusal::OverdraftInUse { available: -60 });
    empty().at(5).when(set_limit(0)).then([expired(60, 5), limited(0)]);
}

#[test]
fn an_expired_hold_does_not_count_towards_the_largest_sum_of_holds() {
    let other = hold_of(UNKNOWN, MAX_AMOUNT, Some(at(5)));
    let expired = AccountEvent::HoldExpired(HoldExpired {
        hold_id: UNKNOWN,
        amount: other.amount,
        expires_at: at(5),
    });
    let full = [opened_with_overdraft(MAX_AMOUNT, MAX_AMOUNT), AccountEvent::HoldPlaced(other)];
    given(full.clone()).at(4).when(hold(1)).then_refused(Refusal::AmountOverflow);
    given(full).at(5).when(hold(1)).then([expired, held(1)]);
}
