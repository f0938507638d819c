//! The relay at library level, against a real Postgres and the in-process broker (the end-to-end tests run it against
//! Apache Kafka): the topic holds a prefix of the log, whoever publishes it and however often that starts again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_service::log::append::{Append, append};
use command_service::log::store::{self, Store};
use command_service::relay::{Relay, hand_over};
use passbook::broker::Broker;
use passbook::postgres::{Cluster, Settings};
use passbook_shared::cloud_event;
use passbook_shared::config::{KafkaConfig, KafkaOptions};
use passbook_shared::health::{CheckState, Health};
use passbook_shared::partition::partition_of;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::value::RawValue;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

const TOPIC: &str = "passbook.events";

struct Ground {
    cluster: Cluster,
    broker: Broker,
    store: Store,
    pool: PgPool,
    _directory: tempfile::TempDir,
}

struct Running {
    health: Health,
    handed: mpsc::Sender<Vec<Arc<RecordedEvent>>>,
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Ground {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: directory.path().join("data"), ..Settings::default() };
        let cluster = Cluster::start(&settings).await.unwrap();
        let broker = Broker::start(&[TOPIC.to_owned()], 12, None).unwrap();
        let pool = PgPool::connect(&cluster.owner_url()).await.unwrap();
        let role: PgConnectOptions = cluster.command_url().parse().unwrap();
        let store = store::prepare(&cluster.owner_url().parse().unwrap(), role.get_username(), None).await.unwrap();
        Self { cluster, broker, store, pool, _directory: directory }
    }

    fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            kafka_brokers: self.broker.address().to_owned(),
            kafka_topic: TOPIC.to_owned(),
            kafka_options: KafkaOptions::default(),
            kafka_options_file: None,
        }
    }

    fn relay(&self, store: Store) -> Running {
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let relay = Relay {
            kafka: self.kafka(),
            connect: self.cluster.command_url().parse().unwrap(),
            store,
            linger_ms: 1,
            health: health.clone(),
        };
        let (handed, from_lanes) = hand_over();
        let task = tokio::spawn(relay.run(from_lanes, shutdown.clone()));
        Running { health, handed, task, shutdown }
    }

    /// Appends so many events of one new account, past any lane.
    async fn append(&self, count: i64) -> Vec<RecordedEvent> {
        let account_id = Uuid::new_v4();
        let partition = partition_of(account_id, self.store.partitions);
        let event = |version| RecordedEvent {
            event_id: Uuid::new_v4(),
            account_id,
            event_type: "AccountUnfrozen".to_owned(),
            version,
            position: Position { partition, number: version },
            schema_version: 1,
            recorded_at: Timestamp::now(),
            data: RawValue::from_string("{}".to_owned()).unwrap(),
            metadata: EventMetadata { command_id: Uuid::new_v4(), context: CommandContext::default() },
        };
        let mut appended = Append { events: (1..=count).map(event).collect(), ..Append::default() };
        let mut connection = PgConnection::connect(&self.cluster.command_url()).await.unwrap();
        append(&mut connection, &mut appended).await.unwrap();
        appended.events
    }

    /// The position numbers in the topic, by partition, in its order.
    async fn topic(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut config = self.kafka().client("test");
        config.set("group.id", "test").set("enable.partition.eof", "false");
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut all = TopicPartitionList::new();
            let mut due = 0;
            for partition in 0..12 {
                let (low, high) = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(5)).unwrap();
                due += high - low;
                all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&all).unwrap();
            let mut positions: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
            while due > 0 {
                let record = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
                let event = cloud_event::decode(record.payload().unwrap()).unwrap().event;
                assert_eq!(record.key().unwrap(), event.account_id.to_string().as_bytes());
                let content_type = record.headers().unwrap().get(0);
                assert_eq!(
                    (content_type.key, content_type.value),
                    ("content-type", Some(&b"application/cloudevents+json"[..]))
                );
                let published_at = topic_record::published_at(&record).unwrap().as_millis();
                let timestamp = event.recorded_at.as_millis().min(published_at);
                assert!(timestamp <= Timestamp::now().as_millis());
                assert_eq!(record.timestamp().to_millis(), Some(timestamp));
                positions.entry(record.partition()).or_default().push(event.position.number);
                due -= 1;
            }
            positions
        })
        .await
        .unwrap()
    }

    /// Waits until the topic ends where the log does.
    async fn mirrored(&self) {
        let sql = "SELECT partition::int, position FROM passbook.log_head WHERE position > 0 ORDER BY partition";
        let heads: Vec<(i32, i64)> = sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let topic = self.topic().await;
            let tails: Vec<(i32, i64)> = topic.iter().map(|(p, all)| (*p, *all.last().unwrap())).collect();
            if tails == heads {
                return;
            }
            assert!(Instant::now() < deadline, "log {heads:?}, topic {tails:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        self.pool.close().await;
        self.cluster.stop().await.unwrap();
    }
}

impl Running {
    /// Ends as the service does: no more lanes.
    async fn end(self) {
        self.shutdown.cancel();
        drop(self.handed);
        self.task.await.unwrap().unwrap();
    }

    /// Ends as a kill does.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn refuses(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(check) = self.health.checks().get("relay")
                && check.state == CheckState::Failing
            {
                return check.reason.clone().unwrap();
            }
            assert!(Instant::now() < deadline, "{:?}", self.health.checks());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[track_caller]
fn assert_prefix_with_repeats(topic: &BTreeMap<i32, Vec<i64>>) {
    for (partition, positions) in topic {
        let mut last = 0;
        for position in positions {
            assert!(*position <= last + 1, "a hole in partition {partition}: {positions:?}");
            last = last.max(*position);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_comes_into_the_topic_in_order_and_once() {
    let ground = Ground::start().await;
    ground.append(3).await;
    let relay = ground.relay(ground.store);
    ground.mirrored().await;
    // Handed over in memory, and found by asking.
    let handed = ground.append(500).await.into_iter().map(Arc::new).collect();
    relay.handed.send(handed).await.unwrap();
    ground.append(40).await;
    ground.mirrored().await;
    relay.end().await;

    // The next one goes on from the tail.
    ground.append(7).await;
    let relay = ground.relay(ground.store);
    ground.mirrored().await;
    relay.end().await;
    for (partition, positions) in ground.topic().await {
        let dense: Vec<i64> = (1..).take(positions.len()).collect();
        assert_eq!(positions, dense, "partition {partition}");
    }
    ground.end().await;
}

/// As when the clock was set back since: a broker refuses a record from more than an hour ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_never_ahead_of_the_clock_though_its_event_is() {
    let ground = Ground::start().await;
    let ahead = "UPDATE passbook.log_head SET recorded_at = clock_timestamp() + interval '2 days'";
    sqlx::query(ahead).execute(&ground.pool).await.unwrap();
    assert!(ground.append(3).await[0].recorded_at > Timestamp::now());
    let relay = ground.relay(ground.store);
    // Its timestamps are looked at there.
    ground.mirrored().await;
    relay.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_leaves_no_hole() {
    let ground = Ground::start().await;
    for round in 0..8_u64 {
        let relay = ground.relay(ground.store);
        for _ in 0..5 {
            let handed = ground.append(50).await.into_iter().map(Arc::new).collect();
            relay.handed.send(handed).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(round * 20)).await;
        relay.kill().await;
    }
    let relay = ground.relay(ground.store);
    ground.mirrored().await;
    relay.end().await;
    assert_prefix_with_repeats(&ground.topic().await);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_share_the_work_and_one_takes_over_from_the_other() {
    let ground = Ground::start().await;
    let first = ground.relay(ground.store);
    let second = ground.relay(ground.store);
    for _ in 0..10 {
        ground.append(20).await;
    }
    ground.mirrored().await;
    first.end().await;
    ground.append(20).await;
    ground.mirrored().await;
    for (partition, positions) in ground.topic().await {
        let dense: Vec<i64> = (1..).take(positions.len()).collect();
        assert_eq!(positions, dense, "partition {partition}: nothing was published twice");
    }
    second.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_store_or_ahead_of_this_one_is_refused() {
    let ground = Ground::start().await;
    ground.append(5).await;
    let relay = ground.relay(ground.store);
    ground.mirrored().await;
    relay.end().await;

    let stranger = ground.relay(Store { store_id: Uuid::new_v4(), ..ground.store });
    let reason = stranger.refuses().await;
    assert!(reason.contains(&ground.store.store_id.to_string()), "{reason}");
    stranger.end().await;

    // As after restoring a backup that is older than the topic.
    sqlx::query("UPDATE passbook.log_head SET position = least(position, 2)").execute(&ground.pool).await.unwrap();
    let restored = ground.relay(ground.store);
    let reason = restored.refuses().await;
    assert!(reason.contains("ends at position 5, the log at 2"), "{reason}");
    restored.end().await;
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
