//! The relay mirrors the log into the topic. The log is its outbox, and the topic's tail is its cursor: on start,
//! and after any error, it reads where each partition of the topic ends and publishes what comes after that. Within
//! a partition the topic so holds a prefix of the log, possibly with repeats, never with a hole.

mod error;
mod producer;
mod tail;
mod topic;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::config::KafkaConfig;
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::shutdown::CancellationToken;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::log::feed;
use crate::log::restores;
use crate::log::store::Store;
use crate::metrics;
use error::RelayError;
use producer::Producer;
use watch::Watch;

/// How often the log is asked for what other instances have appended.
const POLL: Duration = Duration::from_millis(25);
/// How often partitions that another relay has are asked for.
const LOCK_EVERY: Duration = Duration::from_secs(1);
/// How many events are read at a time.
const PAGE: i64 = 2_000;
/// Between the end of one session and the next.
const RETRY: Duration = Duration::from_millis(500);
/// How long what was published may take to be acknowledged at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// Appended batches that wait for the relay; more are read from the log.
const HANDED: usize = 64;

/// How long a connection to Postgres may take.
const CONNECT: Duration = Duration::from_secs(5);

/// By partition, the offset after the last record it is known to hold.
type Ends = BTreeMap<Partition, i64>;

/// The way from the lanes to the relay, and the relay's end of it.
pub type HandOver = (mpsc::Sender<Vec<Arc<RecordedEvent>>>, mpsc::Receiver<Vec<Arc<RecordedEvent>>>);

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
    /// Where it says how it stands.
    pub health: Health,
}

impl Relay {
    /// Mirrors until the lanes have ended, or the shutdown comes while Kafka or Postgres is away.
    pub async fn run(
        self,
        mut handed: mpsc::Receiver<Vec<Arc<RecordedEvent>>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ends = Ends::new();
        while let Err(error) = self.session(&mut handed, &mut ends).await {
            metrics::relay_reset();
            let reason = self.kafka.redacted(&error.to_string());
            if error.is_refusal() {
                self.health.failing("relay", reason);
            } else {
                self.health.degraded("relay", reason);
            }
            if shutdown.is_cancelled() {
                tracing::warn!("stopping with events that are not in the topic yet; the next start publishes them");
                break;
            }
            tokio::select! { () = sleep(RETRY) => {}, () = shutdown.cancelled() => {} }
        }
        Ok(())
    }

    /// From the topic's tail to the first error, or to the end.
    async fn session(
        &self,
        handed: &mut mpsc::Receiver<Vec<Arc<RecordedEvent>>>,
        ends: &mut Ends,
    ) -> Result<(), RelayError> {
        let connection = timeout(CONNECT, PgConnection::connect_with(&self.connect)).await;
        let mut connection = connection.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let epoch = restores::epoch(&mut connection).await?;
        topic::ensure(&self.kafka, self.store).await?;
        let producer = Producer::start(&self.kafka, self.store, epoch, self.linger_ms)?;
        let watch = Watch::start(&self.kafka)?;
        let mut session =
            Session { relay: self, connection, producer, watch, sent: BTreeMap::new(), heads: Vec::new() };
        let ended = session.relay_all(handed, ends).await;
        ends.extend(session.ends());
        let Session { producer, watch, .. } = session;
        // Their threads are waited for: not by one of the runtime's.
        let _ = tokio::task::spawn_blocking(move || drop((producer, watch))).await;
        ended
    }
}

struct Session<'a> {
    relay: &'a Relay,
    connection: PgConnection,
    producer: Producer,
    watch: Watch,
    /// Position number last given to the producer, for each partition that is ours.
    sent: BTreeMap<Partition, i64>,
    /// The log's heads when they were last read.
    heads: Vec<i64>,
}

impl Session<'_> {
    async fn relay_all(
        &mut self,
        handed: &mut mpsc::Receiver<Vec<Arc<RecordedEvent>>>,
        ends: &Ends,
    ) -> Result<(), RelayError> {
        self.take_partitions(ends).await?;
        self.relay.health.ok("relay");

        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lock = interval(LOCK_EVERY);
        lock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(watch::EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                batch = handed.recv() => match batch {
                    Some(events) => self.publish(&events).await?,
                    None => return self.finish().await,
                },
                _ = poll.tick() => self.catch_up().await?,
                _ = lock.tick() => self.take_partitions(ends).await?,
                _ = look.tick() => self.look_at_topic().await?,
            }
        }
    }

    /// Takes the partitions nobody has, and learns from the topic where to go on: behind its tail. Only a topic that
    /// ends before it did is another one, whatever has been written to it since, and gets everything anew.
    async fn take_partitions(&mut self, ends: &Ends) -> Result<(), RelayError> {
        let wanted: Vec<Partition> = (0..self.relay.store.partitions).filter(|p| !self.sent.contains_key(p)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let taken = feed::lock_partitions(&mut self.connection, &wanted).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let tails = tail::read(self.relay.kafka.clone(), self.relay.store.store_id, taken).await?;
        let heads = feed::heads(&mut self.connection).await?;
        let (partitions, mut missing) = (tails.len(), 0);
        for (partition, end) in tails {
            let position = end.position;
            let head = heads.get(usize::from(partition.unsigned_abs())).copied().unwrap_or_default();
            if position > head {
                return Err(RelayError::TopicAhead { partition, topic: position, store: head });
            }
            let is_another = ends.get(&partition).is_some_and(|known| end.offset < *known);
            let position = if is_another { 0 } else { position };
            self.producer.start_at(partition, position, end.offset);
            self.sent.insert(partition, position);
            missing += head - position;
        }
        tracing::info!(partitions, missing, "relaying partitions from the topic's tails on");
        self.heads = heads;
        Ok(())
    }

    /// Ends the session if the topic has lost what it had acknowledged.
    async fn look_at_topic(&mut self) -> Result<(), RelayError> {
        self.watch.check(self.ends().into_iter().collect()).await
    }

    /// The offset after the last record that each of our partitions is known to hold.
    fn ends(&self) -> Ends {
        self.sent.keys().map(|partition| (*partition, self.producer.end(*partition))).collect()
    }

    /// Publishes events that were just appended, and what lies between them and what was published before.
    async fn publish(&mut self, events: &[Arc<RecordedEvent>]) -> Result<(), RelayError> {
        // Behind a record that was not taken, none may follow.
        self.producer.check()?;
        for event in events {
            let partition = event.position.partition;
            let Some(sent) = self.sent.get(&partition).copied() else { continue };
            if event.position.number > sent + 1 {
                self.read_up_to(partition, event.position.number - 1).await?;
            }
            if event.position.number > sent {
                self.producer.publish(event).await?;
                self.sent.insert(partition, event.position.number);
            }
        }
        Ok(())
    }

    /// Publishes what has been in the log since the last call and did not come by itself.
    async fn catch_up(&mut self) -> Result<(), RelayError> {
        let heads = feed::heads(&mut self.connection).await?;
        let before = std::mem::replace(&mut self.heads, heads);
        let mut behind: Vec<(Partition, i64)> = self.behind(&before);
        while !behind.is_empty() {
            for (partition, head) in behind {
                let up_to = head.min(self.sent[&partition] + PAGE);
                self.read_up_to(partition, up_to).await?;
            }
            self.producer.check()?;
            behind = self.behind(&before);
        }
        for (partition, sent) in &self.sent {
            let head = self.heads.get(usize::from(partition.unsigned_abs())).copied().unwrap_or_default();
            metrics::relay_lag(*partition, head.max(*sent) - self.producer.acknowledged(*partition));
        }
        self.producer.check()
    }

    fn behind(&self, heads: &[i64]) -> Vec<(Partition, i64)> {
        let with_head = self.sent.iter().map(|(p, sent)| (*p, *sent, heads.get(usize::from(p.unsigned_abs()))));
        with_head.filter_map(|(p, sent, head)| head.filter(|head| **head > sent).map(|head| (p, *head))).collect()
    }

    async fn read_up_to(&mut self, partition: Partition, last: i64) -> Result<(), RelayError> {
        while let Some(sent) = self.sent.get(&partition).copied().filter(|sent| *sent < last) {
            let events = feed::after(&mut self.connection, partition, sent, PAGE.min(last - sent)).await?;
            for (expected, event) in (sent + 1..).zip(&events) {
                if event.position.number != expected {
                    return Err(RelayError::Gap { partition, position: expected });
                }
                self.producer.publish(event).await?;
                self.sent.insert(partition, expected);
            }
            if events.is_empty() {
                return Err(RelayError::Gap { partition, position: sent + 1 });
            }
        }
        Ok(())
    }

    /// The lanes have ended: publishes the rest, and waits for Kafka to have it.
    async fn finish(&mut self) -> Result<(), RelayError> {
        self.catch_up().await?;
        self.catch_up().await?;
        let deadline = Instant::now() + FLUSH;
        while self.sent.iter().any(|(partition, sent)| self.producer.acknowledged(*partition) < *sent) {
            self.producer.check()?;
            if Instant::now() > deadline {
                return Err(RelayError::Stalled);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
