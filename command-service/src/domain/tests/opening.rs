use passbook_shared::money::MAX_AMOUNT;
use serde_json::json;

use super::specification::*;
use crate::domain::account::{Holds, OpenAccount, STATE_VERSION};
use crate::domain::{Account, Command, Refusal, evolve};

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
        tenant: None,
        owner: opening(0, 0).owner,
        currency: "EUR".parse().unwrap(),
        balance: 10_000,
        held: 0,
        overdraft_limit: 5_000,
        freeze: None,
        holds: Holds::default(),
    };
    given([opened_with_overdraft(10_000, 5_000)]).then_it_is(&Account::Open(account));
}

/// A failure means that [`STATE_VERSION`] must be raised.
#[test]
fn a_snapshot_has_the_shape_of_its_version() {
    let account = [opened_with(100), held_until(40, Some(0)), frozen()]
        .iter()
        .fold(Account::default(), evolve);
    let snapshot = serde_json::to_value(&account).unwrap();
    let expected = json!({"open": {
        "tenant": null,
        "owner": "customer-4711",
        "currency": "EUR",
        "balance": 100,
        "held": 40,
        "overdraft_limit": 0,
        "freeze": {"block_credits": false},
        "holds": {HOLD.to_string(): {"amount": 40, "expires_at": at(0)}},
    }});
    assert_eq!((STATE_VERSION, snapshot), (4, expected));
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
    let standing = [
        set_limit(1),
        change_owner("customer-4712"),
        Command::Freeze(freeze(false)),
        unfreeze(),
        close(),
    ];
    for command in money.into_iter().chain(standing) {
        given([]).when(command).then_refused(Refusal::AccountNotFound);
    }
}
