//! Replays of past events: a rebuild into a new generation of views, or a rewind of the live views.
//!
//! Each replay is one row in the database, whether requested over HTTP, on the command line or by
//! resetting offsets. One instance at a time runs it. After a crash another instance continues from
//! the checkpoints of the views it builds.

pub(crate) mod error;
pub(crate) mod partition_loader;
pub(crate) mod progress;
mod rebuild;
mod rewind;
mod runner;
mod topic;

use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::Partition;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::consumer::judging::OurLog;
use crate::feed::Feed;
use crate::store::generations::Generation;
use crate::store::restores::Accepted;
use crate::store::source::{self, Source};
use error::ReplayError;
pub use runner::run;

/// Dependencies and settings of replays.
#[derive(Debug, Clone)]
pub struct ReplayDeps {
    /// Connection to Kafka.
    pub kafka: KafkaConfig,
    /// Database of the views.
    pub database: PgConnectOptions,
    /// Log of the command-service.
    pub feed: Feed,
    /// Maximum number of partitions that are read concurrently.
    pub at_once: usize,
}

impl ReplayDeps {
    fn options(&self) -> PgConnectOptions {
        // Replays run long statements by design, so slow statements are not logged.
        self.database
            .clone()
            .application_name("passbook-projection-replay")
            .disable_statement_logging()
    }

    /// Checks that the log is the one that the views were built from, and returns it. Empty views
    /// accept any log.
    async fn log(&self) -> Result<OurLog, ReplayError> {
        let store = self.feed.store().await?;
        let found = Source { store_id: store.store_id, partitions: store.partitions };
        let source = source::find(&mut self.connect().await?).await?.unwrap_or(found);
        let log = OurLog { source, accepted: Accepted::from(&store) };
        log.is_of(found)?;
        Ok(log)
    }

    /// Connects to the schema shared by all generations.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.options().connect().await
    }

    async fn connect_to(&self, generation: Generation) -> sqlx::Result<PgConnection> {
        // After a crash, the load continues from the checkpoints and repeats lost commits.
        generation.options(&self.options().options([("synchronous_commit", "off")])).connect().await
    }
}

/// Position of each partition of the live views.
type Positions = std::collections::BTreeMap<Partition, i64>;
