//! Rate of a principal's requests.

use std::collections::HashMap;
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

    /// Takes one request.
    ///
    /// # Errors
    /// Returns the time after which it is permitted.
    pub fn take(&self) -> Result<(), Duration> {
        self.take_many(NonZeroU32::MIN)
    }

    /// Takes the further parts of a request that was taken, at most the rest of one second: a
    /// request with more parts would never be permitted.
    ///
    /// # Errors
    /// Returns the time after which they are permitted.
    pub fn take_parts(&self, further: usize) -> Result<(), Duration> {
        let further = u32::try_from(further).unwrap_or(u32::MAX).min(self.per_second.get() - 1);
        NonZeroU32::new(further).map_or(Ok(()), |further| self.take_many(further))
    }

    fn take_many(&self, count: NonZeroU32) -> Result<(), Duration> {
        match self.limiter.check_n(count) {
            // The burst permits the requests of a second.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }
}

/// Rates of principals and tenants, by name.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<String, Rate>);

impl Rates {
    /// Returns rates with these limits. One whose limit is the same keeps its rate, so that
    /// a change of the file does not permit another burst.
    pub(super) fn of(&self, limits: &HashMap<String, NonZeroU32>) -> Self {
        let rate = |(name, limit): (&String, &NonZeroU32)| {
            let known = self.0.get(name).filter(|rate| rate.per_second == *limit);
            (name.clone(), known.cloned().unwrap_or_else(|| Rate::new(*limit)))
        };
        Self(limits.iter().map(rate).collect())
    }

    /// Returns the rate of a name, if it has one.
    pub(super) fn get(&self, name: &str) -> Option<Rate> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: [Result<(), Duration>; 3] = [Ok(()); 3];

    #[test]
    fn a_rate_permits_the_requests_of_a_second_at_once() {
        let rate = Rate::new(NonZeroU32::new(50).unwrap());
        assert_eq!([rate.take(), rate.take_parts(19), rate.clone().take_parts(30)], OK);
        let wait = rate.take_parts(25).unwrap_err();
        assert!(
            wait > Duration::from_millis(300) && wait <= Duration::from_millis(500),
            "{wait:?}"
        );
    }

    #[test]
    fn a_request_with_more_parts_than_a_second_permits_is_taken_as_a_second() {
        for per_second in [1, 2, 10] {
            let rate = Rate::new(NonZeroU32::new(per_second).unwrap());
            assert_eq!([rate.take(), rate.take_parts(0), rate.take_parts(1_000)], OK);
            assert!(rate.take().is_err(), "{per_second}");
        }
    }
}
