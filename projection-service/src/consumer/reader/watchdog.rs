//! Notices when the client does not read what is there, and when the topic lost what was still to be read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use passbook_shared::partition::Partition;
use rdkafka::consumer::Consumer as _;

use crate::checkpoint::Checkpoint;
use crate::consumer::client::GroupConsumer;
use crate::consumer::ends::Ends;

const EVERY: Duration = Duration::from_secs(1);
/// No progress for so long, with records to be read: worth a closer look.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// No progress for so long, with records to be read: the client is stuck.
const STUCK: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(2);

/// How far each partition was read.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    partitions: BTreeMap<Partition, Progress>,
    looked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The offset to be read next.
    next: i64,
    /// Since when it is this, with others to be read.
    since: Instant,
    /// A loss was told already.
    told: bool,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Records that were not read yet are gone.
    Trimmed(Partition),
    /// Records are there and are not read.
    Stuck(Partition),
}

impl Watchdog {
    /// Watches these from now on, and no others.
    pub(super) fn begin(&mut self, checkpoints: &[Checkpoint]) {
        let since = Instant::now();
        let progress = |next: Option<i64>| Progress { next: next.unwrap_or(0), since, told: false };
        self.partitions =
            checkpoints.iter().map(|c| (c.partition, progress(c.kafka_offset))).collect();
    }

    /// A partition was read up to before `next`.
    pub(super) fn read(&mut self, partition: Partition, next: i64) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            *progress = Progress { next, since: Instant::now(), told: false };
        }
    }

    /// Reading was held up by us: it is no fault of the client's that it stood still.
    pub(super) fn resume(&mut self) {
        self.partitions.values_mut().for_each(|progress| progress.since = Instant::now());
    }

    /// What is wrong, if something is. Costs nothing while all goes well.
    pub(super) fn look(
        &mut self,
        consumer: &GroupConsumer,
        topic: &str,
        ends: &Ends,
    ) -> Option<Alarm> {
        if self.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        self.looked_at = Some(Instant::now());
        for (partition, progress) in &mut self.partitions {
            let Some(end) = ends.end(*partition) else { continue };
            if end == progress.next {
                progress.since = Instant::now();
            }
            let stood = progress.since.elapsed();
            if stood < SUSPICIOUS {
                continue;
            }
            // Kafka is away: asking for the others would only take time.
            let (low, high) =
                consumer.fetch_watermarks(topic, (*partition).into(), TIMEOUT).ok()?;
            let trimmed = low > progress.next || (low >= high && low > 0);
            if trimmed && !progress.told {
                progress.told = true;
                return Some(Alarm::Trimmed(*partition));
            }
            if low >= high {
                // Nothing to be read: an empty topic, or one that was made anew.
                *progress = Progress { next: high, since: Instant::now(), told: progress.told };
            } else if stood >= STUCK {
                return Some(Alarm::Stuck(*partition));
            }
        }
        None
    }
}
