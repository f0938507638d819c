//! Partitions of which too many events can't be applied: found before anything of the batch is.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use sqlx::PgConnection;

use crate::consumer::share::Limit;
use crate::store::apply::SetAside;
use crate::store::quarantine;

/// A partition that stops.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) partition: Partition,
    /// Where in the log events can't be applied that are not set aside for that.
    positions: Vec<i64>,
    /// Where in the topic, from 1, there are records that are no events, and are not set aside for that.
    records: Vec<i64>,
    /// Of the newest of them.
    reason: String,
}

/// The partitions that stop rather than set these aside.
pub(super) async fn find(
    connection: &mut PgConnection,
    limit: Limit,
    set_aside: &[SetAside],
) -> sqlx::Result<Vec<Failing>> {
    let mut partitions = BTreeMap::<Partition, Failing>::new();
    for failure in set_aside.iter().filter(|set_aside| !set_aside.waits) {
        let failing = partitions.entry(failure.partition).or_default();
        failing.partition = failure.partition;
        match (failure.position, failure.kafka_offset) {
            (Some(position), _) => failing.positions.push(position),
            (None, Some(offset)) => failing.records.push(offset + 1),
            (None, None) => {}
        }
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
    pub(crate) async fn is_too_much(&self, connection: &mut PgConnection, limit: Limit) -> sqlx::Result<bool> {
        let after = |new: &[i64]| new.first().map_or(i64::MAX, |first| first - limit.window);
        let (position, record) = (after(&self.positions), after(&self.records));
        let before = quarantine::failures(connection, self.partition, position, record.saturating_sub(1)).await?;
        let positions: Vec<i64> = before.iter().filter_map(|(position, _)| *position).collect();
        let no_events = before.iter().filter(|(position, _)| position.is_none());
        let records: Vec<i64> = no_events.filter_map(|(_, offset)| Some((*offset)? + 1)).collect();
        Ok(limit.is_exceeded(&positions, &self.positions) || limit.is_exceeded(&records, &self.records))
    }

    /// What is wrong, and what helps, for people.
    pub(crate) fn explain(&self, limit: Limit) -> String {
        let Limit { percent, window } = limit;
        let next = match (self.positions.first(), self.records.first()) {
            (Some(position), _) => format!("position {}-{position}", self.partition),
            (None, record) => format!("offset {}", record.map_or(0, |record| record - 1)),
        };
        format!(
            "partition {} stops before {next}: more than {percent} % of its last {window} events can't be applied. The \
             newest: {}. Deploy a version that knows these events, or raise QUARANTINE_LIMIT_PERCENT, and restart; or \
             settle what is in /admin/quarantine",
            self.partition, self.reason
        )
    }
}
