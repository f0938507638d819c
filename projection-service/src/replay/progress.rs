//! Progress of a replay.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use super::error::ReplayError;
use crate::store::replays::Figures;

#[derive(Debug)]
pub(crate) struct Progress {
    done: AtomicI64,
    total: AtomicI64,
    from_log: AtomicI64,
    cancelled: AtomicBool,
    /// Start of this run, and the number of events done before it.
    began: (Instant, i64),
}

impl Progress {
    /// Continues from `done` events, `from_log` of them read from the log.
    pub(crate) fn new(done: i64, from_log: i64) -> Self {
        Self {
            done: AtomicI64::new(done),
            total: AtomicI64::new(done),
            from_log: AtomicI64::new(from_log),
            cancelled: AtomicBool::new(false),
            began: (Instant::now(), done),
        }
    }

    pub(crate) fn set_total(&self, total: i64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, events: usize) {
        self.done.fetch_add(i64::try_from(events).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Counts events that the topic lacked and the log supplied.
    pub(crate) fn add_from_log(&self, events: usize) {
        self.from_log.fetch_add(i64::try_from(events).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails once the replay is cancelled.
    pub(crate) fn go_on(&self) -> Result<(), ReplayError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(ReplayError::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn figures(&self) -> Figures {
        let done = self.done.load(Ordering::Relaxed);
        // The events of earlier runs would distort the rate of this one.
        let (at, before) = self.began;
        #[expect(clippy::cast_precision_loss, reason = "an approximate rate for display")]
        let per_second = (done - before) as f64 / at.elapsed().as_secs_f64().max(0.001);
        Figures {
            done,
            // The live views advance, so more events than planned may be done.
            total: self.total.load(Ordering::Relaxed).max(done),
            from_log: self.from_log.load(Ordering::Relaxed),
            per_second,
        }
    }
}
