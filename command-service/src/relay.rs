//! The relay mirrors the log into the topic. The log is its outbox, and the topic's tail is its cursor: on start,
//! and after any error, it reads where each partition of the topic ends and publishes what comes after that. Within
//! a partition the topic so holds a prefix of the log, possibly with repeats, never with a hole.

pub(crate) mod error;
pub(crate) mod judge;
mod producer;
pub(crate) mod reader;
mod session;
pub(crate) mod tail;
mod telling;
mod topic;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use passbook_shared::config::KafkaConfig;
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error::within;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::log::append::Appended;
use crate::log::restores;
use crate::log::store::Store;
use crate::metrics;
use crate::restore::standing::Standing;
use error::RelayError;
use producer::Producer;
use session::Session;
use tail::Tail;
use watch::Watch;

/// Between the end of one session and the next.
const RETRY: Duration = Duration::from_millis(500);
/// Appended batches that wait for the relay; more are read from the log.
const HANDED: usize = 64;

/// How long a connection to Postgres may take.
const CONNECT: Duration = Duration::from_secs(5);

/// By partition, the offset after the last record it is known to hold.
type Ends = BTreeMap<Partition, i64>;

/// The way from the lanes to the relay, and the relay's end of it.
pub type HandOver = (mpsc::Sender<Appended>, mpsc::Receiver<Appended>);

/// A hand-over in memory, for events that were just appended.
pub fn hand_over() -> HandOver {
    mpsc::channel(HANDED)
}

/// What the relay needs to know.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Where Kafka is.
    pub kafka: KafkaConfig,
    /// Where Postgres is.
    pub connect: PgConnectOptions,
    /// The store it mirrors.
    pub store: Store,
    /// How long the producer waits for a batch to fill, in milliseconds.
    pub linger_ms: u32,
    /// The store's epoch and its forks.
    pub standing: Standing,
    /// Where it says how it stands.
    pub health: Health,
}

impl Relay {
    /// Mirrors until the lanes have ended, or the shutdown comes while Kafka or Postgres is away.
    pub async fn run(
        self,
        mut handed: mpsc::Receiver<Appended>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ends = Ends::new();
        while let Err(error) = self.session(&mut handed, &mut ends).await {
            metrics::relay_reset();
            if let RelayError::EpochBegan { epoch } = error {
                tracing::info!(
                    epoch,
                    "beginning anew from the topic's tail: a restore was accepted"
                );
                continue;
            }
            let reason = self.kafka.redacted(&error.to_string());
            if error.is_refusal() {
                self.health.failing("relay", reason);
            } else {
                self.health.degraded("relay", reason);
            }
            if shutdown.is_cancelled() {
                tracing::warn!(
                    "stopping with events that are not in the topic yet; the next start publishes them"
                );
                break;
            }
            tokio::select! { () = sleep(RETRY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }

    /// From the topic's tail to the first error, or to the end.
    async fn session(
        &self,
        handed: &mut mpsc::Receiver<Appended>,
        ends: &mut Ends,
    ) -> Result<(), RelayError> {
        let mut connection = within(CONNECT, PgConnection::connect_with(&self.connect)).await?;
        // What was appended on connections that are older than this one may be of a log that was replaced by a backup.
        let since = Instant::now();
        while handed.try_recv().is_ok() {}
        self.standing.refresh(&mut connection).await?;
        let epoch = restores::epoch(&mut connection).await?;
        let restores = restores::restores_by_partition(&mut connection).await?;
        topic::ensure(&self.kafka, self.store).await?;
        let tail = Tail::new(&self.kafka, self.store.store_id, epoch, restores)?;
        let producer = Producer::start(&self.kafka, self.store, epoch, self.linger_ms)?;
        let watch = Watch::start(&self.kafka)?;
        let mut session = Session::new(self, connection, since, tail, producer, watch);
        let ended = session.relay_all(handed, ends).await;
        ends.extend(session.ends());
        let Session { producer, watch, tail, .. } = session;
        // Their threads are waited for: not by one of the runtime's.
        let _ = tokio::task::spawn_blocking(move || drop((producer, watch, tail))).await;
        ended
    }
}
