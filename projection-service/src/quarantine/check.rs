//! Readiness check of the quarantine: degraded while it has events, failing while a partition has
//! stopped.

use std::sync::Arc;

use parking_lot::Mutex;
use passbook_shared::fault::Fault;
use passbook_shared::health::Health;
use passbook_shared::timestamp::Timestamp;

use crate::store::apply::QuarantinedRecord;
use crate::store::quarantine::QuarantineSize;

const CHECK: &str = "quarantine";

static QUARANTINED: Fault = Fault::new("event quarantined");

/// Readiness check with its two inputs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QuarantineCheck {
    health: Health,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Reasons why partitions have stopped, one per stopped partition.
    stopped: Vec<String>,
    size: Option<QuarantineSize>,
}

impl QuarantineCheck {
    /// Creates a check that reports to `health`.
    pub fn new(health: Health) -> Self {
        Self { health, known: Arc::default() }
    }

    /// Returns the health that this check reports to.
    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Replaces the reasons why partitions have stopped. An empty list means that none has.
    pub(crate) fn stopped(&self, reasons: Vec<String>) {
        self.tell(|known| known.stopped = reasons);
    }

    /// Sets the size of the quarantine.
    pub(crate) fn holds(&self, size: QuarantineSize) {
        self.tell(|known| known.size = Some(size));
    }

    fn tell(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock();
        change(&mut known);
        let size = known.size.filter(|size| size.number > 0);
        match (known.stopped.as_slice(), size) {
            ([], None) => self.health.ok(CHECK),
            ([], Some(size)) => self.health.degraded(CHECK, explain(size)),
            (stopped, None) => self.health.failing(CHECK, stopped.join("; ")),
            (stopped, Some(size)) => {
                self.health.failing(CHECK, format!("{}; {}", stopped.join("; "), explain(size)))
            }
        }
    }
}

fn explain(size: QuarantineSize) -> String {
    let QuarantineSize { number, oldest } = size;
    // The clock of Postgres may be ahead of this one.
    let age = oldest
        .map_or(0, |oldest| (Timestamp::now().as_micros() - oldest.as_micros()).max(0) / 1_000_000);
    let (is, them) = if number == 1 { ("1 event is", "it") } else { ("events are", "them") };
    let count = if number == 1 { String::new() } else { format!("{number} ") };
    format!("{count}{is} in quarantine, the oldest for {age} s: GET /admin/quarantine lists {them}")
}

/// Logs the first newly quarantined event, and then the number of further ones at growing
/// intervals. Events that wait behind another one are not logged.
pub(crate) fn warn(quarantined: &[QuarantinedRecord]) {
    for quarantined in quarantined.iter().filter(|quarantined| !quarantined.waits) {
        QUARANTINED.occurred(describe(quarantined));
    }
}

fn describe(quarantined: &QuarantinedRecord) -> String {
    let QuarantinedRecord { partition, position, kafka_offset, account, reason, .. } = quarantined;
    let offset =
        kafka_offset.map_or_else(|| "none (from the log)".to_owned(), |offset| offset.to_string());
    let position =
        position.map_or_else(|| "unknown".to_owned(), |position| format!("{partition}-{position}"));
    let account = account.map_or_else(
        || "unknown".to_owned(),
        |(account_id, version)| format!("{account_id} version {version}"),
    );
    format!(
        "partition {partition}, offset {offset}, position {position}, account {account}: {reason}"
    )
}

#[cfg(test)]
mod tests {
    use passbook_shared::health::CheckState;
    use passbook_shared::partition::Partition;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn quarantined_events_degrade_the_check_and_a_stopped_partition_fails_it() {
        let health = Health::new("test");
        let check = QuarantineCheck::new(health.clone());
        let state = || health.checks()[CHECK].clone();
        check.holds(QuarantineSize { number: 0, oldest: None });
        assert_eq!(state().state, CheckState::Ok);
        let minute_ago = Timestamp::from_micros(Timestamp::now().as_micros() - 60_000_000);
        check.holds(QuarantineSize { number: 2_030, oldest: minute_ago });
        assert_eq!(state().state, CheckState::Degraded);
        let reason = state().reason.unwrap();
        assert!(reason.contains("2030 events are in quarantine, the oldest for 60 s"), "{reason}");
        check.stopped(vec!["partition 3 stops".to_owned()]);
        assert_eq!(state().state, CheckState::Failing);
        check.holds(QuarantineSize { number: 1, oldest: minute_ago });
        assert!(state().reason.unwrap().starts_with("partition 3 stops; 1 event is in quarantine"));
        check.stopped(Vec::new());
        check.holds(QuarantineSize { number: 0, oldest: None });
        assert_eq!(state().state, CheckState::Ok);
    }

    #[test]
    fn a_line_names_the_partition_the_offset_the_account_and_the_reason() {
        let account = Uuid::from_u128(7);
        let quarantined = QuarantinedRecord {
            partition: Partition::new(3),
            position: Some(17),
            kafka_offset: Some(21),
            published_at: None,
            account: Some((account, 4)),
            waits: false,
            reason: "version 4 follows on 2".to_owned(),
            document: Vec::new(),
        };
        let line = describe(&quarantined);
        assert_eq!(
            line,
            format!(
                "partition 3, offset 21, position 3-17, account {account} version 4: version 4 \
                 follows on 2"
            )
        );
    }
}
