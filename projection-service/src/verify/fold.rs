//! Fold of one partition of the log into the rows that the views should have. The fold keeps the
//! states of all accounts, but only the ids of the latest events. Performs no I/O.

mod account;

use std::collections::{HashMap, HashSet};

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;
use serde_json::json;
use uuid::Uuid;

use super::recent::Recent;
use crate::store::history::Row;
pub(super) use account::{Applied, Folded, Standing};
use passbook_shared::difference::{Difference, DifferenceKind, Findings};

/// State of the fold of a partition.
#[derive(Debug)]
pub(super) struct Fold {
    partition: Partition,
    pub(super) accounts: HashMap<Uuid, Folded>,
    /// Position of the first quarantined event, by account.
    aside: HashMap<Uuid, i64>,
    /// Positions of discarded events, which accounts skip if they cannot be applied.
    discarded: HashSet<i64>,
    pub(super) last: Option<Last>,
    recent: Recent,
}

/// Last event folded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) recorded_at: Timestamp,
}

/// Expected row of an event.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all steps are rows, and boxing each would be slower"
)]
pub(super) enum Step<'e> {
    /// A row of history.
    Row(Row<'e>),
    /// A row of the quarantine.
    Aside,
    /// No row: the event was discarded.
    Discarded,
    /// Unknown.
    Lost,
}

impl Fold {
    pub(super) fn new(
        partition: Partition,
        aside: HashMap<Uuid, i64>,
        discarded: HashSet<i64>,
    ) -> Self {
        Self {
            partition,
            accounts: HashMap::new(),
            aside,
            discarded,
            last: None,
            recent: Recent::default(),
        }
    }

    /// Folds the next event.
    pub(super) fn take<'e>(
        &mut self,
        event: &'e RecordedEvent,
        decoded: &'e Result<AccountEvent, DecodeError>,
        findings: &mut Findings,
    ) -> Step<'e> {
        self.check_place(event, findings);
        let RecordedEvent {
            account_id, version, position: Position { number: position, .. }, ..
        } = *event;
        let difference =
            |what| Difference::new(what, self.partition, Some(account_id), Some(version));
        let account = self.accounts.entry(account_id).or_default();
        let expected = account.version + 1;
        if version != expected {
            findings.add(|| Difference {
                expected: expected.into(),
                found: json!({ "version": version, "position": event.position }),
                ..difference(DifferenceKind::LogVersions)
            });
        }
        account.version = account.version.max(version);
        let is_quarantined = self.aside.get(&account_id).is_some_and(|first| *first <= position);
        if is_quarantined && account.standing == Standing::Whole {
            account.standing = Standing::Aside;
        }
        match account.standing {
            Standing::Aside => return Step::Aside,
            Standing::Lost => return Step::Lost,
            // The event is a repeat. The next one may still be valid.
            Standing::Whole if version < expected => return Step::Lost,
            Standing::Whole => {}
        }
        match account.project(event, decoded) {
            Ok(row) => Step::Row(row),
            Err(_) if self.discarded.contains(&position) => {
                account.pass_over(event);
                Step::Discarded
            }
            Err(reason) => {
                account.standing = Standing::Lost;
                if version == expected {
                    let expected = reason.into();
                    let kind = DifferenceKind::NotSetAside;
                    findings.add(|| Difference { expected, ..difference(kind) });
                }
                Step::Lost
            }
        }
    }

    /// Checks position, event id and time against the previous event of the partition.
    fn check_place(&mut self, event: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { event_id, recorded_at, account_id, version, position, .. } = *event;
        let difference =
            |what| Difference::new(what, self.partition, Some(account_id), Some(version));
        let expected = self.last.map_or(1, |last| last.position + 1);
        if position.number != expected {
            findings.add(|| Difference {
                expected: json!(Position { number: expected, ..position }),
                found: json!(position),
                ..Difference::new(DifferenceKind::LogPositions, self.partition, None, None)
            });
        }
        if !self.recent.insert(event_id) {
            let found = json!({ "event_id": event_id, "position": position });
            findings.add(|| Difference { found, ..difference(DifferenceKind::LogEventTwice) });
        }
        if let Some(last) = self.last.filter(|last| last.recorded_at > recorded_at) {
            findings.add(|| Difference {
                expected: json!({ "not_before": last.recorded_at }),
                found: json!({ "recorded_at": recorded_at, "position": position }),
                ..difference(DifferenceKind::LogTime)
            });
        }
        self.last = Some(Last { position: position.number, event_id, recorded_at });
    }
}

#[cfg(test)]
mod tests;
