//! Log in Postgres, in a database of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use command_service::config::lanes::LaneConfig;
use command_service::lanes::{LaneDeps, Lanes};
use command_service::log::clock::LogClock;
use command_service::log::read::LogReader;
use command_service::log::snapshot_key::SnapshotKey;
use command_service::log::snapshots::{self, Snapshots};
use command_service::log::store::Store;
use command_service::restore::standing::Standing;
use command_service::writes::Writes;
use embedded_postgres::testing::Database;
use passbook_shared::health::Health;
use passbook_shared::partition::PartitionCount;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::instance::Instance;
use crate::postgres::empty_log;

/// More than the default, so that accounts are in many partitions.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::new(12);

/// Empty log in a database of its own.
pub(crate) struct Log {
    database: Database,
    store: Store,
    /// Connections as the owner of the tables. Instances have another role.
    pub(crate) pool: PgPool,
}

impl Log {
    pub(crate) async fn start() -> Self {
        let (database, store) = empty_log(Some(PARTITIONS)).await;
        let pool = PgPool::connect(&database.urls.owner).await.unwrap();
        Self { database, store, pool }
    }

    /// Returns the options of connections as the owner of the tables.
    pub(crate) fn owner(&self) -> PgConnectOptions {
        self.database.urls.owner.parse().unwrap()
    }

    /// Returns a pool of connections as the service's role.
    pub(crate) fn service_pool(&self) -> PgPool {
        PgPool::connect_lazy_with(self.service())
    }

    /// Returns the superuser's URL of the database.
    pub(crate) fn superuser_url(&self) -> &str {
        &self.database.urls.superuser
    }

    /// Returns the options of connections as the service's role.
    pub(crate) fn service(&self) -> PgConnectOptions {
        self.database.urls.service.parse().unwrap()
    }

    pub(crate) fn reader(&self) -> LogReader {
        let (pool, other_pool) = (self.service_pool(), self.service_pool());
        LogReader::new(pool, other_pool, self.store, Snapshots::only_read(key()))
    }

    pub(crate) fn instance(&self) -> Instance {
        self.instance_with(Duration::from_secs(10))
    }

    /// Starts an instance whose commands wait for `patience` at most.
    pub(crate) fn instance_with(&self, patience: Duration) -> Instance {
        self.instance_at(LogClock::new(PARTITIONS, Timestamp::now()), patience)
    }

    /// Starts an instance that takes the log's time from `clock`.
    pub(crate) fn instance_at(&self, clock: LogClock, patience: Duration) -> Instance {
        let config = LaneConfig {
            lanes: 2,
            connect: self.service(),
            queue: 4096,
            max_batch: 256,
            cache_bytes: 1 << 20,
            patience,
            snapshot_every: 20,
            most_holds: 10_000,
        };
        let mut tasks = Tasks::new(CancellationToken::new());
        let (to_relay, mut from_lanes) = mpsc::channel(16);
        let (to_snapshots, snapshots) = snapshots::queue(key());
        let deps = LaneDeps {
            partitions: PARTITIONS,
            clock,
            pool: self.service_pool(),
            relay: to_relay,
            snapshots: to_snapshots,
            writes: Writes::default(),
            standing: Standing::new(Health::default()),
        };
        let lanes = Lanes::start(deps, &config, &mut tasks);
        tasks.spawn("the stand-in of the relay", async move {
            while from_lanes.recv().await.is_some() {}
            Ok(())
        });
        tasks.spawn("the snapshots", snapshots::run(self.service_pool(), snapshots));
        Instance { lanes, tasks }
    }

    /// Returns all events as (partition, position, account, version, command, amount), in the order
    /// of the log.
    pub(crate) async fn events(&self) -> Vec<(i16, i64, Uuid, i64, Uuid, i64)> {
        let sql = "SELECT partition, position, account_id, version, command_id,
                          coalesce((data ->> 'amount')::bigint, 0)
                     FROM passbook.events ORDER BY partition, position";
        sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// Checks that positions and versions are dense from 1, and that `recorded_at` never decreases
    /// in a partition.
    pub(crate) async fn assert_dense(&self) {
        let mut positions: BTreeMap<i16, i64> = BTreeMap::new();
        let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
        for (partition, position, account, version, ..) in self.events().await {
            let (last, newest) =
                (positions.entry(partition).or_default(), versions.entry(account).or_default());
            assert_eq!(
                (position, version),
                (*last + 1, *newest + 1),
                "partition {partition}, account {account}"
            );
            (*last, *newest) = (position, version);
        }
        let backwards: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM passbook.events AS a JOIN passbook.events AS b
                 ON b.partition = a.partition AND b.position = a.position + 1
              WHERE b.recorded_at < a.recorded_at",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(backwards, 0, "recorded_at decreases within a partition");
    }

    pub(crate) async fn end(self) {
        self.pool.close().await;
        self.database.drop().await.unwrap();
    }
}

/// Key of snapshots, the same for all instances.
pub(crate) fn key() -> SnapshotKey {
    SnapshotKey::new(b"of tests")
}
