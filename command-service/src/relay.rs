//! Relay: mirrors the log into the topic. The log is its outbox and the topic's tail is its cursor.
//! At its start and after any error, the relay reads where each topic partition ends and publishes
//! the events after that. A topic partition therefore holds a prefix of its log partition, possibly
//! with repeats, never with a gap.

pub(crate) mod announce;
mod decisive;
pub(crate) mod error;
pub(crate) mod judge;
mod lag;
mod producer;
pub(crate) mod reader;
mod session;
pub(crate) mod tail;
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
use lag::LagClock;
use producer::Producer;
use session::Session;
use tail::Tail;
use watch::Watch;

/// Pause between two sessions.
const RETRY: Duration = Duration::from_millis(500);
/// Capacity of the hand-over, in batches. Batches beyond it are read from the log.
const HANDED: usize = 64;

/// Maximum time to connect to Postgres.
const CONNECT: Duration = Duration::from_secs(5);

/// Offset after the last known record, by partition.
type Ends = BTreeMap<Partition, i64>;

/// Sending and receiving end of the hand-over from the lanes to the relay.
pub type HandOver = (mpsc::Sender<Appended>, mpsc::Receiver<Appended>);

/// Creates an in-memory hand-over for events that were just appended.
pub fn hand_over() -> HandOver {
    mpsc::channel(HANDED)
}

/// Dependencies and settings of the relay.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Settings of Kafka.
    pub kafka: KafkaConfig,
    /// Settings of Postgres.
    pub connect: PgConnectOptions,
    /// Mirrored store.
    pub store: Store,
    /// Minimum time between two publications. An event after a pause is published at once.
    pub linger: Duration,
    /// Epoch and forks of the store.
    pub standing: Standing,
    /// Health in which the relay reports its state.
    pub health: Health,
}

impl Relay {
    /// Mirrors the log until the lanes have ended, or until a shutdown while Kafka or Postgres is
    /// unavailable.
    pub async fn run(
        self,
        mut handed: mpsc::Receiver<Appended>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        // Outlives the sessions, to notice a topic that was replaced between two of them.
        let mut ends = Ends::new();
        let mut lag = LagClock::start(Instant::now());
        while let Err(error) = self.session(&mut handed, &mut ends, &mut lag).await {
            metrics::relay_reset();
            lag.session_ended();
            metrics::relay_lag_time(lag.elapsed(Instant::now()));
            if let RelayError::EpochBegan { epoch } = error {
                // Not a fault: no pause, and the health stays as it is.
                tracing::info!(epoch, "restarting from the topic's tail: a restore was accepted");
                continue;
            }
            // The Kafka client's errors may quote options, which may be secret.
            let reason = self.kafka.redacted(&error.to_string());
            if error.is_refusal() {
                self.health.failing("relay", reason);
            } else {
                self.health.degraded("relay", reason);
            }
            if shutdown.is_cancelled() {
                tracing::warn!("stopping with unpublished events; the next start publishes them");
                break;
            }
            tokio::select! { () = sleep(RETRY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }

    /// Runs one session, from the topic's tail to the first error or the end of the lanes.
    async fn session(
        &self,
        handed: &mut mpsc::Receiver<Appended>,
        ends: &mut Ends,
        lag: &mut LagClock,
    ) -> Result<(), RelayError> {
        let mut connection = within(CONNECT, PgConnection::connect_with(&self.connect)).await?;
        // Batches appended on older connections may belong to a log that a backup has replaced
        // since.
        let since = Instant::now();
        while handed.try_recv().is_ok() {}
        self.standing.refresh(&mut connection).await?;
        let epoch = restores::epoch(&mut connection).await?;
        let restores = restores::restores_by_partition(&mut connection).await?;
        topic::ensure(&self.kafka, self.store).await?;
        let tail = Tail::new(&self.kafka, self.store.store_id, epoch, restores)?;
        let producer = Producer::start(&self.kafka, self.store, epoch)?;
        let watch = Watch::start(&self.kafka)?;
        let mut session = Session::new(self, connection, since, tail, producer, watch, lag);
        let ended = session.relay_all(handed, ends).await;
        // Kept after an error, too: the next session compares the topic with them.
        ends.extend(session.ends());
        let Session { producer, watch, tail, .. } = session;
        // Dropping the clients joins their threads, which must not block the runtime.
        let _ = tokio::task::spawn_blocking(move || drop((producer, watch, tail))).await;
        ended
    }
}
