//! Recurring faults: logged when they begin, at growing intervals with their count, and when they
//! end.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Interval between two log lines of a fault: the first one, and the maximum.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));
/// Time without an occurrence after which the next one begins a new fault.
const QUIET: Duration = Duration::from_secs(60);

/// Fault that can recur, usable as a `static`.
#[derive(Debug)]
pub struct Fault {
    name: &'static str,
    run: Mutex<Option<Occurrences>>,
}

/// Occurrences of a fault since it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrences {
    count: u64,
    since: Instant,
    last: Instant,
    next: Instant,
    interval: Duration,
}

impl Occurrences {
    pub(crate) fn begin(now: Instant) -> Self {
        Self { count: 1, since: now, last: now, next: now + INTERVALS.0, interval: INTERVALS.0 }
    }

    /// Counts an occurrence. Returns true if it is due to be logged.
    pub(crate) fn again(&mut self, now: Instant) -> bool {
        self.count += 1;
        self.last = now;
        let is_due = now >= self.next;
        if is_due {
            self.interval = (self.interval * 3).min(INTERVALS.1);
            self.next = now + self.interval;
        }
        is_due
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn seconds(&self, now: Instant) -> u64 {
        now.duration_since(self.since).as_secs()
    }
}

impl Fault {
    /// Creates a fault with the name that the log shows, such as "holds don't expire".
    pub const fn new(name: &'static str) -> Self {
        Self { name, run: Mutex::new(None) }
    }

    /// Counts an occurrence. Logs a warning at the first one and after each interval.
    pub fn occurred(&self, reason: impl fmt::Display) {
        self.occurred_at(Instant::now(), &reason);
    }

    /// Ends the fault. Logs that, if it had occurred; takes a lock otherwise.
    pub fn ended(&self) {
        self.ended_at(Instant::now());
    }

    fn occurred_at(&self, now: Instant, reason: &dyn fmt::Display) {
        let mut run = self.run.lock();
        match &mut *run {
            Some(run) if now.duration_since(run.last) < QUIET => {
                if run.again(now) {
                    let (times, seconds) = (run.count(), run.seconds(now));
                    tracing::warn!(%reason, times, seconds, "{} still", self.name);
                }
            }
            _ => {
                *run = Some(Occurrences::begin(now));
                tracing::warn!(%reason, "{}", self.name);
            }
        }
    }

    fn ended_at(&self, now: Instant) {
        let run = self.run.lock().take();
        if let Some(run) = run {
            tracing::info!(times = run.count(), seconds = run.seconds(now), "over: {}", self.name);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
