//! A session of the relay: from the topic's tail to the first error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::Fork;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::error::RelayError;
use super::producer::Producer;
use super::tail::{End, Tail};
use super::watch::{self, Watch};
use super::{Ends, Relay};
use crate::log::append::Appended;
use crate::log::{feed, restores};
use crate::metrics;

/// How often the log is asked for what other instances have appended.
const POLL: Duration = Duration::from_millis(25);
/// How often partitions that another relay has are asked for, and whether the log is still the one that is mirrored.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many events are read at a time.
const PAGE: i64 = 2_000;
/// Time within which Kafka must acknowledge what was published, where that is waited for.
const FLUSH: Duration = Duration::from_secs(5);

pub(super) struct Session<'a> {
    relay: &'a Relay,
    connection: PgConnection,
    /// When the store last answered on that connection.
    answered: Instant,
    pub(super) tail: Tail,
    pub(super) producer: Producer,
    pub(super) watch: Watch,
    /// What was last given to the producer, for each partition that is ours and is not forked.
    sent: BTreeMap<Partition, Sent>,
    /// The same, when it was last made sure that the log has it.
    sure: BTreeMap<Partition, Sent>,
    /// The partitions that are ours and forked: nothing is published from them.
    forked: BTreeSet<Partition>,
    /// Where the topic ended with others' records, and what they were.
    strangers: BTreeMap<Partition, (i64, String)>,
    /// The log's heads when they were last read.
    heads: Vec<i64>,
}

/// A place in the log up to which the topic holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    position: i64,
    /// The event there; nothing before the first one, and where it was not looked at.
    event_id: Option<Uuid>,
}

/// A partition that was just taken: the last common position, and the offset at which the topic ended.
struct Begun {
    partition: Partition,
    position: i64,
    offset: i64,
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
            sure: BTreeMap::new(),
            forked: BTreeSet::new(),
            strangers: BTreeMap::new(),
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

    /// Takes the partitions nobody has, and learns from the topic where to go on: behind its tail. Only a topic that
    /// ends before it did is another one, whatever has been written to it since, and gets everything anew.
    async fn take_partitions(&mut self, ends: &Ends) -> Result<(), RelayError> {
        let is_ours = |p: &Partition| self.sent.contains_key(p) || self.forked.contains(p);
        let wanted: Vec<Partition> =
            (0..self.relay.store.partitions).filter(|p| !is_ours(p)).collect();
        let taken = if wanted.is_empty() {
            wanted
        } else {
            feed::lock_partitions(&mut self.connection, &wanted).await?
        };
        let (mut begun, mut missing) = (Vec::new(), 0);
        for partition in taken {
            // A fork is an operator's to resolve: what has become of the topic since is of no account.
            if self.relay.standing.fork([partition]).is_some() {
                self.forked.insert(partition);
                continue;
            }
            let End { offset, judged, passed_over } =
                self.tail.of(&mut self.connection, partition).await?;
            if passed_over.count() > 0 {
                metrics::relay_passed_over(&passed_over);
                self.strangers.insert(partition, (judged.position, passed_over.told()));
            }
            let heads = feed::heads(&mut self.connection).await?;
            let head = head_of(&heads, partition);
            self.heads = heads;
            if let Some(found) = judged.fork {
                self.stop(found.fork(partition, head, self.tail.epoch)).await?;
                continue;
            }
            let is_cut = ends.get(&partition).is_some_and(|known| offset < *known);
            let position = if is_cut { 0 } else { judged.position };
            self.producer.start_at(partition, position.max(1) - 1, offset);
            self.sent.insert(partition, Sent { position: position.max(1) - 1, event_id: None });
            begun.push(Begun { partition, position, offset });
            missing += head - position;
        }
        let partitions = begun.len();
        self.fence(begun).await?;
        if partitions > 0 {
            tracing::info!(partitions, missing, "relaying partitions from the topic's tails on");
        }
        self.tell_of_strangers();
        Ok(())
    }

    /// Publishes the last common event of each partition once more. An earlier relay may be gone and still have records
    /// under way: they are in the topic by the time that Kafka has this one, and are looked at then. And whoever reads the
    /// topic learns of the epoch.
    async fn fence(&mut self, begun: Vec<Begun>) -> Result<(), RelayError> {
        for Begun { partition, position, .. } in &begun {
            self.read_up_to(*partition, *position).await?;
        }
        self.all_acknowledged().await?;
        for Begun { partition, position, offset } in begun {
            let (_, end) = self.tail.ends(partition).await?;
            if end == offset + i64::from(position > 0) {
                continue;
            }
            if let Some(found) = self.tail.of(&mut self.connection, partition).await?.judged.fork {
                self.heads = feed::heads(&mut self.connection).await?;
                self.stop(found.fork(partition, head_of(&self.heads, partition), self.tail.epoch))
                    .await?;
            }
        }
        Ok(())
    }

    /// Others' records are told of until a record of ours is behind them.
    fn tell_of_strangers(&mut self) {
        self.strangers
            .retain(|partition, (position, _)| self.producer.acknowledged(*partition) <= *position);
        let told = |(partition, (_, what)): (&Partition, &(i64, String))| {
            format!(
                "partition {partition} of the topic ends with records that are passed over: {what}"
            )
        };
        let told: Vec<String> = self.strangers.iter().map(told).collect();
        if told.is_empty() {
            self.relay.health.ok("relay");
        } else {
            self.relay.health.degraded("relay", told.join("; "));
        }
    }

    /// Publishes nothing more from a partition, and has every instance know why.
    async fn stop(&mut self, fork: Fork) -> Result<(), RelayError> {
        let partition = fork.partition;
        restores::note_fork(&mut self.connection, self.tail.epoch, &fork).await?;
        self.sent.remove(&partition);
        self.sure.remove(&partition);
        self.forked.insert(partition);
        Ok(self.relay.standing.refresh(&mut self.connection).await?)
    }

    /// Makes sure that the store is in the epoch of this session, and that the log still has what was published.
    async fn look_at_log(&mut self, ends: &Ends) -> Result<(), RelayError> {
        self.relay.standing.refresh(&mut self.connection).await?;
        let epoch = self.relay.standing.epoch();
        if epoch != self.tail.epoch {
            return Err(RelayError::EpochBegan { epoch });
        }
        // A newer backup may have ended a fork.
        self.forked.retain(|partition| self.relay.standing.fork([*partition]).is_some());
        // Found by somebody else.
        let forked: Vec<Partition> = self
            .sent
            .keys()
            .copied()
            .filter(|partition| self.relay.standing.fork([*partition]).is_some())
            .collect();
        for partition in forked {
            self.sent.remove(&partition);
            self.sure.remove(&partition);
            self.forked.insert(partition);
        }
        let sure =
            self.sure.iter().filter_map(|(p, sent)| Some((*p, (sent.position, sent.event_id?))));
        for (partition, position) in feed::missing(&mut self.connection, &sure.collect()).await? {
            self.no_longer_there(partition, position).await?;
        }
        self.sure.clone_from(&self.sent);
        self.take_partitions(ends).await
    }

    /// An event that was published is not in the log any more: that was replaced by a backup.
    async fn no_longer_there(
        &mut self,
        partition: Partition,
        topic_position: i64,
    ) -> Result<(), RelayError> {
        let heads = feed::heads(&mut self.connection).await?;
        let reason = format!(
            "the event that was published at position {topic_position} is not in the log any more"
        );
        let log_position = head_of(&heads, partition);
        self.stop(Fork { partition, log_position, topic_position, reason }).await
    }

    /// Ends the session if the topic has lost what it had acknowledged.
    async fn look_at_topic(&mut self) -> Result<(), RelayError> {
        self.watch.check(self.ends().into_iter().collect()).await
    }

    /// The offset after the last record that each of our partitions is known to hold.
    pub(super) fn ends(&self) -> Ends {
        self.sent.keys().map(|partition| (*partition, self.producer.end(*partition))).collect()
    }

    /// Publishes events that were just appended. If that was on a connection that is newer than anything the store has said
    /// on ours, it may have been to another log than the one that is read here.
    async fn take(&mut self, appended: &Appended) -> Result<(), RelayError> {
        if appended.connected >= self.answered {
            self.catch_up().await?;
        }
        self.publish(&appended.events).await
    }

    /// Publishes these events, and what lies between them and what was published before.
    async fn publish(&mut self, events: &[Arc<RecordedEvent>]) -> Result<(), RelayError> {
        // Behind a record that was not taken, none may follow.
        self.producer.check()?;
        for event in events {
            let partition = event.position.partition;
            let Some(sent) = self.sent.get(&partition).copied() else { continue };
            if event.position.number > sent.position + 1 {
                self.read_up_to(partition, event.position.number - 1).await?;
            }
            self.publish_next(event).await?;
        }
        Ok(())
    }

    /// Publishes an event if it is the next one of its partition.
    async fn publish_next(&mut self, event: &RecordedEvent) -> Result<(), RelayError> {
        let partition = event.position.partition;
        if let Some(sent) =
            self.sent.get_mut(&partition).filter(|sent| sent.position + 1 == event.position.number)
        {
            *sent = Sent { position: event.position.number, event_id: Some(event.event_id) };
            self.producer.publish(event).await?;
        }
        Ok(())
    }

    /// Publishes what has been in the log since the last call and did not come by itself.
    async fn catch_up(&mut self) -> Result<(), RelayError> {
        let asked = Instant::now();
        let heads = feed::heads(&mut self.connection).await?;
        self.answered = asked;
        let shorter = |(p, sent): (&Partition, &Sent)| {
            (head_of(&heads, *p) < sent.position).then_some((*p, sent.position))
        };
        let shorter: Vec<(Partition, i64)> = self.sent.iter().filter_map(shorter).collect();
        for (partition, position) in shorter {
            self.no_longer_there(partition, position).await?;
        }
        let before = std::mem::replace(&mut self.heads, heads);
        let mut behind: Vec<(Partition, i64)> = self.behind(&before);
        while !behind.is_empty() {
            for (partition, head) in behind {
                let Some(sent) = self.sent.get(&partition) else { continue };
                let up_to = head.min(sent.position + PAGE);
                self.read_up_to(partition, up_to).await?;
            }
            self.producer.check()?;
            behind = self.behind(&before);
        }
        for (partition, sent) in &self.sent {
            let head = head_of(&self.heads, *partition);
            metrics::relay_lag(
                *partition,
                head.max(sent.position) - self.producer.acknowledged(*partition),
            );
        }
        self.producer.check()
    }

    fn behind(&self, heads: &[i64]) -> Vec<(Partition, i64)> {
        let heads = self.sent.iter().map(|(p, sent)| (*p, sent.position, head_of(heads, *p)));
        heads.filter(|(_, sent, head)| head > sent).map(|(p, _, head)| (p, head)).collect()
    }

    /// Publishes from the log. It is read from the last published event on, which must be there.
    async fn read_up_to(&mut self, partition: Partition, last: i64) -> Result<(), RelayError> {
        while let Some(sent) =
            self.sent.get(&partition).copied().filter(|sent| sent.position < last)
        {
            let known = i64::from(sent.event_id.is_some());
            let (after, limit) = (sent.position - known, PAGE.min(last - sent.position) + known);
            let mut events =
                feed::after(&mut self.connection, partition, after, limit).await?.into_iter();
            if sent.event_id.is_some() && events.next().map(|event| event.event_id) != sent.event_id
            {
                return self.no_longer_there(partition, sent.position).await;
            }
            for event in events {
                if event.position.number != self.sent[&partition].position + 1 {
                    break;
                }
                self.publish_next(&event).await?;
            }
            if self.sent.get(&partition) == Some(&sent) {
                return Err(RelayError::Gap { partition, position: sent.position + 1 });
            }
        }
        Ok(())
    }

    /// The lanes have ended: publishes the rest.
    async fn finish(&mut self) -> Result<(), RelayError> {
        self.catch_up().await?;
        self.catch_up().await?;
        self.all_acknowledged().await
    }

    /// Waits until Kafka has what was published.
    async fn all_acknowledged(&mut self) -> Result<(), RelayError> {
        let deadline = Instant::now() + FLUSH;
        while self
            .sent
            .iter()
            .any(|(partition, sent)| self.producer.acknowledged(*partition) < sent.position)
        {
            self.producer.check()?;
            if Instant::now() > deadline {
                return Err(RelayError::Stalled);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

fn head_of(heads: &[i64], partition: Partition) -> i64 {
    heads.get(usize::from(partition.unsigned_abs())).copied().unwrap_or_default()
}
