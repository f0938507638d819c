use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;

use super::*;
use crate::domain::tests::specification::{
    ACCOUNT, OTHER, TRANSFER, at, deposit, deposited, opened_with, received, sent,
};
use crate::domain::{Account, evolve};
use crate::log::append::NewEvent;
use crate::request::tests::request;

fn caused(account_id: Uuid, version: i64, count: i64) -> CausedEvents {
    CausedEvents { partition: Partition::new(3), account_id, version, count }
}

fn recorded(event: &AccountEvent, version: i64) -> Arc<RecordedEvent> {
    let request = request(ACCOUNT, deposit(1));
    let new =
        NewEvent::new(event, Uuid::nil(), (Partition::new(3), ACCOUNT), version, &request).unwrap();
    let recorded_at: Timestamp = at(version);
    Arc::new(new.recorded(100 + version, recorded_at))
}

fn opened(version: i64) -> Loaded {
    Loaded { account: evolve(Account::Unopened, &opened_with(5)), version, position: 100 + version }
}

fn changed(events: Vec<Arc<RecordedEvent>>) -> AccountChange {
    change(caused(ACCOUNT, 4, 1), &opened(4), events).unwrap()
}

#[test]
fn a_command_follows_one_that_left_its_account_at_the_version_before_it() {
    let first = caused(ACCOUNT, 4, 2);
    assert_eq!(first.version_before(), 2);
    assert!(follows(&first, &caused(ACCOUNT, 5, 1)));
    assert!(follows(&first, &caused(ACCOUNT, 7, 3)));
    // An event between them, the same event, another account.
    assert!(!follows(&first, &caused(ACCOUNT, 6, 1)));
    assert!(!follows(&first, &caused(ACCOUNT, 5, 2)));
    assert!(!follows(&first, &caused(OTHER, 5, 1)));
    assert!(follows(&first, &caused(ACCOUNT, 4, 0)), "a command without events");
}

#[test]
fn an_answer_is_rebuilt_from_the_state_at_its_version() {
    let events = vec![recorded(&deposited(1), 4)];
    let own = change(caused(ACCOUNT, 4, 1), &opened(4), events).unwrap();
    assert_eq!((own.account_id, own.version, own.account.balance), (ACCOUNT, 4, 5));
    assert_eq!(
        (own.position.partition, own.position.number, own.events.len()),
        (Partition::new(3), 104, 1)
    );
    let missing = |version, loaded: Loaded| {
        matches!(
            change(caused(ACCOUNT, version, 1), &loaded, Vec::new()),
            Err(RebuildError::Missing(command)) if command.version == version
        )
    };
    assert!(missing(5, opened(4)) && missing(3, opened(4)));
    assert!(missing(0, Loaded::default()), "an account without events has no answer");
}

#[test]
fn the_leg_of_a_transfer_is_the_last_event_of_its_command() {
    let leg =
        sent_leg(&changed(vec![recorded(&deposited(1), 3), recorded(&sent(30, 9), 4)])).unwrap();
    assert_eq!((leg.transfer_id, leg.counterparty, leg.counterparty_version), (TRANSFER, OTHER, 9));
    for events in [
        vec![],
        vec![recorded(&sent(30, 9), 3), recorded(&deposited(1), 4)],
        vec![recorded(&received(30, 9), 4)],
    ] {
        assert_eq!(sent_leg(&changed(events)), None);
    }
}
