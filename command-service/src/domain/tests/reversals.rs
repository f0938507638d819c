use passbook_shared::event::AccountEvent;
use passbook_shared::event::ReversibleEntry::{
    Deposit, TransferReceived, TransferSent, Withdrawal,
};
use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::Refusal;

/// Returns the other account's leg of [`TRANSFER`].
fn other_received(amount: i64, version: i64) -> AccountEvent {
    AccountEvent::MoneyReceived(leg(TRANSFER, amount, ACCOUNT, version))
}

fn other_sent(amount: i64, version: i64) -> AccountEvent {
    AccountEvent::MoneySent(leg(TRANSFER, amount, ACCOUNT, version))
}

#[test]
fn deposits_and_withdrawals_can_be_reversed() {
    given([opened_with(100), deposited(30)]).when(reverse(2)).then([reversed(2, Deposit, 30)]);
    given([opened_with(100), withdrawn(30)]).when(reverse(2)).then([reversed(2, Withdrawal, 30)]);
    given([opened_with(100), deposited(30), reversed(2, Deposit, 30)]).then_it_has(0, 100);
    given([opened_with(100), withdrawn(30), reversed(2, Withdrawal, 30)]).then_it_has(0, 100);
}

#[test]
fn a_transfer_is_reversed_on_both_accounts_from_either_side() {
    given([opened_with(100), sent(60, 3)])
        .and(OTHER, [opened_with(0), deposited(5), other_received(60, 2)])
        .when(reverse(2))
        .then_on_both(
            leg_reversed(2, TransferSent, 60, (OTHER, 4)),
            leg_reversed(3, TransferReceived, 60, (ACCOUNT, 3)),
        );
    given([opened_with(0), received(60, 2)])
        .and(OTHER, [opened_with(100), other_sent(60, 2)])
        .when(reverse(2))
        .then_on_both(
            leg_reversed(2, TransferReceived, 60, (OTHER, 3)),
            leg_reversed(2, TransferSent, 60, (ACCOUNT, 3)),
        );
    given([opened_with(100), sent(60, 3), leg_reversed(2, TransferSent, 60, (OTHER, 4))])
        .then_it_has(0, 100);
}

#[test]
fn an_entry_cannot_be_reversed_twice() {
    given([opened_with(100), deposited(30), deposited(30), reversed(2, Deposit, 30)])
        .when(reverse(2))
        .then_refused(Refusal::AlreadyReversed { reversed_by: 4 });
    given([opened_with(100), deposited(30), deposited(30), reversed(2, Deposit, 30)])
        .when(reverse(3))
        .then([reversed(3, Deposit, 30)]);
}

#[test]
fn a_transfer_cannot_be_reversed_again_from_the_other_account() {
    given([opened_with(100), sent(60, 2), leg_reversed(2, TransferSent, 60, (OTHER, 3))])
        .and(
            OTHER,
            [
                opened_with(0),
                other_received(60, 2),
                leg_reversed(2, TransferReceived, 60, (ACCOUNT, 3)),
            ],
        )
        .when(reverse(2))
        .then_refused(Refusal::AlreadyReversed { reversed_by: 3 });
}

#[test]
fn an_unknown_entry_is_not_found() {
    for version in [0, 2, i64::MAX] {
        let history = given([opened_with(100)]).and(OTHER, [opened_with(100), deposited(1)]);
        history.when(reverse(version)).then_refused(Refusal::EntryNotFound { current_version: 1 });
    }
}

#[test]
fn only_movements_of_money_can_be_reversed() {
    for event in
        [held(30), captured(30, 0), released(30), expired(30, 5), limited(7), frozen(), unfrozen()]
    {
        let event_type = event.event_type().to_owned();
        given([opened_with(100), event])
            .when(reverse(2))
            .then_refused(Refusal::NotReversible { event_type });
    }
    let opening = "AccountOpened".to_owned();
    given([opened_with(100)])
        .when(reverse(1))
        .then_refused(Refusal::NotReversible { event_type: opening });
    let reversal = "EntryReversed".to_owned();
    given([opened_with(100), deposited(30), reversed(2, Deposit, 30)])
        .when(reverse(3))
        .then_refused(Refusal::NotReversible { event_type: reversal });
}

#[test]
fn a_reversal_requires_the_money_that_goes_out() {
    given([opened_with(0), deposited(30), withdrawn(10)])
        .when(reverse(2))
        .then_refused(Refusal::InsufficientFunds { available: 20, overdraft_limit: 0 });
    given([opened_with_overdraft(0, 10), deposited(30), withdrawn(10)])
        .when(reverse(2))
        .then([reversed(2, Deposit, 30)]);
    let spent = [opened_with(0), other_received(60, 2), withdrawn(1)];
    given([opened_with(100), sent(60, 2)])
        .and(OTHER, spent)
        .when(reverse(2))
        .then_refused_by_other(Refusal::InsufficientFunds { available: 59, overdraft_limit: 0 });
}

#[test]
fn a_reversal_must_not_overflow_the_balance() {
    given([opened_with(MAX_AMOUNT), withdrawn(30), deposited(30)])
        .when(reverse(2))
        .then_refused(Refusal::AmountOverflow);
}

#[test]
fn a_freeze_blocks_reversals_in_its_directions() {
    given([opened_with(0), deposited(30), frozen()])
        .when(reverse(2))
        .then_refused(Refusal::AccountFrozen);
    given([opened_with(30), withdrawn(30), frozen()])
        .when(reverse(2))
        .then([reversed(2, Withdrawal, 30)]);
    given([opened_with(30), withdrawn(30), frozen_both_ways()])
        .when(reverse(2))
        .then_refused(Refusal::AccountFrozen);
    given([opened_with(100), sent(60, 2)])
        .and(OTHER, [opened_with(0), other_received(60, 2), frozen()])
        .when(reverse(2))
        .then_refused_by_other(Refusal::AccountFrozen);
}

#[test]
fn entries_of_closed_accounts_cannot_be_reversed() {
    let history = || [opened_with(0), deposited(30), withdrawn(30), closed()];
    given(history()).when(reverse(2)).then_refused(Refusal::AccountClosed);
    given([opened_with(100), sent(60, 2)])
        .and(OTHER, [opened_with(0), other_received(60, 2), withdrawn(60), closed()])
        .when(reverse(2))
        .then_refused_by_other(Refusal::AccountClosed);
}

#[test]
fn an_expired_hold_of_either_account_does_not_keep_a_transfer_from_being_reversed() {
    let sender = || given([opened_with(100), sent(60, 2)]);
    let spent = [opened_with(0), other_received(60, 2), held_until(60, Some(5))];
    sender()
        .and(OTHER, spent.clone())
        .at(4)
        .when(reverse(2))
        .then_refused_by_other(Refusal::InsufficientFunds { available: 0, overdraft_limit: 0 });
    sender().and(OTHER, spent).at(5).when(reverse(2)).then_each(
        [leg_reversed(2, TransferSent, 60, (OTHER, 5))],
        [expired(60, 5), leg_reversed(2, TransferReceived, 60, (ACCOUNT, 3))],
    );
    given([opened_with(0), received(60, 2), held_until(60, Some(5))])
        .and(OTHER, [opened_with(100), other_sent(60, 2)])
        .at(5)
        .when(reverse(2))
        .then_each(
            [expired(60, 5), leg_reversed(2, TransferReceived, 60, (OTHER, 3))],
            [leg_reversed(2, TransferSent, 60, (ACCOUNT, 5))],
        );
}
