//! Hysteresis of a check that is made over and over: one slow answer does not make a service unready.

use std::time::{Duration, Instant};

/// Failures in a row that make a check fail.
const FAILURES: u32 = 3;
/// Time without a success that makes a check fail, however few failures it took.
const SILENCE: Duration = Duration::from_secs(5);

/// Outcomes of one check since its last success.
#[derive(Debug, Clone, Copy)]
pub struct Streak {
    failures: u32,
    last_success: Instant,
}

impl Streak {
    /// A check that has just succeeded.
    pub fn begin(now: Instant) -> Self {
        Self { failures: 0, last_success: now }
    }

    /// One success is enough to recover.
    pub fn succeeded(&mut self, now: Instant) {
        *self = Self::begin(now);
    }

    /// Counts a failure. Returns the time since the last success once the check is to be called failing.
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
    fn two_failures_are_none_three_are_and_one_success_recovers() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut streak = Streak::begin(begin);
        assert_eq!(streak.failed(at(1)), None);
        assert_eq!(streak.failed(at(2)), None);
        assert_eq!(streak.failed(at(3)), Some(Duration::from_secs(3)));
        streak.succeeded(at(4));
        assert_eq!(streak.failed(at(5)), None);
        // Few, but each took long.
        assert_eq!(streak.failed(at(9)), Some(Duration::from_secs(5)));
    }
}
