//! Differences between the log, its own side tables, and the views.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::partition::Partition;

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The positions of a partition of the log are not dense: events are missing.
    LogPositions,
    /// The versions of an account in the log are not dense: events are missing or repeated.
    LogVersions,
    /// The log has an event twice.
    LogEventTwice,
    /// The log has an event that was recorded before its predecessor.
    LogTime,
    /// The log has an event that the rules forbid in the account's state, or that lacks its other
    /// leg.
    LogRule,
    /// The head of a partition is not at its last event.
    LogHead,
    /// A snapshot of an account differs from the fold of its events.
    SnapshotDiffers,
    /// A row of `holds` is missing, differs from the events, or has no event.
    HoldDiffers,
    /// A row of `transfers` is missing, differs from the events, or has no event.
    TransferDiffers,
    /// A row of `reversals` is missing, differs from the events, or has no event.
    ReversalDiffers,
    /// The log has an event that cannot be applied and is not quarantined.
    NotSetAside,
    /// The checkpoint of a partition names another event than the log, or a position beyond its
    /// end.
    Checkpoint,
    /// The views lack an account.
    AccountMissing,
    /// An account in the views differs from the log.
    AccountDiffers,
    /// The views have an account that the log lacks.
    AccountTooMany,
    /// The views lack an entry.
    HistoryMissing,
    /// An entry in the views differs from the log.
    HistoryDiffers,
    /// The views have an entry that the log lacks.
    HistoryTooMany,
    /// The quarantine lacks an event that follows a quarantined event of its account.
    QuarantineMissing,
    /// A quarantined event differs from the log.
    QuarantineDiffers,
    /// The quarantine has events that the log lacks.
    QuarantineTooMany,
}

/// A difference. For a row that differs, `expected` and `found` have only the columns that differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"what": "account_differs", "partition": 3,
    "account_id": "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60",
    "expected": {"balance": 25_000}, "found": {"balance": 26_000}}))]
pub struct Difference {
    /// Kind of difference.
    pub what: DifferenceKind,
    /// Partition of the log.
    #[schema(value_type = i32, minimum = 0, examples(3))]
    pub partition: Partition,
    /// Account, if the difference concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub account_id: Option<Uuid>,
    /// Version, if the difference concerns one event of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub version: Option<i64>,
    /// Value by the log; null if the log has none.
    pub expected: Value,
    /// Value found; null if there is none.
    pub found: Value,
}

impl Difference {
    /// Creates a difference with nothing expected and nothing found.
    pub fn new(
        what: DifferenceKind,
        partition: Partition,
        account_id: Option<Uuid>,
        version: Option<i64>,
    ) -> Self {
        Self { what, partition, account_id, version, expected: Value::Null, found: Value::Null }
    }
}

/// Number of differences, with samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Number of differences.
    pub count: u64,
    /// First 20 differences, and the first of each kind.
    pub samples: Vec<Difference>,
}

impl Findings {
    const SAMPLES: usize = 20;

    /// Adds a difference.
    pub fn add(&mut self, difference: impl FnOnce() -> Difference) {
        self.count += 1;
        self.show(difference());
    }

    /// Adds findings of a later check.
    pub fn merge(&mut self, later: Self) {
        self.count += later.count;
        later.samples.into_iter().for_each(|sample| self.show(sample));
    }

    // A kind with many differences must not hide another kind.
    fn show(&mut self, sample: Difference) {
        let is_first = || !self.samples.iter().any(|shown| shown.what == sample.what);
        if self.samples.len() < Self::SAMPLES || is_first() {
            self.samples.push(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_differences_are_counted_and_the_first_are_kept() {
        let some = |count: u64| {
            let mut findings = Findings::default();
            for number in 0..count {
                findings.add(|| {
                    Difference::new(
                        DifferenceKind::HistoryMissing,
                        Partition::new(3),
                        None,
                        i64::try_from(number).ok(),
                    )
                });
            }
            findings
        };
        let mut findings = some(15);
        findings.merge(some(30));
        assert_eq!((findings.count, findings.samples.len()), (45, 20));
        assert_eq!(findings.samples[15].version, Some(0));
        for _ in 0..2 {
            findings
                .add(|| Difference::new(DifferenceKind::LogRule, Partition::new(3), None, None));
        }
        assert_eq!((findings.count, findings.samples.len()), (47, 21), "the first of each kind");
    }
}
