//! The readiness check of the quarantine: degraded while anything is in it, failing while a partition has stopped for it.

use std::sync::Arc;

use parking_lot::Mutex;
use passbook_shared::fault::Fault;
use passbook_shared::health::Health;
use passbook_shared::timestamp::Timestamp;

use crate::store::apply::SetAside;
use crate::store::quarantine::Held;

const CHECK: &str = "quarantine";

static QUARANTINED: Fault = Fault::new("put into quarantine");

/// What both sides of the check say. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QuarantineCheck {
    health: Health,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Why partitions have stopped, one line each.
    stopped: Vec<String>,
    held: Option<Held>,
}

impl QuarantineCheck {
    /// A check that says what it finds there.
    pub fn new(health: Health) -> Self {
        Self { health, known: Arc::default() }
    }

    /// Where it and the other checks are.
    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Partitions have stopped, for these reasons; none if all go on.
    pub(crate) fn stopped(&self, reasons: Vec<String>) {
        self.tell(|known| known.stopped = reasons);
    }

    /// This much is in quarantine.
    pub(crate) fn holds(&self, held: Held) {
        self.tell(|known| known.held = Some(held));
    }

    fn tell(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock();
        change(&mut known);
        let held = known.held.filter(|held| held.number > 0);
        match (known.stopped.as_slice(), held) {
            ([], None) => self.health.ok(CHECK),
            ([], Some(held)) => self.health.degraded(CHECK, explain(held)),
            (stopped, None) => self.health.failing(CHECK, stopped.join("; ")),
            (stopped, Some(held)) => {
                self.health.failing(CHECK, format!("{}; {}", stopped.join("; "), explain(held)))
            }
        }
    }
}

fn explain(held: Held) -> String {
    let Held { number, oldest } = held;
    let age = oldest
        .map_or(0, |oldest| (Timestamp::now().as_micros() - oldest.as_micros()).max(0) / 1_000_000);
    let (is, them) = if number == 1 {
        ("1 record or event is", "it")
    } else {
        ("records and events are", "them")
    };
    let count = if number == 1 { String::new() } else { format!("{number} ") };
    format!("{count}{is} in quarantine, the oldest for {age} s: GET /admin/quarantine lists {them}")
}

/// Warns of what a batch has put into quarantine: of the first, and then of how many, at growing intervals. What only
/// waits behind another is not worth a line.
pub(crate) fn warn(set_aside: &[SetAside]) {
    for set_aside in set_aside.iter().filter(|set_aside| !set_aside.waits) {
        QUARANTINED.occurred(describe(set_aside));
    }
}

fn describe(set_aside: &SetAside) -> String {
    let SetAside { partition, position, kafka_offset, account, reason, .. } = set_aside;
    let offset =
        kafka_offset.map_or_else(|| "none, from the log".to_owned(), |offset| offset.to_string());
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
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_check_is_degraded_while_anything_is_held_and_failing_while_a_partition_has_stopped() {
        let health = Health::new("test");
        let check = QuarantineCheck::new(health.clone());
        let state = || health.checks()[CHECK].clone();
        check.holds(Held { number: 0, oldest: None });
        assert_eq!(state().state, CheckState::Ok);
        let minute_ago = Timestamp::from_micros(Timestamp::now().as_micros() - 60_000_000);
        check.holds(Held { number: 2_030, oldest: minute_ago });
        assert_eq!(state().state, CheckState::Degraded);
        let reason = state().reason.unwrap();
        assert!(
            reason.contains("2030 records and events are in quarantine, the oldest for 60 s"),
            "{reason}"
        );
        check.stopped(vec!["partition 3 stops".to_owned()]);
        assert_eq!(state().state, CheckState::Failing);
        check.holds(Held { number: 1, oldest: minute_ago });
        assert!(
            state()
                .reason
                .unwrap()
                .starts_with("partition 3 stops; 1 record or event is in quarantine")
        );
        check.stopped(Vec::new());
        check.holds(Held { number: 0, oldest: None });
        assert_eq!(state().state, CheckState::Ok);
    }

    #[test]
    fn a_line_names_the_partition_the_offset_the_account_and_the_reason() {
        let account = Uuid::from_u128(7);
        let set_aside = SetAside {
            partition: 3,
            position: Some(17),
            kafka_offset: Some(21),
            published_at: None,
            account: Some((account, 4)),
            waits: false,
            reason: "version 4 follows on 2".to_owned(),
            document: Vec::new(),
        };
        let line = describe(&set_aside);
        assert_eq!(
            line,
            format!(
                "partition 3, offset 21, position 3-17, account {account} version 4: version 4 follows on 2"
            )
        );
    }
}
