//! A Postgres with a log, a broker with a topic, and relays between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_service::log::append::{Append, Appended, NewEvent, append};
use command_service::log::store::{self, Store};
use command_service::relay::{Relay, hand_over};
use command_service::restore::desk::Desk;
use command_service::restore::standing::Standing;
use embedded_postgres::{Cluster, Settings};
use in_process_broker::Broker;
use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::config::{KafkaConfig, KafkaOptions};
use passbook_shared::health::{Check, Health};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::value::RawValue;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const TOPIC: &str = "passbook.events";

/// The header of records that no relay has written.
const FORGED: &str = "forged";

pub(crate) struct Ground {
    cluster: Cluster,
    broker: Broker,
    pub(crate) store: Store,
    /// As the owner of the tables.
    pub(crate) pool: PgPool,
    _directory: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) health: Health,
    pub(crate) standing: Standing,
    handed: mpsc::Sender<Appended>,
    started: tokio::time::Instant,
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Ground {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: directory.path().join("data"), ..Settings::default() };
        let cluster = Cluster::start(&settings).await.unwrap();
        let broker = Broker::start(&[TOPIC.to_owned()], 12, None).unwrap();
        let pool = PgPool::connect(&cluster.owner_url()).await.unwrap();
        let role: PgConnectOptions = cluster.command_url().parse().unwrap();
        let store =
            store::prepare(&cluster.owner_url().parse().unwrap(), role.get_username(), None)
                .await
                .unwrap();
        Self { cluster, broker, store, pool, _directory: directory }
    }

    pub(crate) fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            kafka_brokers: self.broker.address().to_owned(),
            kafka_topic: TOPIC.to_owned(),
            kafka_options: KafkaOptions::default(),
            kafka_options_file: None,
        }
    }

    pub(crate) fn relay(&self) -> Running {
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let standing = Standing::new(health.clone());
        let relay = Relay {
            kafka: self.kafka(),
            connect: self.cluster.command_url().parse().unwrap(),
            store: self.store,
            standing: standing.clone(),
            linger_ms: 1,
            health: health.clone(),
        };
        let (handed, from_lanes) = hand_over();
        let started = tokio::time::Instant::now();
        let task = tokio::spawn(relay.run(from_lanes, shutdown.clone()));
        Running { health, standing, handed, started, task, shutdown }
    }

    /// Appends so many events of one new account, past any lane.
    pub(crate) async fn append(&self, count: i64) -> Vec<RecordedEvent> {
        self.append_to(Uuid::new_v4(), 0, count).await.unwrap()
    }

    /// Appends so many events of an account that is at a version.
    pub(crate) async fn append_to(
        &self,
        account_id: Uuid,
        at: i64,
        count: i64,
    ) -> sqlx::Result<Vec<RecordedEvent>> {
        let partition = partition_of(account_id, self.store.partitions);
        let event = |version| NewEvent {
            event_id: Uuid::new_v4(),
            account_id,
            partition,
            version: at + version,
            event_type: "AccountUnfrozen",
            schema_version: 1,
            data: RawValue::from_string("{}".to_owned()).unwrap(),
            metadata: EventMetadata {
                command_id: Uuid::new_v4(),
                context: CommandContext::default(),
            },
        };
        let rows = Append { events: (1..=count).map(event).collect(), ..Append::default() };
        let mut connection = PgConnection::connect(&self.cluster.command_url()).await.unwrap();
        let appended = append(&mut connection, rows).await?;
        Ok(appended.iter().map(|event| RecordedEvent::clone(event)).collect())
    }

    /// The records of this store in the topic, by partition, in its order.
    pub(crate) async fn records(&self) -> BTreeMap<Partition, Vec<Decoded>> {
        let mut config = self.kafka().client("test");
        config.set("group.id", "test").set("enable.partition.eof", "false");
        let ours = self.store.store_id;
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut all = TopicPartitionList::new();
            let mut due = 0;
            for partition in 0..12 {
                let (low, high) =
                    consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(5)).unwrap();
                due += high - low;
                all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&all).unwrap();
            let mut records: BTreeMap<Partition, Vec<Decoded>> = BTreeMap::new();
            while due > 0 {
                let record = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
                due -= 1;
                let partition = Partition::try_from(record.partition()).unwrap();
                let Ok(read) = cloud_event::decode(record.payload().unwrap_or_default()) else {
                    continue;
                };
                if read.store_id == ours && read.event.position.partition == partition {
                    let headers = record.headers().unwrap();
                    if headers.get(0).key != FORGED {
                        as_the_relay_writes(&record, headers, &read);
                    }
                    records.entry(partition).or_default().push(read);
                }
            }
            records
        })
        .await
        .unwrap()
    }

    /// Their position numbers.
    pub(crate) async fn topic(&self) -> BTreeMap<Partition, Vec<i64>> {
        let positions =
            |records: Vec<Decoded>| records.iter().map(|read| read.event.position.number).collect();
        self.records()
            .await
            .into_iter()
            .map(|(partition, records)| (partition, positions(records)))
            .collect()
    }

    /// Waits until a partition of the topic ends with a record of ours at that position, which only it has.
    pub(crate) async fn is_mirrored_by(&self, partition: Partition, position: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let last = self.topic().await.get(&partition).and_then(|all| all.last().copied());
            if last == Some(position) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "partition {partition} ends at {last:?}, not at {position}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes a record as anybody might.
    pub(crate) async fn write(&self, partition: Partition, key: &str, value: &[u8]) {
        self.write_all(partition, &[(key.to_owned(), value.to_vec())]).await;
    }

    pub(crate) async fn write_all(&self, partition: Partition, records: &[(String, Vec<u8>)]) {
        let producer: FutureProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", self.broker.address())
            .create()
            .unwrap();
        let sent = records.iter().map(|(key, value)| {
            let forged = OwnedHeaders::new().insert(Header { key: FORGED, value: Some("") });
            let record = FutureRecord::to(TOPIC)
                .partition(partition.into())
                .key(key)
                .payload(value)
                .headers(forged);
            producer.send(record, Duration::from_secs(10))
        });
        futures_util::future::try_join_all(sent).await.unwrap();
    }

    /// Writes an event to a partition, as a relay of a store in an epoch would.
    pub(crate) async fn forge(
        &self,
        partition: Partition,
        event: &RecordedEvent,
        store_id: Uuid,
        epoch: i32,
    ) {
        self.write_all(partition, &[record_of(event, store_id, epoch)]).await;
    }

    /// Writes events of this store to a partition, one after the other.
    pub(crate) async fn repeat(
        &self,
        partition: Partition,
        events: impl Iterator<Item = &RecordedEvent>,
    ) {
        let records: Vec<_> =
            events.map(|event| record_of(event, self.store.store_id, 0)).collect();
        self.write_all(partition, &records).await;
    }

    /// As a superuser, whom no trigger stops: as if an older backup had been put back.
    pub(crate) async fn restore(&self, sql: &'static str) {
        let mut connection = PgConnection::connect(&self.admin_url()).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        for statement in ["SET LOCAL session_replication_role = replica", sql] {
            sqlx::raw_sql(statement).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    /// The superuser's URL of the log's database.
    fn admin_url(&self) -> String {
        let owner = self.cluster.owner_url();
        self.cluster.admin_url(owner.rsplit('/').next().unwrap())
    }

    /// Where a restore is accepted.
    pub(crate) fn desk(&self, standing: &Standing) -> Desk {
        let pool = PgPool::connect_lazy(&self.cluster.command_url()).unwrap();
        Desk::new(self.kafka(), self.store, pool, standing.clone())
    }

    /// Waits until the topic ends where the log does.
    pub(crate) async fn mirrored(&self) {
        let sql = "SELECT partition, position FROM passbook.log_head WHERE position > 0 ORDER BY partition";
        let heads: Vec<(Partition, i64)> = sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let topic = self.topic().await;
            let tails: Vec<(Partition, i64)> =
                topic.iter().map(|(p, all)| (*p, *all.last().unwrap())).collect();
            if tails == heads {
                return;
            }
            assert!(Instant::now() < deadline, "log {heads:?}, topic {tails:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.pool.close().await;
        self.cluster.stop().await.unwrap();
    }
}

impl Running {
    /// Ends as the service does: no more lanes.
    pub(crate) async fn end(self) {
        self.shutdown.cancel();
        drop(self.handed);
        self.task.await.unwrap().unwrap();
    }

    /// Ends as a kill does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Hands over events that were appended on a connection older than the relay's.
    pub(crate) async fn hand_over(&self, events: Vec<RecordedEvent>) {
        let events = events.into_iter().map(Arc::new).collect();
        let appended = Appended { events, connected: self.started };
        self.handed.send(appended).await.unwrap();
    }

    /// Waits until a check says that.
    pub(crate) async fn says(&self, name: &str, is_it: impl Fn(&Check) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(check) = self.health.checks().get(name).filter(|check| is_it(check)) {
                return check.reason.clone().unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "{:?}", self.health.checks());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn as_the_relay_writes(record: &BorrowedMessage<'_>, headers: &BorrowedHeaders, read: &Decoded) {
    assert_eq!(record.key().unwrap(), read.event.account_id.to_string().as_bytes());
    let content_type = headers.get(0);
    let structured = ("content-type", Some(&b"application/cloudevents+json"[..]));
    assert_eq!((content_type.key, content_type.value), structured);
    let published_at = topic_record::published_at(record).unwrap().as_millis();
    let timestamp = read.event.recorded_at.as_millis().min(published_at);
    assert!(timestamp <= Timestamp::now().as_millis());
    assert_eq!(record.timestamp().to_millis(), Some(timestamp));
}

fn record_of(event: &RecordedEvent, store_id: Uuid, epoch: i32) -> (String, Vec<u8>) {
    let mut document = Vec::new();
    cloud_event::encode(event, store_id, epoch, &mut document).unwrap();
    (event.account_id.to_string(), document)
}
