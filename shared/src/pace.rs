use std::time::Duration;

use tokio::time::Instant;

/// Rate from which on the pause is the longest, in events per millisecond. A small machine is busy
/// then, and larger batches save processor time.
const BUSY: f64 = 24.0;
/// Smallest part of the longest pause. A shorter pause would make a batch of each event of a single
/// client, which costs more than it gains.
const SMALLEST: f64 = 0.5;

/// Pause between the starts of batches: the longer, the higher the rate of events.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    longest: Duration,
    started: Instant,
}

impl Pace {
    /// Creates a pace whose first batch can start at once.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self { longest, started: Instant::now() }
    }

    /// Notes that a batch starts, and returns the earliest start of the next one.
    pub fn start(&mut self, events: usize) -> Instant {
        let (before, now) = (self.started, Instant::now());
        self.started = now;
        now + pause(self.longest, events, now - before)
    }
}

/// Returns the pause after `events` that arrived within a time.
fn pause(longest: Duration, events: usize, within: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_millisecond = events as f64 / (within.as_secs_f64() * 1e3).max(0.001);
    longest.mul_f64((per_millisecond / BUSY).clamp(SMALLEST, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_rate_up_to_the_longest() {
        let longest = Duration::from_millis(4);
        let after = |events, millis| pause(longest, events, Duration::from_millis(millis));
        assert_eq!(after(0, 10), longest / 2);
        assert_eq!(after(24, 2), longest / 2);
        assert_eq!(after(36, 2), longest * 3 / 4);
        assert_eq!(after(48, 2), longest);
        assert_eq!(after(10_000, 2), longest);
        assert_eq!(after(1, 0), longest, "two batches at one moment");
    }
}
