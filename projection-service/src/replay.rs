//! Replays: past events read again, into new views beside the live ones, or into the live ones taken back.
//!
//! However it is asked for (offsets reset by a tool, HTTP, the command line), it is one row in the database, and one
//! instance at a time runs it. Whatever stops it, the next one goes on from the checkpoints of what it builds.

pub(crate) mod error;
pub(crate) mod loading;
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

/// What replays work with.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Where Kafka is.
    pub kafka: KafkaConfig,
    /// The views' database.
    pub database: PgConnectOptions,
    /// The log itself.
    pub feed: Feed,
    /// How many partitions are read at once.
    pub at_once: usize,
}

impl Ground {
    fn options(&self) -> PgConnectOptions {
        // Much of it takes long, and should.
        self.database
            .clone()
            .application_name("passbook-projection-replay")
            .disable_statement_logging()
    }

    /// The log, which is the one that the views are of; any, if they are empty.
    async fn log(&self) -> Result<OurLog, ReplayError> {
        let store = self.feed.store().await?;
        let found = Source { store_id: store.store_id, partitions: store.partitions };
        let source = source::find(&mut self.connect().await?).await?.unwrap_or(found);
        if found == source {
            Ok(OurLog { source, accepted: Accepted::from(&store) })
        } else {
            Err(ReplayError::Foreign { what: "command-service's log", found, ours: source })
        }
    }

    /// A connection to what is of all generations.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.options().connect().await
    }

    async fn connect_to(&self, generation: Generation) -> sqlx::Result<PgConnection> {
        generation.options(&self.options().options([("synchronous_commit", "off")])).connect().await
    }
}

/// How far each partition of the live views is: `positions[partition]`.
type Positions = std::collections::BTreeMap<Partition, i64>;
