use passbook_shared::event::AccountEvent;
use passbook_shared::money::MAX_AMOUNT;
use uuid::Uuid;

use super::specification::*;
use crate::domain::{Account, Command, Refusal};

#[test]
fn both_legs_of_a_transfer_name_each_other() {
    given([opened_with(100)])
        .and(OTHER, [opened_with(0), deposited(5)])
        .when(send(100))
        .then_on_both(sent(100, 3), AccountEvent::MoneyReceived(leg(TRANSFER, 100, ACCOUNT, 2)));
}

#[test]
fn a_transfer_moves_the_balance() {
    given([opened_with(100), sent(60, 2)]).then_it_has(0, 40);
    given([opened_with(100), received(60, 2)]).then_it_has(0, 160);
}

#[test]
fn a_transfer_cannot_exceed_the_available_money() {
    given([opened_with(100), held(30)])
        .and(OTHER, [opened_with(0)])
        .when(send(71))
        .then_refused(Refusal::InsufficientFunds { available: 70, overdraft_limit: 0 });
    given([opened_with_overdraft(100, 50)])
        .and(OTHER, [opened_with(0)])
        .when(send(150))
        .then_on_both(sent(150, 2), AccountEvent::MoneyReceived(leg(TRANSFER, 150, ACCOUNT, 2)));
}

#[test]
fn a_transfer_to_the_same_account_is_refused() {
    given([opened_with(100)])
        .when(transfer(TRANSFER, ACCOUNT, 1))
        .then_refused(Refusal::SameAccount);
    given([]).when(transfer(TRANSFER, ACCOUNT, 1)).then_refused(Refusal::SameAccount);
}

#[test]
fn a_transfer_id_cannot_be_reused() {
    let by_other = AccountEvent::MoneySent(leg(TRANSFER, 1, ACCOUNT, 2));
    given([opened_with(100), received(1, 2)])
        .and(OTHER, [opened_with(100), by_other])
        .when(send(1))
        .then_refused(Refusal::TransferExists);
    given([opened_with(100), sent(1, 2)])
        .and(OTHER, [opened_with(0)])
        .when(send(1))
        .then_refused(Refusal::TransferExists);
    given([opened_with(100), sent(1, 2)])
        .and(OTHER, [opened_with(0), AccountEvent::MoneyReceived(leg(TRANSFER, 1, ACCOUNT, 2))])
        .when(transfer(Uuid::from_u128(9), OTHER, 1))
        .then_on_both(
            AccountEvent::MoneySent(leg(Uuid::from_u128(9), 1, OTHER, 3)),
            AccountEvent::MoneyReceived(leg(Uuid::from_u128(9), 1, ACCOUNT, 3)),
        );
}

#[test]
fn both_accounts_of_a_transfer_must_exist() {
    given([]).and(OTHER, [opened_with(0)]).when(send(1)).then_refused(Refusal::AccountNotFound);
    given([opened_with(100)]).when(send(1)).then_refused_by_other(Refusal::AccountNotFound);
}

#[test]
fn both_accounts_of_a_transfer_must_be_open() {
    given([opened_with(0), closed()])
        .and(OTHER, [opened_with(0)])
        .when(send(1))
        .then_refused(Refusal::AccountClosed);
    let to_closed = given([opened_with(100)]).and(OTHER, [opened_with(0), closed()]);
    to_closed.when(send(1)).then_refused_by_other(Refusal::AccountClosed);
}

#[test]
fn both_accounts_of_a_transfer_must_have_the_same_currency() {
    let mut in_yen = opening(0, 0);
    in_yen.currency = "JPY".parse().unwrap();
    let mismatch = Refusal::CurrencyMismatch { from: "EUR".parse().unwrap(), to: in_yen.currency };
    given([opened_with(100)])
        .and(OTHER, [AccountEvent::AccountOpened(in_yen)])
        .when(send(1))
        .then_refused(mismatch);
}

#[test]
fn a_frozen_account_sends_no_transfers_and_receives_unless_credits_are_blocked() {
    let to = |event| given([opened_with(100)]).and(OTHER, [opened_with(0), event]);
    given([opened_with(100), frozen()])
        .and(OTHER, [opened_with(0)])
        .when(send(1))
        .then_refused(Refusal::AccountFrozen);
    to(frozen())
        .when(send(1))
        .then_on_both(sent(1, 3), AccountEvent::MoneyReceived(leg(TRANSFER, 1, ACCOUNT, 2)));
    to(frozen_both_ways()).when(send(1)).then_refused_by_other(Refusal::AccountFrozen);
}

#[test]
fn the_receiving_balance_stays_within_the_range_of_exact_json_integers() {
    given([opened_with(100)])
        .and(OTHER, [opened_with(MAX_AMOUNT)])
        .when(send(1))
        .then_refused_by_other(Refusal::AmountOverflow);
}

#[test]
fn both_legs_keep_the_reference_and_metadata() {
    let Command::Transfer(mut asked) = send(1) else { unreachable!() };
    asked.effective_at = Some(at(-60));
    asked.metadata = serde_json::from_str(r#"{"till": "3"}"#).unwrap();
    let said = |mut leg: passbook_shared::event::TransferLeg| {
        (leg.effective_at, leg.metadata) = (asked.effective_at, asked.metadata.clone());
        leg
    };
    let (own, other) = (said(leg(TRANSFER, 1, OTHER, 2)), said(leg(TRANSFER, 1, ACCOUNT, 2)));
    let command = Command::Transfer(asked.clone());
    given_at([(-90, opened_with(1))])
        .and_at(OTHER, [(-90, opened_with(0))])
        .when(command)
        .then_on_both(AccountEvent::MoneySent(own), AccountEvent::MoneyReceived(other));
}

#[test]
fn a_leg_does_not_open_an_unopened_account() {
    given([sent(1, 2), received(1, 2)]).then_it_is(&Account::Unopened);
}
