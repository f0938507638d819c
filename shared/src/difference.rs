//! What is not as it should be, in the log and in what is made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::partition::Partition;

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DifferenceKind)]
pub enum What {
    /// The log: events are missing, its positions are not dense.
    LogPositions,
    /// The log: an account's versions are not dense; events of it are missing, or there twice.
    LogVersions,
    /// The log: an event is there a second time.
    LogEventTwice,
    /// The log: an event was recorded before the one ahead of it.
    LogTime,
    /// The log has an event that the rules do not allow on the account before it, or without its other leg.
    LogRule,
    /// The head of a partition is not at the last event of the log.
    LogHead,
    /// A snapshot of an account is not what its events give.
    SnapshotDiffers,
    /// A row of `holds` is missing, is not what the events give, or is of no event.
    HoldDiffers,
    /// A row of `transfers` is missing, is not what the events give, or is of no event.
    TransferDiffers,
    /// A row of `reversals` is missing, is not what the events give, or is of no event.
    ReversalDiffers,
    /// The log has an event that can't be applied, and that is not in quarantine.
    NotSetAside,
    /// A partition's checkpoint is not of the log's event at its position, or beyond the log's end.
    Checkpoint,
    /// An account is not in the views.
    AccountMissing,
    /// An account is in the views as the log does not have it.
    AccountDiffers,
    /// An account is in the views, and not in the log.
    AccountTooMany,
    /// An entry of an account's history is not in the views.
    HistoryMissing,
    /// An entry is in the views as the log does not have it.
    HistoryDiffers,
    /// An entry is in the views, and not in the log.
    HistoryTooMany,
    /// An account has events in quarantine, and one that should wait behind them is not there.
    QuarantineMissing,
    /// What is in quarantine is not the log's event.
    QuarantineDiffers,
    /// There is more in quarantine than the log has.
    QuarantineTooMany,
}

/// One of them: what the log says, and what was found. Of a row that differs, the columns that do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"what": "account_differs", "partition": 3, "account_id": "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60",
    "expected": {"balance": 25_000}, "found": {"balance": 26_000}}))]
pub struct Difference {
    /// What it is.
    pub what: What,
    /// Of the log.
    #[schema(value_type = i32, minimum = 0, examples(3))]
    pub partition: Partition,
    /// If it is of an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub account_id: Option<Uuid>,
    /// If it is of one event of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub version: Option<i64>,
    /// What the log says; null if it says nothing.
    pub expected: Value,
    /// What is there; null if there is nothing.
    pub found: Value,
}

impl Difference {
    /// Returns one of which nothing was expected and nothing found, yet.
    pub fn new(
        what: What,
        partition: Partition,
        account_id: Option<Uuid>,
        version: Option<i64>,
    ) -> Self {
        Self { what, partition, account_id, version, expected: Value::Null, found: Value::Null }
    }
}

/// Differences: how many, and some of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The first 20, and the first of each kind.
    pub samples: Vec<Difference>,
}

impl Findings {
    const SAMPLES: usize = 20;

    /// Adds one.
    pub fn add(&mut self, difference: impl FnOnce() -> Difference) {
        self.count += 1;
        self.show(difference());
    }

    /// Adds others, found later.
    pub fn merge(&mut self, later: Self) {
        self.count += later.count;
        later.samples.into_iter().for_each(|sample| self.show(sample));
    }

    /// Many of one kind do not hide another.
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
    fn all_are_counted_and_the_first_are_kept() {
        let some = |count: u64| {
            let mut findings = Findings::default();
            for number in 0..count {
                findings.add(|| {
                    Difference::new(What::HistoryMissing, 3, None, i64::try_from(number).ok())
                });
            }
            findings
        };
        let mut findings = some(15);
        findings.merge(some(30));
        assert_eq!((findings.count, findings.samples.len()), (45, 20));
        assert_eq!(findings.samples[15].version, Some(0));
        for _ in 0..2 {
            findings.add(|| Difference::new(What::LogRule, 3, None, None));
        }
        assert_eq!((findings.count, findings.samples.len()), (47, 21), "the first of each kind");
    }
}
