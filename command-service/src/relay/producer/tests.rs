use passbook_shared::partition::{Partition, PartitionCount};

use super::*;
use crate::relay::reader::tests::nowhere;

fn producer() -> Producer {
    let store = Store {
        store_id: Uuid::nil(),
        partitions: PartitionCount::new(3),
        opened_by_key_alone: false,
    };
    Producer::start(&nowhere(), store, 0).unwrap()
}

fn acknowledge(producer: &Producer, partition: usize, position: i64) {
    producer.deliveries.acknowledged[partition].store(position, Ordering::Release);
}

#[test]
fn positions_that_the_topic_has_at_the_start_are_not_counted_again() {
    let mut producer = producer();
    producer.start_at(Partition::new(0), 999, 2_000);
    producer.start_at(Partition::new(2), 10, 30);
    assert_eq!(
        (producer.acknowledged(Partition::new(0)), producer.end(Partition::new(0))),
        (999, 2_000)
    );
    assert_eq!((producer.acknowledged(Partition::new(1)), producer.end(Partition::new(1))), (0, 0));
    let begun = producer.progress;
    assert_eq!(begun.0, 1_009);
    producer.check().unwrap();
    assert_eq!(producer.progress.0, begun.0);
    producer.sent[0] = 1_000;
    acknowledge(&producer, 0, 1_000);
    producer.check().unwrap();
    assert_eq!(producer.progress.0, begun.0 + 1);
}

#[test]
fn a_producer_is_stalled_only_while_events_are_outstanding() {
    let mut producer = producer();
    let long_ago = Instant::now().checked_sub(WATCHDOG + Duration::from_secs(1)).unwrap();
    producer.start_at(Partition::new(1), 5, 5);
    producer.progress.1 = long_ago;
    producer.check().unwrap();
    assert!(producer.progress.1 > long_ago, "nothing is outstanding: the time starts again");
    producer.sent[1] = 7;
    producer.check().unwrap();
    producer.progress.1 = long_ago;
    assert!(matches!(producer.check(), Err(RelayError::Stalled)));
    // Any acknowledgement is progress.
    acknowledge(&producer, 1, 6);
    producer.check().unwrap();
    assert!(producer.progress.1 > long_ago);
}

#[test]
fn a_failed_delivery_ends_the_session_once() {
    let mut producer = producer();
    let failure = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    *producer.deliveries.failure.lock() = Some(failure);
    assert!(matches!(producer.check(), Err(RelayError::Kafka(_))));
    producer.check().unwrap();
}

#[tokio::test]
async fn an_acknowledged_position_is_not_waited_for() {
    let mut producer = producer();
    producer.start_at(Partition::new(0), 5, 5);
    producer
        .acknowledges([(Partition::new(0), 5), (Partition::new(1), 0)].into_iter())
        .await
        .unwrap();
    *producer.deliveries.failure.lock() = Some(KafkaError::Canceled);
    let waited =
        producer.acknowledges([(Partition::new(0), 5), (Partition::new(1), 1)].into_iter()).await;
    assert!(matches!(waited, Err(RelayError::Kafka(KafkaError::Canceled))));
}
