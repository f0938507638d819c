//! Detection of partitions with too many inapplicable events, before any event of a batch is
//! applied.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use sqlx::PgConnection;

use crate::consumer::failure_rate::Limit;
use crate::store::apply::QuarantinedRecord;
use crate::store::quarantine;

/// A partition that exceeds the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) partition: Partition,
    /// Positions of inapplicable events that are not yet quarantined.
    positions: Vec<i64>,
    /// Reason of the newest of them.
    reason: String,
}

/// Returns the partitions that stop instead of quarantining these events.
pub(super) async fn find(
    connection: &mut PgConnection,
    limit: Limit,
    quarantined: &[QuarantinedRecord],
) -> sqlx::Result<Vec<Failing>> {
    let mut partitions = BTreeMap::<Partition, Failing>::new();
    // A waiting event was not tried, so only the event before it has failed.
    for failure in quarantined.iter().filter(|quarantined| !quarantined.waits) {
        let failing = partitions.entry(failure.partition).or_insert_with(|| Failing {
            partition: failure.partition,
            positions: Vec::new(),
            reason: String::new(),
        });
        failing.positions.extend(failure.position);
        failing.reason.clone_from(&failure.reason);
    }
    let mut too_many = Vec::new();
    for failing in partitions.into_values() {
        if failing.is_too_much(connection, limit).await? {
            too_many.push(failing);
        }
    }
    Ok(too_many)
}

impl Failing {
    /// Returns whether the limit is exceeded, counting the events in quarantine.
    pub(crate) async fn is_too_much(
        &self,
        connection: &mut PgConnection,
        limit: Limit,
    ) -> sqlx::Result<bool> {
        let Some(first) = self.positions.first() else { return Ok(false) };
        // No new failure has an earlier one in its window.
        let before = quarantine::failures(connection, self.partition, first - limit.window).await?;
        Ok(limit.is_exceeded(&before, &self.positions))
    }

    /// Returns the reason for the stop and the remedies, in words.
    pub(crate) fn explain(&self, limit: Limit) -> String {
        let Limit { percent, window } = limit;
        let next = self.positions.first().copied().unwrap_or_default();
        format!(
            "partition {0} stops before position {0}-{next}: more than {percent} % of its last \
             {window} events can't be applied. The newest: {1}. Deploy a version that knows these \
             events, raise QUARANTINE_LIMIT_PERCENT and restart, or resolve the entries of \
             /admin/quarantine",
            self.partition, self.reason
        )
    }
}
