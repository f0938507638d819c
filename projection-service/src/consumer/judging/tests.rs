use passbook_shared::cloud_event;
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use passbook_shared::topic_record::authentication::{Signed, TopicKeys};
use rdkafka::message::OwnedMessage;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;

const SOURCE: Source = Source { store_id: Uuid::from_u128(9), partitions: PartitionCount::new(12) };

fn document(store: u128, partition: u8, account_id: Uuid, number: i64, epoch: i32) -> Vec<u8> {
    let event = RecordedEvent {
        event_id: Uuid::from_u128(1),
        account_id,
        event_type: "MoneyDeposited".to_owned(),
        version: 2,
        position: Position { partition: Partition::new(partition), number },
        schema_version: 1,
        recorded_at: "2026-11-24T12:00:00Z".parse().unwrap(),
        data: RawValue::from_string(r#"{"amount":1}"#.to_owned()).unwrap(),
        metadata: EventMetadata {
            command_id: Uuid::from_u128(4),
            context: CommandContext::default(),
        },
    };
    let mut document = Vec::new();
    cloud_event::encode(&event, Uuid::from_u128(store), epoch, &mut document).unwrap();
    document
}

fn account_of(partition: u8) -> Uuid {
    (1..)
        .map(Uuid::from_u128)
        .find(|id| partition_of(*id, SOURCE.partitions) == Partition::new(partition))
        .unwrap()
}

fn flaw(document: &[u8], accepted: &Accepted) -> Option<Flaw> {
    let log = OurLog { source: SOURCE, accepted: accepted.clone() };
    judge(&Record::read(Partition::new(3), Some(0), document), &log).err().map(|(flaw, _)| flaw)
}

#[test]
fn a_record_is_used_only_if_it_is_of_this_log_and_lies_where_it_belongs() {
    let flaw = |document: &[u8]| flaw(document, &Accepted::default());
    let [here, elsewhere] = [account_of(3), account_of(4)];
    assert_eq!(flaw(&document(9, 3, here, 7, 0)), None);
    assert_eq!(flaw(&document(8, 3, here, 7, 0)), Some(Flaw::ForeignStore));
    assert_eq!(
        flaw(&document(9, 4, here, 7, 0)),
        Some(Flaw::WrongPartition),
        "its own partition is another"
    );
    assert_eq!(
        flaw(&document(9, 3, elsewhere, 7, 0)),
        Some(Flaw::WrongPartition),
        "its account's is another"
    );
    for garbage in [&b""[..], b"\0\xff{", br#"{"specversion":"1.0","id":7}"#] {
        assert_eq!(flaw(garbage), Some(Flaw::Undecodable));
    }
}

#[test]
fn nothing_of_a_record_without_a_valid_mac_is_kept() {
    let log = OurLog { source: SOURCE, accepted: Accepted::default() };
    let (key, value) = (account_of(3).to_string(), document(9, 3, account_of(3), 7, 0));
    let [ours, other] = ["ours", "another"].map(|secret| TopicKeys::new([secret]));
    let judged = |keys: &TopicKeys, partition| {
        let signed = Signed { partition, key: key.as_bytes(), value: &value };
        let headers = Some(topic_record::headers(Timestamp::now(), keys.sign(signed).as_ref()));
        let (key, value) = (Some(key.clone().into_bytes()), Some(value.clone()));
        let at = rdkafka::Timestamp::CreateTime(0);
        let message = OwnedMessage::new(value, key, "topic".to_owned(), at, 3, 0, headers);
        let record = Record::of_topic(Partition::new(3), &message, &ours);
        let judged = log.admits(&record).map(|event| event.recorded.position.number);
        judged.map_err(|flaw| (flaw, record.bytes(), record.published_at))
    };
    assert_eq!(judged(&ours, Partition::new(3)), Ok(7));
    for (keys, partition, why) in [
        (&TopicKeys::default(), 3, "it has no MAC"),
        (&other, 3, "unknown key"),
        (&ours, 4, "its MAC is wrong"),
    ] {
        let ((flaw, reason), bytes, at) = judged(keys, Partition::new(partition)).unwrap_err();
        assert_eq!((flaw, bytes, at), (Flaw::Unauthentic, 512, None));
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn a_record_is_used_only_if_no_accepted_restore_gave_it_up() {
    let accepted = Accepted {
        epoch: 2,
        by_partition: [(Partition::new(3), [(1, 6), (2, 8)].into_iter().collect())].into(),
    };
    let flaw = |number, epoch| flaw(&document(9, 3, account_of(3), number, epoch), &accepted);
    for (number, epoch) in [(6, 0), (8, 1), (9, 2)] {
        assert_eq!(flaw(number, epoch), None, "{number} of {epoch}");
    }
    for (number, epoch) in [(7, 0), (9, 1)] {
        assert_eq!(flaw(number, epoch), Some(Flaw::GivenUp), "{number} of {epoch}");
    }
    assert_eq!(flaw(9, 3), Some(Flaw::UnknownEpoch), "whoever forges a record can claim any epoch");
}
