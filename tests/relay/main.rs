//! Relay at library level, on a real Postgres and the in-process broker. The topic has a prefix of
//! the log, whichever relays publish it and however often they restart. The end-to-end tests run
//! the relay on Apache Kafka.
#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

/// Logs that were restored from a backup.
mod forks;
/// Postgres cluster of the tests.
#[path = "../support/postgres.rs"]
mod postgres;

/// Log, broker and relays of a test.
mod pipeline;
/// Topics with records that no relay has written.
mod tails;

use std::collections::BTreeMap;
use std::time::Duration;

use in_process_broker::Broker;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::timestamp::Timestamp;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::pipeline::PARTITIONS;
use pipeline::{Pipeline, TOPIC};

/// Checks that each partition has a prefix of the log, with repeats.
#[track_caller]
fn assert_prefix_with_repeats(topic: &BTreeMap<Partition, Vec<i64>>) {
    for (partition, positions) in topic {
        let mut last = 0;
        for position in positions {
            assert!(*position <= last + 1, "a gap in partition {partition}: {positions:?}");
            last = last.max(*position);
        }
    }
}

/// Checks that everything was published once, except for at most `most` fences: the last record,
/// repeated by a relay that takes over a partition.
fn assert_in_order_with_fences(topic: BTreeMap<Partition, Vec<i64>>, most: usize) {
    for (partition, mut positions) in topic {
        let count = positions.len();
        positions.dedup();
        let dense: Vec<i64> = (1..).take(positions.len()).collect();
        assert_eq!(positions, dense, "partition {partition}");
        assert!(count - positions.len() <= most, "partition {partition}: {count} records");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_published_in_order_and_once() {
    let pipeline = Pipeline::start().await;
    pipeline.append(3).await;
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    // Some events are handed over in memory, some only found by polling.
    relay.hand_over(pipeline.append(500).await).await;
    pipeline.append(40).await;
    pipeline.mirrored().await;
    relay.end().await;

    // The next relay continues from the tail.
    pipeline.append(7).await;
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    relay.end().await;
    assert_in_order_with_fences(pipeline.topic().await, 1);
    pipeline.end().await;
}

/// Simulates a clock that was set back. A broker refuses a record whose time is more than an hour
/// ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_never_ahead_of_the_clock_though_its_event_is() {
    let pipeline = Pipeline::start().await;
    let ahead = "UPDATE passbook.log_head SET recorded_at = clock_timestamp() + interval '2 days'";
    sqlx::query(ahead).execute(&pipeline.pool).await.unwrap();
    assert!(pipeline.append(3).await[0].recorded_at > Timestamp::now());
    let relay = pipeline.relay();
    // Reading the topic checks the timestamps.
    pipeline.mirrored().await;
    relay.end().await;
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_again_and_again_leaves_no_gap() {
    let pipeline = Pipeline::start().await;
    for round in 0..8_u64 {
        let relay = pipeline.relay();
        for _ in 0..5 {
            relay.hand_over(pipeline.append(50).await).await;
        }
        tokio::time::sleep(Duration::from_millis(round * 20)).await;
        relay.kill().await;
    }
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    relay.end().await;
    assert_prefix_with_repeats(&pipeline.topic().await);
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_share_the_work_and_one_takes_over_from_the_other() {
    let pipeline = Pipeline::start().await;
    let first = pipeline.relay();
    let second = pipeline.relay();
    for _ in 0..10 {
        pipeline.append(20).await;
    }
    pipeline.mirrored().await;
    first.end().await;
    pipeline.append(20).await;
    pipeline.mirrored().await;
    assert_in_order_with_fences(pipeline.topic().await, 1);
    second.end().await;
    pipeline.end().await;
}

/// Compares with librdkafka's `murmur2` partitioner, which is the default of the Java client.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_in_the_partition_that_any_kafka_client_chooses() {
    let broker = Broker::start(&[TOPIC.to_owned()], PARTITIONS.get(), None).unwrap();
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("partitioner", "murmur2")
        .create()
        .unwrap();
    for _ in 0..50 {
        let account = Uuid::new_v4();
        let key = account.to_string();
        let record = FutureRecord::to(TOPIC).key(&key).payload("");
        let delivered = producer.send(record, Duration::from_secs(10)).await.unwrap();
        assert_eq!(delivered.partition, i32::from(partition_of(account, PARTITIONS)), "{account}");
    }
}
