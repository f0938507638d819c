//! Distance of the views from the end of the topic, in records and in time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use passbook_shared::partition::Partition;

use super::causes::Causes;

/// Maximum number of samples of a lagging partition. Beyond it, every second sample is dropped.
const SAMPLES: usize = 512;

/// End of each partition of the topic, with the times at which it was seen.
#[derive(Debug, Default)]
pub struct TopicLag {
    partitions: Mutex<BTreeMap<Partition, VecDeque<Sample>>>,
    started: AtomicBool,
    /// Reasons why reading may have stopped.
    pub(super) causes: Causes,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    end: i64,
}

/// Lag of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Offset after the last record of the topic.
    pub end: i64,
    /// Number of records not read yet.
    pub events: i64,
    /// Age of the oldest of those records in milliseconds, accurate to a second.
    pub millis: i64,
}

impl TopicLag {
    /// Returns the offset after the last record of a partition, as last seen.
    pub fn end(&self, partition: Partition) -> Option<i64> {
        let partitions = self.partitions.lock();
        partitions.get(&partition)?.back().map(|sample| sample.end)
    }

    /// Returns the lag of a partition that was read up to but not including `offset`.
    pub fn lag(&self, partition: Partition, offset: Option<i64>) -> Option<Lag> {
        let mut partitions = self.partitions.lock();
        let samples = partitions.get_mut(&partition)?;
        let end = samples.back()?.end;
        let offset = offset.unwrap_or(0);
        // The last sample stays, because it holds the end.
        while samples.len() > 1 && samples.front().is_some_and(|sample| sample.end <= offset) {
            samples.pop_front();
        }
        let oldest =
            samples.front().filter(|sample| sample.end > offset).map(|sample| sample.at.elapsed());
        Some(match oldest {
            None => Lag { end, events: 0, millis: 0 },
            Some(age) => Lag {
                end,
                events: end - offset,
                millis: age.as_millis().try_into().unwrap_or(i64::MAX),
            },
        })
    }

    /// Returns whether reading has ever begun.
    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Notes that reading has begun.
    pub fn has_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn note(&self, ends: BTreeMap<Partition, i64>) {
        let at = Instant::now();
        let mut partitions = self.partitions.lock();
        partitions.retain(|partition, _| ends.contains_key(partition));
        for (partition, end) in ends {
            let samples = partitions.entry(partition).or_default();
            if samples.back().is_some_and(|last| last.end > end) {
                // The topic was recreated, and its offsets start from 0.
                samples.clear();
            }
            if samples.back().is_none_or(|last| last.end < end) {
                samples.push_back(Sample { at, end });
            }
            if samples.len() > SAMPLES {
                let mut nth = 0_usize;
                // The first sample is kept, because it determines the age of the lag.
                samples.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
            }
        }
    }
}
