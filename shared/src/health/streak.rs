//! Hysteresis of a periodic check: a single slow answer does not make a service unready.

use std::time::{Duration, Instant};

/// Number of consecutive failures that make a check failing.
const FAILURES: u32 = 3;
/// Time without a success that makes a check failing, regardless of the number of failures.
const SILENCE: Duration = Duration::from_secs(5);

/// Failures of one check since its last success.
#[derive(Debug, Clone, Copy)]
pub struct Streak {
    failures: u32,
    last_success: Instant,
}

impl Streak {
    /// Creates a streak that begins with a success.
    pub fn begin(now: Instant) -> Self {
        Self { failures: 0, last_success: now }
    }

    /// Resets the streak: one success is enough to recover.
    pub fn succeeded(&mut self, now: Instant) {
        *self = Self::begin(now);
    }

    /// Counts a failure. Returns the time since the last success once the check is failing.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.failures += 1;
        let silent = now.duration_since(self.last_success);
        (self.failures >= FAILURES || silent >= SILENCE).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_fails_after_three_failures_or_five_seconds_and_recovers_with_one_success() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut streak = Streak::begin(begin);
        assert_eq!(streak.failed(at(1)), None);
        assert_eq!(streak.failed(at(2)), None);
        assert_eq!(streak.failed(at(3)), Some(Duration::from_secs(3)));
        streak.succeeded(at(4));
        assert_eq!(streak.failed(at(5)), None);
        assert_eq!(streak.failed(at(9)), Some(Duration::from_secs(5)), "two failures in 5 s");
    }
}
