//! The relay at library level, against a real Postgres and the in-process broker (the end-to-end tests run it against
//! Apache Kafka): the topic holds a prefix of the log, whoever publishes it and however often that starts again.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

/// Logs that were restored from a backup.
mod forks;
mod ground;
/// Topics that others have written to.
mod tails;

use std::collections::BTreeMap;
use std::time::Duration;

use in_process_broker::Broker;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::timestamp::Timestamp;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use ground::{Ground, TOPIC};

#[track_caller]
fn assert_prefix_with_repeats(topic: &BTreeMap<Partition, Vec<i64>>) {
    for (partition, positions) in topic {
        let mut last = 0;
        for position in positions {
            assert!(*position <= last + 1, "a hole in partition {partition}: {positions:?}");
            last = last.max(*position);
        }
    }
}

/// Everything was published once, but for the last record that was there when another relay took a partition.
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
async fn what_is_in_the_log_comes_into_the_topic_in_order_and_once() {
    let ground = Ground::start().await;
    ground.append(3).await;
    let relay = ground.relay();
    ground.mirrored().await;
    // Handed over in memory, and found by asking.
    relay.hand_over(ground.append(500).await).await;
    ground.append(40).await;
    ground.mirrored().await;
    relay.end().await;

    // The next one goes on from the tail.
    ground.append(7).await;
    let relay = ground.relay();
    ground.mirrored().await;
    relay.end().await;
    assert_in_order_with_fences(ground.topic().await, 1);
    ground.end().await;
}

/// As when the clock was set back since: a broker refuses a record from more than an hour ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_never_ahead_of_the_clock_though_its_event_is() {
    let ground = Ground::start().await;
    let ahead = "UPDATE passbook.log_head SET recorded_at = clock_timestamp() + interval '2 days'";
    sqlx::query(ahead).execute(&ground.pool).await.unwrap();
    assert!(ground.append(3).await[0].recorded_at > Timestamp::now());
    let relay = ground.relay();
    // Its timestamps are looked at there.
    ground.mirrored().await;
    relay.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_leaves_no_hole() {
    let ground = Ground::start().await;
    for round in 0..8_u64 {
        let relay = ground.relay();
        for _ in 0..5 {
            relay.hand_over(ground.append(50).await).await;
        }
        tokio::time::sleep(Duration::from_millis(round * 20)).await;
        relay.kill().await;
    }
    let relay = ground.relay();
    ground.mirrored().await;
    relay.end().await;
    assert_prefix_with_repeats(&ground.topic().await);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_share_the_work_and_one_takes_over_from_the_other() {
    let ground = Ground::start().await;
    let first = ground.relay();
    let second = ground.relay();
    for _ in 0..10 {
        ground.append(20).await;
    }
    ground.mirrored().await;
    first.end().await;
    ground.append(20).await;
    ground.mirrored().await;
    assert_in_order_with_fences(ground.topic().await, 1);
    second.end().await;
    ground.end().await;
}

/// Kafka's default: librdkafka's `murmur2` partitioner is the one of the Java client.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_in_the_partition_that_any_kafka_client_chooses() {
    let broker = Broker::start(&[TOPIC.to_owned()], 12, None).unwrap();
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
        assert_eq!(delivered.partition, i32::from(partition_of(account, 12)), "{account}");
    }
}
