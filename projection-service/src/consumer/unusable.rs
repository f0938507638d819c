//! Report of unusable records of the topic. Each is counted. The first is reported at once, and
//! later ones are reported together with their number.

use std::collections::BTreeMap;
use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use tokio::time::Instant;

use super::judging::Flaw;
use crate::metrics;

/// Time for which readiness reports unusable records after the last one.
const SHOWN: Duration = Duration::from_secs(60);
/// Minimum time between two reports.
const PACE: Duration = Duration::from_secs(5);

/// Time during which an unknown epoch may be an epoch that has just begun.
const DOUBTED: Duration = Duration::from_secs(3);

const CHECK: &str = "topic";

/// Counts of unusable records.
#[derive(Debug)]
pub(super) struct Unusable {
    health: Health,
    /// Counts since readiness last reported none.
    counts: BTreeMap<Flaw, u64>,
    newest: Option<Newest>,
    reported_at: Option<Instant>,
    /// True if records came after the last report.
    is_due: bool,
    /// Number of records of an epoch that may have just begun, and the first of them.
    doubted: Option<(u64, Newest)>,
}

#[derive(Debug)]
struct Newest {
    at: Instant,
    partition: Partition,
    offset: i64,
    flaw: Flaw,
    reason: String,
}

impl Unusable {
    pub(super) fn new(health: Health) -> Self {
        health.ok(CHECK);
        Self {
            health,
            counts: BTreeMap::new(),
            newest: None,
            reported_at: None,
            is_due: false,
            doubted: None,
        }
    }

    /// Adds an unusable record. A record of an unknown epoch counts only if the epoch stays
    /// unknown.
    pub(super) fn note(
        &mut self,
        partition: Partition,
        offset: i64,
        flaw: Flaw,
        reason: String,
        at: Instant,
    ) {
        let newest = Newest { at, partition, offset, flaw, reason };
        if flaw == Flaw::UnknownEpoch {
            // The first record starts the time of the doubt, so later ones do not prolong it.
            self.doubted.get_or_insert((0, newest)).0 += 1;
        } else {
            self.count(1, newest, at);
        }
    }

    /// Drops the records of an unknown epoch. A new assignment reads them again.
    pub(super) fn trust(&mut self) {
        self.doubted = None;
    }

    fn count(&mut self, count: u64, newest: Newest, at: Instant) {
        metrics::unusable(newest.flaw.as_str(), count);
        *self.counts.entry(newest.flaw).or_default() += count;
        self.newest = Some(Newest { at, ..newest });
        self.is_due = true;
        if self.reported_at.is_none_or(|reported| reported + PACE <= at) {
            self.report(at);
        }
    }

    /// Returns the time at which [`Unusable::look`] is due.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let report = self.newest.as_ref().map(|newest| {
            self.reported_at
                .filter(|_| self.is_due)
                .map_or(newest.at + SHOWN, |reported| reported + PACE)
        });
        let doubted = self.doubted.as_ref().map(|(_, first)| first.at + DOUBTED);
        report.into_iter().chain(doubted).min()
    }

    /// Reports records since the last report; clears the report after a quiet period.
    pub(super) fn look(&mut self, now: Instant) {
        if let Some((count, first)) = self.doubted.take_if(|(_, first)| first.at + DOUBTED <= now) {
            self.count(count, first, now);
        }
        if self.is_due {
            if self.reported_at.is_none_or(|reported| reported + PACE <= now) {
                self.report(now);
            }
        } else if self.newest.as_ref().is_some_and(|newest| newest.at + SHOWN <= now) {
            self.newest = None;
            self.reported_at = None;
            self.counts.clear();
            self.health.ok(CHECK);
        }
    }

    fn report(&mut self, now: Instant) {
        let Some(Newest { partition, offset, flaw, reason, .. }) = &self.newest else { return };
        let counts: Vec<_> =
            self.counts.iter().map(|(flaw, count)| format!("{} {count}", flaw.as_str())).collect();
        // A foreign record can make its reason arbitrarily long.
        let reason = reason.chars().take(200).collect::<String>();
        self.health.degraded(
            CHECK,
            format!(
                "records of the topic are unusable and skipped ({}); the newest is at offset \
                 {offset} of partition {partition}, {}: {reason}. The views follow the log. Does \
                 another program write to KAFKA_TOPIC?",
                counts.join(", "),
                flaw.as_str()
            ),
        );
        self.reported_at = Some(now);
        self.is_due = false;
    }
}

#[cfg(test)]
mod tests {
    use passbook_shared::health::CheckState;

    use super::*;

    #[test]
    fn a_record_of_an_epoch_that_becomes_known_is_not_reported() {
        let health = Health::default();
        let mut unusable = Unusable::new(health.clone());
        let now = Instant::now();
        unusable.note(Partition::new(3), 7, Flaw::UnknownEpoch, "of epoch 1".to_owned(), now);
        assert_eq!(
            (unusable.next_look(), health.checks()[CHECK].state),
            (Some(now + DOUBTED), CheckState::Ok)
        );
        unusable.trust();
        assert_eq!(unusable.next_look(), None);
        for offset in 8..10 {
            unusable.note(
                Partition::new(3),
                offset,
                Flaw::UnknownEpoch,
                "of epoch 9".to_owned(),
                now,
            );
        }
        unusable.look(now + DOUBTED);
        let reason = health.checks()[CHECK].reason.clone().unwrap_or_default();
        assert!(reason.contains("unknown_epoch 2)") && reason.contains("offset 8"), "{reason}");
    }

    #[test]
    fn a_thousand_records_are_reported_at_once_then_with_their_number_then_no_more() {
        let health = Health::default();
        let mut unusable = Unusable::new(health.clone());
        let reason = || health.checks()[CHECK].reason.clone().unwrap_or_default();
        let now = Instant::now();
        for offset in 0..1_000 {
            unusable.note(Partition::new(3), offset, Flaw::Undecodable, "no JSON".to_owned(), now);
        }
        assert!(
            reason().contains("undecodable 1)") && reason().contains("offset 0 of partition 3"),
            "{}",
            reason()
        );
        unusable.look(unusable.next_look().unwrap());
        assert!(
            reason().contains("undecodable 1000)") && reason().contains("offset 999"),
            "{}",
            reason()
        );
        assert!(health.is_ready());
        let quiet = unusable.next_look().unwrap();
        assert_eq!(quiet, now + SHOWN);
        unusable.look(quiet);
        assert_eq!(health.checks()[CHECK].state, CheckState::Ok);
        assert_eq!(unusable.next_look(), None);
    }
}
