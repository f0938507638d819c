//! Rate of all clients together.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

/// Longest pause of a client. A connection without a request for longer could be closed by the end
/// of a drain instead of by a response.
const LONGEST: Duration = Duration::from_millis(200);

/// Number of responses, and the pace that the clients keep. It begins without a limit.
#[derive(Default)]
pub(super) struct Pace {
    answered: AtomicUsize,
    /// Interval between two requests of a client, in microseconds.
    interval: AtomicU64,
}

impl Pace {
    /// Returns the number of responses so far.
    pub(super) fn count(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Returns the number of responses per second over a time.
    pub(super) async fn measure(&self, time: Duration) -> f64 {
        // The first requests connect, and fill caches.
        sleep(time / 4).await;
        let (begun, before) = (Instant::now(), self.count());
        sleep(time).await;
        (self.count() - before) as f64 / begun.elapsed().as_secs_f64()
    }

    /// Limits `clients` clients to a number of requests per second in total.
    pub(super) fn limit(&self, per_second: f64, clients: usize) {
        let interval = Duration::from_secs_f64(clients as f64 / per_second).min(LONGEST);
        let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        self.interval.store(interval, Ordering::Relaxed);
    }

    /// Counts a response, and waits for the next turn of its client. A client that is late leaves
    /// out the turns that it has missed.
    pub(super) async fn answered(&self, turn: &mut Instant) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        *turn += Duration::from_micros(self.interval.load(Ordering::Relaxed));
        let now = Instant::now();
        if *turn > now {
            sleep_until((*turn).into()).await;
        } else {
            *turn = now;
        }
    }
}
