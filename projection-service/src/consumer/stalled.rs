//! Detection of partitions whose position does not change although there is an event to apply.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use passbook_shared::partition::Partition;

use super::topic_lag::TopicLag;
use crate::checkpoint::Checkpoint;
use crate::feed::Feed;

/// Maximum time between two requests to the log.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Detector of stalled partitions.
#[derive(Debug)]
pub(super) struct Stalled {
    limit: Duration,
    standing: BTreeMap<Partition, Standing>,
    /// Partitions with a later event in the log at the last request; none if the request failed.
    waiting: Option<BTreeSet<Partition>>,
    asked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    position: i64,
    /// Time at which an event after the position was first seen.
    since: Option<Instant>,
}

/// A stalled partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) partition: Partition,
    /// Position of the last applied event.
    pub(super) position: i64,
    pub(super) age: Duration,
}

impl Stalled {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, standing: BTreeMap::new(), waiting: None, asked_at: None }
    }

    /// Returns the partitions that have been stalled for longer than the limit. The log shows
    /// whether there is an event to apply, or the topic if the log is unreachable.
    pub(super) async fn look(
        &mut self,
        checkpoints: &[Checkpoint],
        ends: &TopicLag,
        feed: &Feed,
    ) -> Vec<Stall> {
        // A short limit needs several answers of the log within it.
        let every = ASK_EVERY.min(self.limit / 3);
        if self.asked_at.is_none_or(|at| at.elapsed() >= every) {
            self.waiting = self.ask(checkpoints, feed).await;
            self.asked_at = Some(Instant::now());
        }
        // `note` changes `self` while `behind` reads this set.
        let waiting = self.waiting.take();
        let behind = |checkpoint: &Checkpoint| match &waiting {
            Some(waiting) => waiting.contains(&checkpoint.partition),
            None => ends
                .lag(checkpoint.partition, checkpoint.kafka_offset)
                .is_some_and(|lag| lag.events > 0),
        };
        let stalls = self.note(Instant::now(), checkpoints, behind);
        self.waiting = waiting;
        stalls
    }

    /// Returns the time since the position of each partition changed, 0 if no event waits.
    pub(super) fn ages(&self) -> impl Iterator<Item = (Partition, Duration)> {
        let age = |since: Option<Instant>| since.map(|since| since.elapsed()).unwrap_or_default();
        self.standing.iter().map(move |(partition, standing)| (*partition, age(standing.since)))
    }

    /// Returns the partitions with a later event in the log. Skips partitions whose position has
    /// changed since the last round.
    async fn ask(&self, checkpoints: &[Checkpoint], feed: &Feed) -> Option<BTreeSet<Partition>> {
        let mut waiting = BTreeSet::new();
        for Checkpoint { partition, position, .. } in checkpoints {
            if self.standing.get(partition).is_some_and(|standing| standing.position == *position)
                // After one failed request, the topic decides for all partitions.
                && feed.event_at(*partition, position + 1).await.ok()?.is_some()
            {
                waiting.insert(*partition);
            }
        }
        Some(waiting)
    }

    fn note(
        &mut self,
        now: Instant,
        checkpoints: &[Checkpoint],
        behind: impl Fn(&Checkpoint) -> bool,
    ) -> Vec<Stall> {
        self.standing.retain(|partition, _| {
            checkpoints.iter().any(|checkpoint| checkpoint.partition == *partition)
        });
        let mut stalls = Vec::new();
        for checkpoint in checkpoints {
            let Checkpoint { partition, position, .. } = *checkpoint;
            let before = self.standing.get(&partition).filter(|before| before.position == position);
            let since = match before {
                Some(before) if behind(checkpoint) => Some(before.since.unwrap_or(now)),
                _ => None,
            };
            self.standing.insert(partition, Standing { position, since });
            let age = since.map(|since| now.duration_since(since)).filter(|age| *age >= self.limit);
            stalls.extend(age.map(|age| Stall { partition, position, age }));
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u8, position: i64) -> Checkpoint {
        Checkpoint {
            partition: Partition::new(partition),
            position,
            epoch: 0,
            kafka_offset: None,
            event_id: None,
            recorded_at: None,
        }
    }

    #[test]
    fn only_what_stands_with_something_to_apply_has_stalled() {
        let mut stalled = Stalled::new(Duration::from_secs(30));
        let begin = Instant::now();
        let mut look = |seconds, positions: [i64; 3], behind: &[usize]| {
            let checkpoints: Vec<Checkpoint> =
                (0..).zip(positions).map(|(p, position)| at(p, position)).collect();
            let now = begin + Duration::from_secs(seconds);
            let stalls = stalled.note(now, &checkpoints, |checkpoint| {
                behind.contains(&checkpoint.partition.index())
            });
            stalls
                .iter()
                .map(|stall| (stall.partition.index(), stall.position, stall.age.as_secs()))
                .collect::<Vec<_>>()
        };
        assert!(look(0, [5, 5, 5], &[]).is_empty());
        // Partition 0 is stalled, 1 moves, 2 has nothing to apply.
        assert!(look(10, [5, 6, 5], &[0, 1]).is_empty());
        assert!(look(30, [5, 7, 5], &[0, 1]).is_empty());
        assert_eq!(look(40, [5, 8, 5], &[0, 1]), [(0, 5, 30)]);
        assert_eq!(look(60, [5, 8, 5], &[0, 1, 2]), [(0, 5, 50)]);
        // Partition 0 moves; partitions 1 and 2 have been stalled since second 60.
        assert_eq!(look(95, [6, 8, 5], &[0, 1, 2]), [(1, 8, 35), (2, 5, 35)]);
        assert_eq!(look(100, [6, 9, 5], &[0, 1, 2]), [(2, 5, 40)]);
        assert!(look(200, [6, 9, 5], &[]).is_empty());
    }
}
