//! Rate of a principal's requests.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Limit on a principal's requests per second. Clones share it.
#[derive(Clone)]
pub struct Rate {
    per_second: NonZeroU32,
    limiter: Arc<DefaultDirectRateLimiter>,
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rate({})", self.per_second)
    }
}

impl Rate {
    /// Creates a rate that permits a burst of one second's requests.
    pub fn new(per_second: NonZeroU32) -> Self {
        let limiter = Arc::new(RateLimiter::direct(Quota::per_second(per_second)));
        Self { per_second, limiter }
    }

    /// Takes `count` requests, at most those of one second.
    ///
    /// # Errors
    /// Returns the time after which they are permitted.
    pub fn take(&self, count: usize) -> Result<(), Duration> {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.per_second.get());
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        match self.limiter.check_n(count) {
            // The burst permits the requests of a second.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_permits_the_requests_of_a_second_at_once() {
        let rate = Rate::new(NonZeroU32::new(50).unwrap());
        assert_eq!((rate.take(0), rate.take(20), rate.clone().take(30)), (Ok(()), Ok(()), Ok(())));
        let wait = rate.take(25).unwrap_err();
        assert!(
            wait > Duration::from_millis(300) && wait <= Duration::from_millis(500),
            "{wait:?}"
        );
        // More than a second's requests are taken as those of a second.
        assert_eq!(Rate::new(NonZeroU32::MIN).take(1_000), Ok(()));
    }
}
