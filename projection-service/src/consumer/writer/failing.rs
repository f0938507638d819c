//! Partitions of which too many events can't be applied: found before anything of the batch is.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use sqlx::PgConnection;

use crate::consumer::share::Limit;
use crate::store::apply::QuarantinedRecord;
use crate::store::quarantine;

/// A partition that stops.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) partition: Partition,
    /// Where in the log events can't be applied that are not set aside for that.
    positions: Vec<i64>,
    /// Of the newest of them.
    reason: String,
}

/// The partitions that stop rather than set these aside.
pub(super) async fn find(
    connection: &mut PgConnection,
    limit: Limit,
    set_aside: &[QuarantinedRecord],
) -> sqlx::Result<Vec<Failing>> {
    let mut partitions = BTreeMap::<Partition, Failing>::new();
    for failure in set_aside.iter().filter(|set_aside| !set_aside.waits) {
        let failing = partitions.entry(failure.partition).or_default();
        failing.partition = failure.partition;
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
    /// Whether they would be too many, with those that are set aside now.
    pub(crate) async fn is_too_much(
        &self,
        connection: &mut PgConnection,
        limit: Limit,
    ) -> sqlx::Result<bool> {
        let Some(first) = self.positions.first() else { return Ok(false) };
        let before = quarantine::failures(connection, self.partition, first - limit.window).await?;
        Ok(limit.is_exceeded(&before, &self.positions))
    }

    /// What is wrong, and what helps, for people.
    pub(crate) fn explain(&self, limit: Limit) -> String {
        let Limit { percent, window } = limit;
        let next = self.positions.first().copied().unwrap_or_default();
        format!(
            "partition {0} stops before position {0}-{next}: more than {percent} % of its last {window} events can't be \
             applied. The newest: {1}. Deploy a version that knows these events, or raise QUARANTINE_LIMIT_PERCENT, \
             and restart; or settle what is in /admin/quarantine",
            self.partition, self.reason
        )
    }
}
