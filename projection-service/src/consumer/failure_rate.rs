//! Limit on the share of a partition's recent events that may be quarantined before it stops.

/// Limit on the failure rate of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Maximum share, in percent.
    pub percent: i64,
    /// Number of recent events over which the share is computed.
    pub window: i64,
}

/// Number of failures below which a partition never stops.
const LEAST: usize = 50;

impl Limit {
    /// Returns whether the failures exceed the limit at any of the `new` positions. `before` has
    /// the positions of earlier failures.
    pub(crate) fn is_exceeded(self, before: &[i64], new: &[i64]) -> bool {
        let mut places: Vec<i64> = before.iter().chain(new).copied().collect();
        places.sort_unstable();
        // Earlier failures alone never stop a partition.
        new.iter().any(|at| {
            let up_to = |place: i64| places.partition_point(|failed| *failed <= place);
            let failed = up_to(*at) - up_to(*at - self.window);
            let share = i64::try_from(failed).unwrap_or(i64::MAX).saturating_mul(100);
            // The first events of a partition are a window of their own.
            failed >= LEAST && share > self.percent * self.window.min(*at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { percent: 10, window: 1_000 };

    fn every(step: usize, count: usize) -> Vec<i64> {
        (1..=count).map(|n| i64::try_from(n * step).unwrap()).collect()
    }

    #[test]
    fn a_tenth_may_fail_and_no_more() {
        assert!(!LIMIT.is_exceeded(&[], &every(10, 5_000)));
        assert!(LIMIT.is_exceeded(&[], &every(9, 5_000)));
        assert!(LIMIT.is_exceeded(&every(10, 500), &[4_999]), "one more among a tenth");
        assert!(
            !LIMIT.is_exceeded(&every(10, 500), &[6_001]),
            "later, when others are past the window"
        );
    }

    #[test]
    fn few_failures_stop_nothing_and_the_first_events_are_a_window_of_their_own() {
        assert!(!LIMIT.is_exceeded(&[], &every(1, 49)));
        assert!(LIMIT.is_exceeded(&[], &every(1, 50)));
        assert!(LIMIT.is_exceeded(&every(1, 49), &[499]));
        assert!(!LIMIT.is_exceeded(&every(1, 49), &[500]), "a tenth of 500");
    }

    #[test]
    fn what_failed_before_stops_nothing_by_itself() {
        assert!(!LIMIT.is_exceeded(&every(1, 900), &[]));
    }

    #[test]
    fn all_may_fail_if_one_wants_that() {
        assert!(!Limit { percent: 100, ..LIMIT }.is_exceeded(&[], &every(1, 5_000)));
    }
}
