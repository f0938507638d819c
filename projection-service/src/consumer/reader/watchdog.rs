//! Detection of a Kafka client that stopped reading, and of a topic that lost unread records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use passbook_shared::partition::Partition;
use rdkafka::consumer::Consumer as _;

use crate::checkpoint::Checkpoint;
use crate::consumer::client::GroupConsumer;
use crate::consumer::topic_lag::TopicLag;

const EVERY: Duration = Duration::from_secs(1);
/// Time without progress, with records to read, after which Kafka is asked for the watermarks.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// Time without progress, with records to read, after which the client counts as stuck.
const STUCK: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reading progress of each partition.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    partitions: BTreeMap<Partition, Progress>,
    looked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Offset that is read next.
    next: i64,
    /// Time since which it has not changed although there are records to read.
    since: Instant,
    /// True if a loss was reported.
    reported: bool,
}

/// A problem of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Unread records are gone.
    Trimmed(Partition),
    /// Records exist and are not read.
    Stuck(Partition),
}

impl Watchdog {
    /// Replaces the watched partitions.
    pub(super) fn begin(&mut self, checkpoints: &[Checkpoint]) {
        let since = Instant::now();
        let progress =
            |next: Option<i64>| Progress { next: next.unwrap_or(0), since, reported: false };
        self.partitions =
            checkpoints.iter().map(|c| (c.partition, progress(c.kafka_offset))).collect();
    }

    /// Records that a partition was read up to but not including `next`.
    pub(super) fn read(&mut self, partition: Partition, next: i64) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            *progress = Progress { next, since: Instant::now(), reported: false };
        }
    }

    /// Restarts the timers after a pause that this service caused itself.
    pub(super) fn resume(&mut self) {
        self.partitions.values_mut().for_each(|progress| progress.since = Instant::now());
    }

    /// Returns a problem, if any. Asks Kafka only about partitions without progress.
    pub(super) fn look(
        &mut self,
        consumer: &GroupConsumer,
        topic: &str,
        ends: &TopicLag,
    ) -> Option<Alarm> {
        if self.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        self.looked_at = Some(Instant::now());
        for (partition, progress) in &mut self.partitions {
            let Some(end) = ends.end(*partition) else { continue };
            // A partition that was read to its end is not stuck.
            if end == progress.next {
                progress.since = Instant::now();
            }
            let stood = progress.since.elapsed();
            if stood < SUSPICIOUS {
                continue;
            }
            // While Kafka is unreachable, further requests would only take time.
            let (low, high) =
                consumer.fetch_watermarks(topic, (*partition).into(), TIMEOUT).ok()?;
            // The second case is a partition that has lost all of its records.
            let trimmed = low > progress.next || (low >= high && low > 0);
            if trimmed && !progress.reported {
                // One report suffices, because the applier then reads the log to its end.
                progress.reported = true;
                return Some(Alarm::Trimmed(*partition));
            }
            if low >= high {
                // There is nothing to read: the topic is empty or was recreated.
                *progress =
                    Progress { next: high, since: Instant::now(), reported: progress.reported };
            } else if stood >= STUCK {
                return Some(Alarm::Stuck(*partition));
            }
        }
        None
    }
}
