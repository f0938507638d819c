//! Wiring of the service's tasks.

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::shares::Shares;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use passbook_shared::telemetry;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config::Config;
use crate::config::lanes::LaneConfig;
use crate::http::turns::Turns;
use crate::http::{self, App};
use crate::lanes::{LaneDeps, Lanes};
use crate::log::check::Checker;
use crate::log::clock::LogClock;
use crate::log::read::LogReader;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::snapshots::{self, Snapshots};
use crate::log::store::Store;
use crate::quotas::Quotas;
use crate::relay::{self, Relay};
use crate::restore::desk::Desk;
use crate::restore::standing::Standing;
use crate::upkeep::Upkeep;
use crate::writes::Writes;

/// Number of connections for reading partitions of the log, and of these reads at once. One holder
/// may make all of them, because only projection-services read partitions.
const FEED_CONNECTIONS: u32 = 2;
/// Maximum number of concurrent interactive reads.
const READS_AT_ONCE: usize = 2;
/// Number of connections for reading entries to reverse.
const ENTRY_CONNECTIONS: u32 = 2;

/// Everything that the service's tasks are started with.
pub(super) struct Startup {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) health: Health,
    pub(super) standing: Standing,
    pub(super) clock: LogClock,
    /// Connections for interactive reads.
    pub(super) pool: PgPool,
    pub(super) quotas: Quotas,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: Tasks,
}

impl Startup {
    /// Starts the clock, the lanes, and the tasks that take events and snapshots from the lanes.
    pub(super) fn start_lanes(&mut self, snapshot_key: &SnapshotKey) -> Lanes {
        let (to_relay, from_lanes) = relay::hand_over();
        let (to_snapshots, snapshots) = snapshots::queue(snapshot_key.clone());
        let (lane_config, writes) = (LaneConfig::from(&self.config), Writes::default());
        // Connections of their own, so that neither the clock nor commands wait for readers.
        let (for_clock, for_entries) = (self.read_pool(1), self.read_pool(ENTRY_CONNECTIONS));
        telemetry::sample_pool("entries", &for_entries);
        let clock = self.clock.clone().run(for_clock, self.shutdown.clone());
        self.tasks.spawn("the log's clock", clock);
        let deps = LaneDeps {
            partitions: self.store.partitions,
            clock: self.clock.clone(),
            pool: for_entries,
            relay: to_relay,
            snapshots: to_snapshots,
            writes: writes.clone(),
            standing: self.standing.clone(),
        };
        let lanes = Lanes::start(deps, &lane_config, &mut self.tasks);
        let relay = Relay {
            kafka: self.config.kafka.clone(),
            connect: limited(&lane_config.connect, "passbook-relay"),
            store: self.store,
            standing: self.standing.clone(),
            linger: Duration::from_millis(self.config.relay_linger_ms.into()),
            health: self.health.clone(),
        };
        self.tasks.spawn("the relay", relay.run(from_lanes, self.shutdown.clone()));
        self.tasks.spawn("the snapshots", snapshots::run(self.pool.clone(), snapshots));
        let check = writes.check(
            self.config.database_url.clone().application_name("passbook-check"),
            self.store.partitions,
            self.health.clone(),
            self.shutdown.clone(),
        );
        self.tasks.spawn("the write check", check);
        lanes
    }

    /// Starts the background maintenance.
    pub(super) fn start_upkeep(&mut self, lanes: &Lanes) {
        let upkeep = Upkeep {
            connect: limited(&self.config.database_url, "passbook-upkeep"),
            lanes: lanes.clone(),
            keep_keys: self.config.keep_keys(),
        };
        self.tasks.spawn("the upkeep", upkeep.run(self.shutdown.clone()));
    }

    /// Starts the periodic refresh of epoch and forks, and the check that Kafka accepts the
    /// service.
    pub(super) fn start_checks(&mut self) {
        // A pool of its own, so that readers cannot delay the news of a fork.
        let forks = self.standing.clone().keep(self.read_pool(1), self.shutdown.clone());
        self.tasks.spawn("the fork check", forks);
        let accepted = self.config.kafka.clone().accepted(self.shutdown.clone());
        self.tasks.spawn("the first connection to Kafka", accepted);
    }

    /// Starts the count of tenants' accounts and holds.
    fn start_quotas(&mut self) -> Quotas {
        let counting = self.quotas.clone().watch(self.pool.clone(), self.shutdown.clone());
        self.tasks.spawn("the quotas", counting);
        self.quotas.clone()
    }

    /// Builds the dependencies of the routes.
    pub(super) fn app(&mut self, lanes: Lanes, snapshot_key: SnapshotKey) -> App {
        let (desk, quotas) = (self.start_desk(), self.start_quotas());
        let Self { config, store, standing, clock, pool, .. } = &*self;
        // A pool of its own, so that searches never keep the projection from filling gaps.
        let feed = self.read_pool(FEED_CONNECTIONS);
        let feed_reads = FEED_CONNECTIONS as usize;
        telemetry::sample_pool("feed", &feed);
        telemetry::sample_pool("read", pool);
        let snapshots = Snapshots::only_read(snapshot_key);
        let verify = limited(&config.database_url, "passbook-verify");
        let topic_document = http::topic_document(&config.kafka.kafka_topic, store.partitions);
        App {
            feed_turns: Turns::new(feed_reads, Shares::new(feed_reads), lanes.clone()),
            read_turns: Turns::new(READS_AT_ONCE, Shares::half_of(READS_AT_ONCE), lanes.clone()),
            lanes,
            log: LogReader::new(pool.clone(), feed, *store, snapshots),
            checker: Arc::new(Checker::new(verify, store.partitions)),
            standing: standing.clone(),
            clock: clock.clone(),
            desk,
            topic_document: topic_document.to_string().into(),
            quotas,
            require_idempotency_key: config.require_idempotency_key,
        }
    }

    fn start_desk(&mut self) -> Desk {
        let (kafka, standing) = (self.config.kafka.clone(), self.standing.clone());
        let desk = Desk::new(kafka, self.store, self.read_pool(1), standing);
        self.tasks.spawn("the restore desk", desk.clone().finish(self.shutdown.clone()));
        desk
    }

    fn read_pool(&self, connections: u32) -> PgPool {
        read_pool(&self.config, connections)
    }
}

/// Creates a pool of connections for reading the log.
pub(super) fn read_pool(config: &Config, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(config.store_patience())
        .connect_lazy_with(limited(&config.database_url, "passbook-read"))
}

/// Names a connection, and limits its statements to 30 s.
fn limited(database: &PgConnectOptions, name: &str) -> PgConnectOptions {
    database.clone().application_name(name).options([("statement_timeout", "30s")])
}
