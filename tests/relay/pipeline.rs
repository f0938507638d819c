//! Pipeline from a log in Postgres through relays to a topic of an in-process broker.

mod running;
mod topic;

use std::time::Duration;

use command_service::log::append::{Append, NewEvent, append};
use command_service::log::store::Store;
use command_service::relay::{Relay, hand_over};
use command_service::restore::desk::Desk;
use command_service::restore::standing::Standing;
use embedded_postgres::testing::Database;
use in_process_broker::Broker;
use passbook_shared::config::{KafkaConfig, KafkaOptions, Keys, Tokens};
use passbook_shared::health::Health;
use passbook_shared::partition::{PartitionCount, partition_of};
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::shutdown::CancellationToken;
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection, PgPool, SqlSafeStr};
use uuid::Uuid;

pub(crate) use self::running::Running;
use crate::postgres::empty_log;

pub(crate) const TOPIC: &str = "passbook.events";
/// More than the default, so that each kind of record has a partition of its own.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::new(12);

/// Log, broker, and the relays that a test starts between them.
pub(crate) struct Pipeline {
    database: Database,
    broker: Broker,
    pub(crate) store: Store,
    /// Connections as the owner of the tables.
    pub(crate) pool: PgPool,
}

impl Pipeline {
    pub(crate) async fn start() -> Self {
        let (database, store) = empty_log(Some(PARTITIONS)).await;
        let broker = Broker::start(&[TOPIC.to_owned()], store.partitions.get(), None).unwrap();
        let pool = PgPool::connect(&database.urls.owner).await.unwrap();
        Self { database, broker, store, pool }
    }

    pub(crate) fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            kafka_brokers: self.broker.address().to_owned(),
            kafka_topic: TOPIC.to_owned(),
            kafka_options: KafkaOptions::default(),
            kafka_options_file: None,
            topic_key: Keys::default(),
            topic_key_file: Keys::default(),
            tokens: Tokens::default(),
        }
    }

    pub(crate) fn relay(&self) -> Running {
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let standing = Standing::new(health.clone());
        let relay = Relay {
            kafka: self.kafka(),
            connect: self.database.urls.service.parse().unwrap(),
            store: self.store,
            standing: standing.clone(),
            linger: Duration::from_millis(1),
            health: health.clone(),
        };
        let (handed, from_lanes) = hand_over();
        let started = tokio::time::Instant::now();
        let task = tokio::spawn(relay.run(from_lanes, shutdown.clone()));
        Running { health, standing, handed, started, task, shutdown }
    }

    /// Appends `count` events of a new account, without lanes.
    pub(crate) async fn append(&self, count: i64) -> Vec<RecordedEvent> {
        self.append_to(Uuid::new_v4(), 0, count).await.unwrap()
    }

    /// Appends `count` events after version `at` of an account.
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
            event_type: "AccountUnfrozen",
            version: at + version,
            partition,
            schema_version: 1,
            data: RawValue::from_string("{}".to_owned()).unwrap(),
            metadata: EventMetadata {
                command_id: Uuid::new_v4(),
                context: CommandContext::default(),
            },
        };
        let rows = Append { events: (1..=count).map(event).collect(), ..Append::default() };
        let mut connection = PgConnection::connect(&self.database.urls.service).await.unwrap();
        let appended = append(&mut connection, rows).await?;
        Ok(appended.iter().map(|event| RecordedEvent::clone(event)).collect())
    }

    /// Executes SQL as a superuser without triggers, as a restore of a backup does.
    pub(crate) async fn restore(&self, sql: impl SqlSafeStr) {
        let mut connection = PgConnection::connect(&self.database.urls.superuser).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let without_triggers = "SET LOCAL session_replication_role = replica";
        sqlx::raw_sql(without_triggers).execute(&mut *transaction).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Returns the desk that surveys and accepts restores.
    pub(crate) fn desk(&self, standing: &Standing) -> Desk {
        let pool = PgPool::connect_lazy(&self.database.urls.service).unwrap();
        Desk::new(self.kafka(), self.store, pool, standing.clone())
    }

    pub(crate) async fn end(self) {
        self.pool.close().await;
        self.database.drop().await.unwrap();
    }
}
