use passbook_shared::config::{KafkaOptions, Keys, Tokens};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::topic_record;
use passbook_shared::topic_record::authentication::Signed;
use rdkafka::message::{OwnedHeaders, OwnedMessage};
use serde_json::value::RawValue;

use super::*;
use crate::domain::tests::specification::{ACCOUNT, at};

const STORE: Uuid = Uuid::from_u128(0x51);

/// Settings of a broker that does not exist.
pub(in crate::relay) fn nowhere() -> KafkaConfig {
    KafkaConfig {
        kafka_brokers: "127.0.0.1:1".to_owned(),
        kafka_topic: "passbook.events".to_owned(),
        kafka_options: KafkaOptions::default(),
        kafka_options_file: None,
        topic_key: Keys::default(),
        topic_key_file: Keys::default(),
        tokens: Tokens::default(),
    }
}

fn document(store: Uuid, partition: u8, number: i64, epoch: Epoch) -> Vec<u8> {
    let event = RecordedEvent {
        event_id: Uuid::from_u128(number.unsigned_abs().into()),
        account_id: ACCOUNT,
        event_type: "AccountUnfrozen".to_owned(),
        version: 1,
        position: Position { partition: Partition::new(partition), number },
        schema_version: 1,
        recorded_at: at(0),
        data: RawValue::from_string("{}".to_owned()).unwrap(),
        metadata: EventMetadata { command_id: ACCOUNT, context: CommandContext::default() },
    };
    let mut document = Vec::new();
    cloud_event::encode(&event, store, epoch, &mut document).unwrap();
    document
}

fn record(value: &[u8], headers: Option<OwnedHeaders>) -> OwnedMessage {
    let at = rdkafka::Timestamp::NotAvailable;
    let key = ACCOUNT.to_string().into_bytes();
    OwnedMessage::new(Some(value.to_vec()), Some(key), "topic".to_owned(), at, 3, 70, headers)
}

#[test]
fn a_record_of_this_store_and_partition_is_seen_and_others_are_counted() {
    let reader = Reader::new(&nowhere(), STORE, TopicKeys::default()).unwrap();
    let mut passed_over = PassedOver::default();
    let mut look =
        |value: &[u8]| match reader.look(Partition::new(3), &record(value, None), &mut passed_over)
        {
            Seen::Own(record, read) => Some((record, read.event.account_id)),
            Seen::Other => None,
        };
    let own = OwnRecord { offset: 70, position: 42, event_id: Uuid::from_u128(42), epoch: 5 };
    assert_eq!(look(&document(STORE, 3, 42, 5)), Some((own, ACCOUNT)));
    let stranger = Uuid::from_u128(0x52);
    for (value, times) in [
        (document(stranger, 3, 42, 0), 1),
        (document(STORE, 4, 42, 0), 2),
        (b"garbage".to_vec(), 3),
        (Vec::new(), 1),
    ] {
        (0..times).for_each(|_| assert_eq!(look(&value), None));
    }
    let expected = PassedOver {
        unauthentic: 0,
        unreadable: 4,
        foreign: 1,
        other_store: Some(stranger),
        misplaced: 2,
        out_of_order: 0,
    };
    assert_eq!(passed_over, expected);
    assert_eq!(passed_over.count(), 7);
}

#[test]
fn nothing_of_a_record_without_a_valid_mac_is_looked_at() {
    let keys = TopicKeys::new(["a key"]);
    let reader = Reader::new(&nowhere(), STORE, keys.clone()).unwrap();
    let (value, mut passed_over) = (document(STORE, 3, 42, 0), PassedOver::default());
    let key = ACCOUNT.to_string();
    let mut is_own = |keys: &TopicKeys, partition| {
        let signed = Signed { partition, key: key.as_bytes(), value: &value };
        let headers = topic_record::headers(at(0), keys.sign(signed).as_ref());
        let record = record(&value, Some(headers));
        matches!(reader.look(Partition::new(3), &record, &mut passed_over), Seen::Own(..))
    };
    assert!(is_own(&keys, Partition::new(3)));
    assert!(!is_own(&keys, Partition::new(4)), "a genuine record of another partition");
    assert!(!is_own(&TopicKeys::new(["another key"]), Partition::new(3)));
    assert!(!is_own(&TopicKeys::default(), Partition::new(3)));
    assert_eq!(passed_over, PassedOver { unauthentic: 3, ..PassedOver::default() });
}

#[test]
fn an_empty_stretch_is_read_without_kafka() {
    let reader = Reader::new(&nowhere(), STORE, TopicKeys::default()).unwrap();
    let mut passed_over = PassedOver::default();
    for (from, until) in [(5, 5), (6, 5)] {
        let read =
            reader.scan(Partition::new(0), from, until, &mut passed_over, |_| unreachable!());
        assert!(read.is_ok());
    }
}

#[test]
fn no_position_exceeds_the_number_of_records_up_to_it() {
    let at_offset =
        |offset| move |position| OwnRecord { offset, position, event_id: STORE, epoch: 0 };
    assert!(at_offset(0)(1).is_plausible() && !at_offset(0)(2).is_plausible());
    assert!(at_offset(41)(42).is_plausible() && !at_offset(41)(43).is_plausible());
    assert!(at_offset(41)(1).is_plausible() && at_offset(i64::MAX)(i64::MAX).is_plausible());
}

#[test]
fn skipped_records_are_described_by_kind() {
    assert_eq!(PassedOver::default().summary(), "");
    let foreign = PassedOver { foreign: 2, other_store: Some(STORE), ..PassedOver::default() };
    assert_eq!(foreign.summary(), format!("2 of another store (such as {STORE})"));
    let all = PassedOver {
        unauthentic: 5,
        unreadable: 1,
        foreign: 1,
        other_store: None,
        misplaced: 3,
        out_of_order: 4,
    };
    assert_eq!(
        (all.summary().as_str(), all.count()),
        (
            "5 without a valid MAC, 1 of another store, 1 that cannot be decoded, 3 of another \
             partition, 4 at positions that continue no others",
            14
        )
    );
}
