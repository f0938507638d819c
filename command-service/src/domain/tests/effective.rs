//! Backdated debits: the money must have been available then and ever since.

use passbook_shared::event::ReversibleEntry::{
    Deposit, TransferReceived, TransferSent, Withdrawal,
};
use passbook_shared::event::{AccountEvent, MoneyMoved};

use super::specification::*;
use crate::domain::{Command, Refusal};

fn short(available: i64, overdraft_limit: i64, seconds: i64) -> Refusal {
    Refusal::InsufficientFundsAt { available, overdraft_limit, at: at(seconds) }
}

fn as_of_event(seconds: i64, event: AccountEvent) -> AccountEvent {
    let moved = |moved| MoneyMoved { effective_at: Some(at(seconds)), ..moved };
    match event {
        AccountEvent::AccountOpened(mut opened) => {
            opened.effective_at = Some(at(seconds));
            AccountEvent::AccountOpened(opened)
        }
        AccountEvent::MoneyDeposited(money) => AccountEvent::MoneyDeposited(moved(money)),
        AccountEvent::MoneyWithdrawn(money) => AccountEvent::MoneyWithdrawn(moved(money)),
        AccountEvent::EntryReversed(mut reversed) => {
            reversed.effective_at = Some(at(seconds));
            AccountEvent::EntryReversed(reversed)
        }
        event => event,
    }
}

#[test]
fn a_backdated_withdrawal_requires_the_money_at_its_effective_time() {
    let history = || [(0, opened_with(0)), (50, deposited(100))];
    given_at(history()).when(as_of(50, withdraw(100))).then([as_of_event(50, withdrawn(100))]);
    given_at(history()).when(as_of(49, withdraw(1))).then_refused(short(0, 0, 49));
    // Before the opening, nothing was available.
    given_at([(10, opened_with(100))]).when(as_of(9, withdraw(1))).then_refused(short(0, 0, 9));
    given_at([(10, opened_with_overdraft(0, 20))])
        .when(as_of(9, withdraw(20)))
        .then([as_of_event(9, withdrawn(20))]);
}

#[test]
fn an_initial_deposit_is_available_from_the_effective_time_of_the_opening() {
    let history = || [(10, as_of_event(5, opened_with(100)))];
    given_at(history()).when(as_of(5, withdraw(100))).then([as_of_event(5, withdrawn(100))]);
    given_at(history()).when(as_of(4, withdraw(1))).then_refused(short(0, 0, 4));
    let opening = as_of_event(5, opened_with(100));
    assert_eq!((opening.schema_version(), opened_with(100).schema_version()), (3, 2));
}

#[test]
fn a_backdated_withdrawal_requires_the_money_at_every_later_time() {
    let history = || [(0, opened_with(100)), (10, withdrawn(80)), (20, deposited(500))];
    given_at(history()).when(as_of(5, withdraw(21))).then_refused(short(20, 0, 10));
    given_at(history()).when(as_of(5, withdraw(20))).then([as_of_event(5, withdrawn(20))]);
    given_at(history()).when(as_of(20, withdraw(520))).then([as_of_event(20, withdrawn(520))]);
    // The present shortage is reported first.
    given_at(history())
        .when(as_of(5, withdraw(521)))
        .then_refused(Refusal::InsufficientFunds { available: 520, overdraft_limit: 0 });
}

#[test]
fn backdated_entries_count_from_their_effective_times() {
    let history = || {
        [
            (10, opened_with(0)),
            (20, as_of_event(5, deposited(30))),
            (30, as_of_event(7, withdrawn(10))),
        ]
    };
    given_at(history()).when(as_of(5, withdraw(20))).then([as_of_event(5, withdrawn(20))]);
    given_at([(10, opened_with(0)), (20, as_of_event(5, deposited(30)))])
        .when(as_of(4, withdraw(1)))
        .then_refused(short(0, 0, 4));
}

#[test]
fn held_money_was_not_available() {
    let history = || [(0, opened_with(100)), (10, held(70)), (20, released(70))];
    given_at(history()).when(as_of(5, withdraw(31))).then_refused(short(30, 0, 10));
    given_at(history()).when(as_of(20, withdraw(100))).then([as_of_event(20, withdrawn(100))]);
    given_at([(0, opened_with(100)), (10, held(70)), (20, captured(20, 50))])
        .when(as_of(5, withdraw(31)))
        .then_refused(short(30, 0, 10));
}

#[test]
fn a_backdated_withdrawal_uses_the_limit_of_its_effective_time() {
    let history = || [(0, opened_with_overdraft(0, 50)), (10, deposited(100)), (20, limited(0))];
    given_at(history()).when(as_of(5, withdraw(51))).then_refused(short(0, 50, 5));
    given_at(history()).when(as_of(5, withdraw(50))).then([as_of_event(5, withdrawn(50))]);
}

#[test]
fn the_backdated_check_can_be_waived() {
    let waived = waived(as_of(5, withdraw(90)));
    let Command::Withdraw(money) = &waived else { panic!("unexpected event") };
    let event = AccountEvent::MoneyWithdrawn(money.clone());
    assert_eq!(event.schema_version(), 2, "the log must record the waiver");
    given_at([(0, opened_with(100)), (10, withdrawn(80)), (20, deposited(500))])
        .when(waived)
        .then([event]);
}

#[test]
fn a_backdated_transfer_is_checked_on_the_sending_account() {
    given_at([(10, opened_with(100))])
        .and(OTHER, [opened_with(0)])
        .when(as_of(5, send(1)))
        .then_refused(short(0, 0, 5));
}

#[test]
fn a_reversal_takes_the_effective_time_of_its_entry_by_default() {
    let withdrawn_at = || [(0, opened_with(100)), (10, withdrawn(30))];
    given_at(withdrawn_at()).when(reverse(2)).then([as_of_event(10, reversed(2, Withdrawal, 30))]);
    given_at(withdrawn_at())
        .when(reverse_as_of(2, Some(20)))
        .then([as_of_event(20, reversed(2, Withdrawal, 30))]);
    let backdated = [(0, opened_with(100)), (10, as_of_event(5, deposited(30)))];
    given_at(backdated).when(reverse(2)).then([as_of_event(5, reversed(2, Deposit, 30))]);
}

#[test]
fn reversing_a_spent_credit_requires_a_later_time_or_a_waiver() {
    let history =
        || [(0, opened_with(0)), (10, deposited(100)), (20, withdrawn(80)), (30, deposited(100))];
    given_at(history()).when(reverse(2)).then_refused(short(20, 0, 20));
    given_at(history())
        .when(reverse_as_of(2, Some(30)))
        .then([as_of_event(30, reversed(2, Deposit, 100))]);
    let AccountEvent::EntryReversed(mut event) = as_of_event(10, reversed(2, Deposit, 100)) else {
        panic!("unexpected event")
    };
    event.allow_backdated_overdraft = true;
    given_at(history()).when(waived(reverse(2))).then([AccountEvent::EntryReversed(event)]);
}

#[test]
fn reversing_a_transfer_is_checked_on_the_receiving_account() {
    let other = || {
        let received = AccountEvent::MoneyReceived(leg(TRANSFER, 60, ACCOUNT, 2));
        [(0, opened_with(0)), (10, received), (20, withdrawn(50)), (30, deposited(100))]
    };
    given_at([(0, opened_with(100)), (10, sent(60, 2))])
        .and_at(OTHER, other())
        .when(reverse(2))
        .then_refused_by_other(short(10, 0, 20));
    given_at([(0, opened_with(100)), (10, sent(60, 2))])
        .and_at(OTHER, other())
        .when(reverse_as_of(2, Some(30)))
        .then_on_both(
            as_of_event(30, leg_reversed(2, TransferSent, 60, (OTHER, 5))),
            as_of_event(30, leg_reversed(2, TransferReceived, 60, (ACCOUNT, 3))),
        );
}
