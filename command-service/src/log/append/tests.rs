use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::tests::specification::{ACCOUNT, at, deposit, deposited, send};
use crate::request::CommandRequest;
use crate::request::tests::{request, with_key};

fn event(partition: Partition) -> NewEvent {
    let request = with_key(request(ACCOUNT, deposit(5)), "k");
    NewEvent::new(&deposited(5), Uuid::from_u128(1), (partition, ACCOUNT), 7, &request).unwrap()
}

fn key(partition: Partition) -> NewKey {
    NewKey {
        partition,
        account_id: ACCOUNT,
        key: "k".to_owned(),
        fingerprint: 1,
        version: 7,
        events: 1,
        refusal: None,
    }
}

fn asserted(partition: Partition) -> AssertedVersion {
    AssertedVersion { partition, account_id: ACCOUNT, version: 7 }
}

#[test]
fn an_append_is_empty_without_any_kind_of_row() {
    assert!(Append::default().is_empty());
    assert!(!Append { events: vec![event(Partition::new(0))], ..Append::default() }.is_empty());
    assert!(!Append { keys: vec![key(Partition::new(0))], ..Append::default() }.is_empty());
    assert!(
        !Append { asserted: vec![asserted(Partition::new(0))], ..Append::default() }.is_empty()
    );
}

#[test]
fn an_event_keeps_what_its_command_says_and_gets_its_position_and_time() {
    let CommandRequest { command_id, context, .. } = with_key(request(ACCOUNT, send(1)), "k");
    let recorded = event(Partition::new(3)).recorded(42, at(9));
    assert_eq!((recorded.position.partition, recorded.position.number), (Partition::new(3), 42));
    assert_eq!((recorded.recorded_at, recorded.version), (at(9), 7));
    assert_eq!((recorded.event_id, recorded.account_id), (Uuid::from_u128(1), ACCOUNT));
    assert_eq!((recorded.event_type.as_str(), recorded.schema_version), ("MoneyDeposited", 1));
    assert_eq!((recorded.metadata.command_id, &recorded.metadata.context), (command_id, &context));
    assert_eq!(recorded.decode().unwrap(), deposited(5));
}

#[test]
fn each_indexed_type_is_one_of_an_event() {
    let types = passbook_shared::event::AccountEvent::TYPES;
    assert!(INDEXED.iter().chain(&INDEXED_BY_TENANT).all(|indexed| types.contains(indexed)));
}

fn partition() -> impl Strategy<Value = Partition> {
    (0..9_u8).prop_map(Partition::new)
}

proptest! {
    #[test]
    fn an_append_locks_each_partition_that_it_writes_to_once_in_ascending_order(
        events in prop::collection::vec(partition(), 0..6),
        keys in prop::collection::vec(partition(), 0..6),
        asserted_in in prop::collection::vec(partition(), 0..6),
    ) {
        let append = Append {
            events: events.iter().copied().map(event).collect(),
            keys: keys.iter().copied().map(key).collect(),
            asserted: asserted_in.into_iter().map(asserted).collect(),
        };
        let partitions = append.partitions();
        prop_assert!(partitions.is_sorted_by(|a, b| a < b));
        for partition in (0..9).map(Partition::new) {
            let is_written = events.contains(&partition) || keys.contains(&partition);
            prop_assert_eq!(partitions.contains(&partition), is_written);
            if is_written {
                prop_assert_eq!(partitions[index_of(&partitions, partition)], partition);
            }
        }
    }
}
