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
    pub(super) fn start() -> Self {
        Self { up_to_date: Instant::now(), mark: None }
    }

    /// Notes the heads of the log, and returns the lag. `is_acknowledged` returns true if Kafka has
    /// the event at a position.
    pub(super) fn look(
        &mut self,
        heads: impl Iterator<Item = (Partition, i64)>,
        is_acknowledged: impl Fn(Partition, i64) -> bool,
    ) -> Duration {
        let mark = self.mark.take().unwrap_or_else(|| Mark::now(heads));
        if mark.heads.iter().all(|(partition, head)| is_acknowledged(*partition, *head)) {
            // Kafka may lack events that came after the mark.
            self.up_to_date = mark.at;
            return Duration::ZERO;
        }
        self.mark = Some(mark);
        self.elapsed()
    }

    /// Returns the lag while no session publishes.
    pub(super) fn elapsed(&self) -> Duration {
        self.up_to_date.elapsed()
    }

    /// Forgets the heads, because a new session may publish other partitions.
    pub(super) fn session_ended(&mut self) {
        self.mark = None;
    }
}

impl Mark {
    fn now(heads: impl Iterator<Item = (Partition, i64)>) -> Self {
        Self { at: Instant::now(), heads: heads.collect() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_lag_counts_from_the_last_time_at_which_kafka_had_everything() {
        let partition = Partition::try_from(3).unwrap();
        let mut clock = LagClock::start();
        let look = |clock: &mut LagClock, head, acknowledged| {
            clock.look([(partition, head)].into_iter(), |_, position| position <= acknowledged)
        };
        advance(SECOND).await;
        assert_eq!(clock.elapsed(), SECOND, "no session has begun");
        assert_eq!(look(&mut clock, 5, 5), Duration::ZERO);
        advance(SECOND).await;
        assert_eq!(look(&mut clock, 7, 5), SECOND);
        advance(SECOND).await;
        assert_eq!(look(&mut clock, 9, 6), 2 * SECOND);
        clock.session_ended();
        advance(SECOND).await;
        assert_eq!(clock.elapsed(), 3 * SECOND);
        assert_eq!(look(&mut clock, 9, 6), 3 * SECOND);
        advance(SECOND).await;
        assert_eq!(look(&mut clock, 20, 9), Duration::ZERO, "the mark is reached");
        assert_eq!(look(&mut clock, 20, 19), SECOND, "since the mark");
    }
}
