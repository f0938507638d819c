//! Session of the relay. A session begins at the topic's tail and ends with the first error.

mod checks;
mod partitions;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use passbook_shared::pace::Pace;
use passbook_shared::partition::Partition;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;

use super::error::RelayError;
use super::lag::LagClock;
use super::producer::Producer;
use super::tail::Tail;
use super::watch::{self, Watch};
use super::{Ends, Relay};
use crate::log::append::Appended;

/// Interval of reading events that other instances have appended, while events are appended.
const POLL: Duration = Duration::from_millis(25);
/// Longest interval of reading them: each poll that finds the log unchanged doubles the interval.
const IDLE_POLL: Duration = Duration::from_millis(200);
/// Pause before another attempt to publish while Kafka handles the previous publication.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Maximum number of batches that the session gathers before it publishes them.
const MOST_GATHERED: usize = 256;
/// Interval of checks of the log. Each check also tries to take over the partitions of relays that
/// have ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Session<'a> {
    relay: &'a Relay,
    connection: PgConnection,
    /// Time at which the store last answered on the connection.
    answered: Instant,
    pub(super) tail: Tail,
    pub(super) producer: Producer,
    pub(super) watch: Watch,
    /// Last event given to the producer, for each partition of this relay that is not forked.
    sent: BTreeMap<Partition, Published>,
    /// Value of `sent` at the last check of the log. The next check looks these events up.
    confirmed: BTreeMap<Partition, Published>,
    /// Forked partitions of this relay. The relay publishes nothing from them.
    forked: BTreeSet<Partition>,
    /// Partitions whose last records in the topic are skipped, with the last common position and a
    /// description of these records.
    skipped: BTreeMap<Partition, (i64, String)>,
    /// Heads of the log as last read.
    heads: Vec<i64>,
    lag: &'a mut LagClock,
}

/// Last published event of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Published {
    position: i64,
    /// Id of the event; `None` if the relay has just taken over the partition.
    event_id: Option<Uuid>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        relay: &'a Relay,
        connection: PgConnection,
        since: Instant,
        tail: Tail,
        producer: Producer,
        watch: Watch,
        lag: &'a mut LagClock,
    ) -> Self {
        Self {
            relay,
            connection,
            answered: since,
            tail,
            producer,
            watch,
            sent: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            forked: BTreeSet::new(),
            skipped: BTreeMap::new(),
            heads: Vec::new(),
            lag,
        }
    }

    /// Takes over the free partitions and publishes their events until the lanes have ended.
    ///
    /// # Errors
    /// The first error of Kafka, of Postgres or of a check.
    pub(super) async fn relay_all(
        &mut self,
        handed: &mut mpsc::Receiver<Appended>,
        ends: &Ends,
    ) -> Result<(), RelayError> {
        self.take_partitions(ends).await?;

        let (mut poll, mut poll_at) = (POLL, Instant::now());
        let mut look = interval(LOOK_EVERY);
        // After a long publish, one look is enough for all missed ticks.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at_topic = interval(watch::EVERY);
        look_at_topic.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Batches that await publication, and the time of the next one. An event after a pause is
        // published at once. Under load the events of some milliseconds go out together: a request
        // for each partition costs Kafka more than its records.
        let (mut gathered, mut due) = (Vec::<Appended>::new(), Instant::now());
        let mut pace = Pace::new(self.relay.linger);
        loop {
            tokio::select! {
                // Events from the lanes come first, because a delay would make the relay read them
                // from the log.
                biased;
                batch = handed.recv(), if gathered.len() < MOST_GATHERED => match batch {
                    Some(appended) => gathered.push(appended),
                    None => {
                        self.take(&mut gathered).await?;
                        return self.finish().await;
                    }
                },
                () = sleep_until(due), if !gathered.is_empty() => {
                    if self.producer.is_busy()? {
                        due = Instant::now() + BUSY_PAUSE;
                    } else {
                        due = pace.start(gathered.iter().map(|batch| batch.events.len()).sum());
                        self.take(&mut gathered).await?;
                    }
                }
                () = sleep_until(poll_at) => {
                    // The poll would read from the log what is here already.
                    self.take(&mut gathered).await?;
                    let has_grown = self.catch_up().await?;
                    poll = if has_grown { POLL } else { (2 * poll).min(IDLE_POLL) };
                    poll_at = Instant::now() + poll;
                }
                _ = look.tick() => self.look_at_log(ends).await?,
                _ = look_at_topic.tick() => self.look_at_topic().await?,
            }
        }
    }

    /// Returns the offset after the last known record of each partition that this relay publishes.
    pub(super) fn ends(&mut self) -> Ends {
        // An error of the session has been reported already.
        let _ = self.producer.check();
        self.sent.keys().map(|partition| (*partition, self.producer.end(*partition))).collect()
    }
}

fn head_of(heads: &[i64], partition: Partition) -> i64 {
    heads.get(partition.index()).copied().unwrap_or_default()
}
