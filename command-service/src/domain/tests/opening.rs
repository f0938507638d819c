use passbook_shared::money::MAX_AMOUNT;

use super::specification::*;
use crate::domain::account::{Holds, OpenAccount};
use crate::domain::{Account, Command, Refusal};

#[test]
fn an_opening_records_all_requested_fields() {
    given([])
        .when(Command::Open(opening(10_000, 5_000)))
        .then([opened_with_overdraft(10_000, 5_000)]);
}

#[test]
fn the_initial_deposit_may_be_zero_or_the_maximum() {
    given([]).when(Command::Open(opening(0, 0))).then([opened_with(0)]);
    let most = opened_with_overdraft(MAX_AMOUNT, MAX_AMOUNT);
    given([]).when(Command::Open(opening(MAX_AMOUNT, MAX_AMOUNT))).then([most]);
}

#[test]
fn the_initial_deposit_is_the_first_balance() {
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
fn an_open_account_cannot_be_opened_again() {
    given([opened_with(0)]).when(Command::Open(opening(0, 0))).then_refused(Refusal::AccountExists);
    given([opened_with(0), frozen()])
        .when(Command::Open(opening(0, 0)))
        .then_refused(Refusal::AccountExists);
}

#[test]
fn a_closed_account_cannot_be_opened_again() {
    given([opened_with(0), closed()])
        .when(Command::Open(opening(0, 0)))
        .then_refused(Refusal::AccountExists);
}

#[test]
fn an_unopened_account_accepts_only_an_opening() {
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
