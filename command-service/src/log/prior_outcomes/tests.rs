use std::sync::Arc;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;

use super::*;
use crate::decision::tests::PARTITIONS;
use crate::domain::tests::specification::{
    ACCOUNT, OTHER, TRANSFER, at, deposit, leg, opened_with, send, transfer,
};
use crate::domain::{Account, evolve};
use crate::log::append::NewEvent;
use crate::request::tests::request;

/// Returns the change that a recorded transfer made.
pub(crate) fn recorded(leg: TransferLeg) -> AccountChange {
    let event = AccountEvent::MoneySent(leg);
    let of_deposit = request(ACCOUNT, deposit(1));
    let new =
        NewEvent::new(&event, Uuid::nil(), (Partition::new(3), ACCOUNT), 2, &of_deposit).unwrap();
    AccountChange {
        account_id: ACCOUNT,
        version: 2,
        position: Position { partition: Partition::new(3), number: 7 },
        account: evolve(Account::Unopened, &opened_with(5)).summary().unwrap(),
        events: vec![Arc::new(new.recorded(7, at(0)))],
    }
}

fn is_same(account_id: Uuid, command: Command) -> bool {
    let command = PreparedCommand::new(request(account_id, command), PARTITIONS);
    is_same_transfer(&command, &recorded(leg(TRANSFER, 30, OTHER, 5)))
}

#[test]
fn a_transfer_with_all_of_its_content_is_the_same_one() {
    assert!(is_same(ACCOUNT, send(30)));
    assert!(!is_same(OTHER, send(30)), "from another account");
    assert!(!is_same(ACCOUNT, deposit(30)));
    let change = |change: fn(&mut Transfer)| {
        let Command::Transfer(mut transfer) = send(30) else { unreachable!() };
        change(&mut transfer);
        is_same(ACCOUNT, Command::Transfer(transfer))
    };
    assert!(change(|_| {}));
    assert!(!change(|transfer| transfer.amount = passbook_shared::money::Amount::new(31).unwrap()));
    assert!(!change(|transfer| transfer.reference = None));
    assert!(!change(|transfer| transfer.effective_at = Some(at(1))));
    assert!(!change(|transfer| transfer.allow_backdated_overdraft = true));
    assert!(!change(|transfer| {
        transfer.metadata = serde_json::from_str(r#"{"till":"3"}"#).unwrap();
    }));
    assert!(!is_same(ACCOUNT, transfer(TRANSFER, ACCOUNT, 30)), "to another account");
    assert!(!is_same(ACCOUNT, transfer(OTHER, OTHER, 30)), "with another id");
}

fn kept_key(place: u8) -> (u8, NewKey) {
    let keyed = crate::request::tests::with_key(request(ACCOUNT, send(30)), "k");
    (place, PreparedCommand::new(keyed, PARTITIONS).new_key(2, 1, None).unwrap())
}

#[test]
fn the_key_of_a_replaced_outcome_is_not_kept() {
    let mut prior: PriorOutcomes<u8> = PriorOutcomes::default();
    prior.keys.extend([kept_key(1), kept_key(2)]);
    assert!(prior.get(1).is_none());
    prior.set(1, PriorOutcome::Known(Err(CommandError::SetAborted)));
    let aborted = prior.get(1);
    assert!(matches!(aborted, Some(PriorOutcome::Known(Err(CommandError::SetAborted)))));
    assert_eq!(prior.take_keys().count(), 1);
    assert_eq!(prior.take_keys().count(), 0);
}
