//! Time for which the relay has been behind the log.

use std::time::Duration;

use passbook_shared::partition::Partition;
use tokio::time::Instant;

/// Clock of a relay's lag, over all of its sessions.
#[derive(Debug)]
pub(super) struct LagClock {
    /// Last time at which Kafka was known to have every event of the log.
    up_to_date: Instant,
    /// Heads of the log at some later time, until Kafka has acknowledged their events.
    mark: Option<Mark>,
}

#[derive(Debug)]
struct Mark {
    at: Instant,
    heads: Vec<(Partition, i64)>,
}

impl LagClock {
    /// Starts a clock. The relay is behind until the first [`LagClock::look`].
    pub(super) fn start(now: Instant) -> Self {
        Self { up_to_date: now, mark: None }
    }

    /// Notes the heads of the log, and returns the lag. `is_acknowledged` returns true if Kafka has
    /// the event at a position.
    pub(super) fn look(
        &mut self,
        now: Instant,
        heads: impl Iterator<Item = (Partition, i64)>,
        is_acknowledged: impl Fn(Partition, i64) -> bool,
    ) -> Duration {
        let mark = self.mark.take().unwrap_or_else(|| Mark { at: now, heads: heads.collect() });
        if mark.heads.iter().all(|(partition, head)| is_acknowledged(*partition, *head)) {
            // Kafka may lack events that came after the mark.
            self.up_to_date = mark.at;
            return Duration::ZERO;
        }
        self.mark = Some(mark);
        self.elapsed(now)
    }

    /// Returns the lag while no session publishes.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now - self.up_to_date
    }

    /// Forgets the heads, because a new session may publish other partitions.
    pub(super) fn session_ended(&mut self) {
        self.mark = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_counts_from_the_last_time_at_which_kafka_had_everything() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = LagClock::start(start);
        let look = |clock: &mut LagClock, second, head, acknowledged| {
            let heads = [(Partition::new(3), head)].into_iter();
            clock.look(at(second), heads, |_, position| position <= acknowledged).as_secs()
        };
        assert_eq!(clock.elapsed(at(1)).as_secs(), 1, "no session has begun");
        assert_eq!(look(&mut clock, 1, 5, 5), 0);
        assert_eq!(look(&mut clock, 2, 7, 5), 1);
        assert_eq!(look(&mut clock, 3, 9, 6), 2);
        clock.session_ended();
        assert_eq!(clock.elapsed(at(4)).as_secs(), 3);
        assert_eq!(look(&mut clock, 4, 9, 6), 3);
        assert_eq!(look(&mut clock, 5, 20, 9), 0, "the mark is reached");
        assert_eq!(look(&mut clock, 5, 20, 19), 1, "since the mark");
    }
}
