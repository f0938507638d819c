//! Session of the relay: from the topic's tail to the first error.

mod checks;
mod partitions;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use passbook_shared::partition::Partition;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::error::RelayError;
use super::producer::Producer;
use super::tail::Tail;
use super::watch::{self, Watch};
use super::{Ends, Relay};
use crate::log::append::Appended;

/// Interval of reading events that other instances have appended.
const POLL: Duration = Duration::from_millis(25);
/// Interval of checking the log and of trying to take over partitions of other relays.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Session<'a> {
    relay: &'a Relay,
    connection: PgConnection,
    /// Time at which the store last answered on the connection.
    answered: Instant,
    pub(super) tail: Tail,
    pub(super) producer: Producer,
    pub(super) watch: Watch,
    /// Last event given to the producer, by partition. Contains the partitions of this relay that
    /// are not forked.
    sent: BTreeMap<Partition, Published>,
    /// Value of `sent` at the last check that the log has these events.
    confirmed: BTreeMap<Partition, Published>,
    /// Partitions of this relay that are forked: nothing is published from them.
    forked: BTreeSet<Partition>,
    /// Last common position and description, for partitions that end with skipped records.
    skipped: BTreeMap<Partition, (i64, String)>,
    /// Heads of the log as last read.
    heads: Vec<i64>,
}

/// Place in the log up to which it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Published {
    position: i64,
    /// Id of the event there; `None` at the start and where the event was not read.
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
        }
    }

    pub(super) async fn relay_all(
        &mut self,
        handed: &mut mpsc::Receiver<Appended>,
        ends: &Ends,
    ) -> Result<(), RelayError> {
        self.take_partitions(ends).await?;

        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at_topic = interval(watch::EVERY);
        look_at_topic.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Handed-over events come first: publishing them at once keeps the log from being
                // read.
                biased;
                batch = handed.recv() => match batch {
                    Some(appended) => self.take(&appended).await?,
                    None => return self.finish().await,
                },
                _ = poll.tick() => self.catch_up().await?,
                _ = look.tick() => self.look_at_log(ends).await?,
                _ = look_at_topic.tick() => self.look_at_topic().await?,
            }
        }
    }

    /// Returns the offset after the last known record of each partition of this relay.
    pub(super) fn ends(&self) -> Ends {
        self.sent.keys().map(|partition| (*partition, self.producer.end(*partition))).collect()
    }
}

fn head_of(heads: &[i64], partition: Partition) -> i64 {
    heads.get(usize::from(partition.unsigned_abs())).copied().unwrap_or_default()
}
