use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::account::{Holds, OpenAccount};
use crate::domain::{Account, Command, Refusal};

#[test]
fn an_account_is_opened_with_all_that_was_asked_for() {
    given([])
        .when(Command::Open(opening(10_000, 5_000)))
        .then([opened_with_overdraft(10_000, 5_000)]);
}

#[test]
fn an_account_may_start_with_nothing_and_with_the_most_there_can_be() {
    given([]).when(Command::Open(opening(0, 0))).then([opened_with(0)]);
    let most = opened_with_overdraft(MAX_AMOUNT, MAX_AMOUNT);
    given([]).when(Command::Open(opening(MAX_AMOUNT, MAX_AMOUNT))).then([most]);
}

#[test]
fn what_it_starts_with_is_its_balance() {
    let account = OpenAccount {
        currency: "EUR".parse().unwrap(),
        balance: 10_000,
        held: 0,
        overdraft_limit: 5_000,
        freeze: None,
        holds: Holds::default(),
    };
    given([opened_with_overdraft(10_000, 5_000)]).then_it_is(&Account::Open(account));
}

#[test]
fn an_account_is_opened_once() {
    given([opened_with(0)]).when(Command::Open(opening(0, 0))).then_refused(Refusal::AccountExists);
    given([opened_with(0), frozen()])
        .when(Command::Open(opening(0, 0)))
        .then_refused(Refusal::AccountExists);
}

#[test]
fn a_closed_account_is_not_opened_again() {
    given([opened_with(0), closed()])
        .when(Command::Open(opening(0, 0)))
        .then_refused(Refusal::AccountExists);
}

#[test]
fn nothing_but_opening_can_be_asked_of_an_account_that_is_not_there() {
    let money = [
        deposit(1),
        withdraw(1),
        send(1),
        reverse(1),
        hold(1),
        capture(HOLD, None),
        release(HOLD),
        expire(HOLD),
    ];
    let standing = [set_limit(1), Command::Freeze(freeze(false)), unfreeze(), close()];
    for command in money.into_iter().chain(standing) {
        given([]).when(command).then_refused(Refusal::AccountNotFound);
    }
}
