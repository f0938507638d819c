//! Fold of one account that checks each event against the rules. Performs no I/O.

use std::collections::HashMap;

use passbook_shared::difference::{Difference, DifferenceKind, Findings};
use passbook_shared::event::{AccountEvent, HoldStatus, SideRow};
use passbook_shared::partition::{Partition, PartitionCount, partition_of};
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::related::{RelatedEvent, RelatedEvents};
use super::rows::StoredSnapshot;
use crate::domain::{Account, Forbidden, OtherLeg, Past, Subject, evolve, permits};

/// State of an account after the folded events, with the rows that the derived tables should have.
pub(super) struct Fold {
    partition: Partition,
    account_id: Uuid,
    version: i64,
    account: Account,
    pub(super) holds: HashMap<Uuid, KeptHold>,
    /// Version of the reversal of each reversed entry, by version of the entry.
    pub(super) reversals: HashMap<i64, i64>,
    /// Ids of sent transfers, with the version of each sender's leg.
    pub(super) sent: Vec<(Uuid, i64)>,
    /// True after a missing or undecodable event.
    lost: bool,
}

/// Expected row of `passbook.holds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptHold {
    pub(super) expires_at: Option<Timestamp>,
    pub(super) status: HoldStatus,
}

impl Fold {
    pub(super) fn new(partition: Partition, account_id: Uuid) -> Self {
        Self {
            partition,
            account_id,
            version: 0,
            account: Account::default(),
            holds: HashMap::new(),
            reversals: HashMap::new(),
            sent: Vec::new(),
            lost: false,
        }
    }

    /// Returns true if an event was missing or undecodable, so later events cannot be checked.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Checks the next event of the account, and applies it to the state.
    pub(super) fn take(
        &mut self,
        version: i64,
        event: Result<AccountEvent, DecodeError>,
        related: &RelatedEvents,
        partitions: PartitionCount,
        findings: &mut Findings,
    ) {
        let expected = self.version + 1;
        // Once per account: all of its events are in the partition that is read.
        if self.version == 0 && partition_of(self.account_id, partitions) != self.partition {
            let expected = json!({ "partition": partition_of(self.account_id, partitions) });
            self.forbidden(version, &expected, &Value::Null, findings);
        }
        // A gap is reported once, because all later events would differ for the same reason.
        if version != expected && !self.lost {
            let (expected, found) = (json!({ "version": expected }), json!({ "version": version }));
            self.forbidden(version, &expected, &found, findings);
            self.lost = true;
        }
        self.version = version;
        let event = match event {
            Ok(event) if !self.lost => event,
            Ok(_) => return,
            Err(_) => {
                self.lost = true;
                return;
            }
        };
        self.check(&event, related, findings);
        self.note(&event);
        self.account = evolve(std::mem::take(&mut self.account), &event);
    }

    /// Checks an event against the rules, and the corresponding event of the other account, if any.
    fn check(&self, event: &AccountEvent, related: &RelatedEvents, findings: &mut Findings) {
        let subject = Subject {
            account_id: self.account_id,
            version: self.version - 1,
            account: &self.account,
        };
        let leg = match permits(subject, event, &self.past(event, related)) {
            Ok(None) => return,
            Ok(Some(leg)) => leg,
            Err(forbidden) => {
                let expected = match forbidden {
                    Forbidden::Refused(refusal) => json!({ "refusal": refusal }),
                    Forbidden::Other(events) => {
                        json!({ "events": events.iter().map(described).collect::<Vec<_>>() })
                    }
                };
                return self.forbidden(self.version, &expected, &described(event), findings);
            }
        };
        let OtherLeg { account_id, version, event: expected } = leg;
        let found = match related.get(account_id, version) {
            RelatedEvent::Unreadable => return,
            RelatedEvent::Event(found) if *found == expected => {
                let currencies =
                    (self.account.summary().map(|own| own.currency), related.currency(account_id));
                return match currencies {
                    (Some(own), Some(other)) if own != other => {
                        let (expected, found) =
                            (json!({ "currency": own }), json!({ "currency": other }));
                        self.forbidden(self.version, &expected, &found, findings);
                    }
                    _ => {}
                };
            }
            RelatedEvent::Event(found) => described(found),
            RelatedEvent::Missing => Value::Null,
        };
        let place =
            json!({ "account_id": account_id, "version": version, "event": described(&expected) });
        self.forbidden(self.version, &place, &found, findings);
    }

    fn past(&self, event: &AccountEvent, related: &RelatedEvents) -> Past {
        match event.side_row() {
            Some(SideRow::HoldPlaced(placed)) => {
                let ended_hold = self.holds.get(&placed.hold_id).map(|hold| hold.status);
                Past {
                    ended_hold: ended_hold.filter(|status| *status != HoldStatus::Open),
                    ..Past::default()
                }
            }
            Some(SideRow::EntryReversed(reversed)) => {
                let entry = match related.get(self.account_id, reversed.version) {
                    RelatedEvent::Event(entry) if reversed.version < self.version => {
                        Some(entry.clone())
                    }
                    RelatedEvent::Event(_) | RelatedEvent::Missing | RelatedEvent::Unreadable => {
                        None
                    }
                };
                Past {
                    entry: entry.map(Box::new),
                    reversed_by: self.reversals.get(&reversed.version).copied(),
                    ..Past::default()
                }
            }
            Some(SideRow::HoldEnded(..) | SideRow::TransferSent(_)) | None => Past::default(),
        }
    }

    /// Adds the rows that an append of the event writes to the derived tables.
    fn note(&mut self, event: &AccountEvent) {
        match event.side_row() {
            Some(SideRow::HoldPlaced(placed)) => {
                let hold = KeptHold { expires_at: placed.expires_at, status: HoldStatus::Open };
                // The first row stays: the table's key permits no second one.
                self.holds.entry(placed.hold_id).or_insert(hold);
            }
            Some(SideRow::HoldEnded(hold_id, status)) => {
                if let Some(hold) = self.holds.get_mut(&hold_id) {
                    hold.status = status;
                }
            }
            Some(SideRow::EntryReversed(reversed)) => {
                self.reversals.entry(reversed.version).or_insert(self.version);
            }
            Some(SideRow::TransferSent(leg)) => self.sent.push((leg.transfer_id, self.version)),
            None => {}
        }
    }

    /// Compares a snapshot with the current state. `position` is the position of the last event.
    pub(super) fn compare(
        &self,
        position: i64,
        snapshot: &StoredSnapshot,
        findings: &mut Findings,
    ) {
        if self.lost {
            return;
        }
        let state = serde_json::from_str::<Account>(&snapshot.state).ok();
        if snapshot.position != position || state.as_ref() != Some(&self.account) {
            let difference = Difference::new(
                DifferenceKind::SnapshotDiffers,
                self.partition,
                Some(self.account_id),
                Some(self.version),
            );
            findings.add(|| Difference {
                expected: snapshot_row(position, Some(&self.account)),
                found: snapshot_row(snapshot.position, state.as_ref()),
                ..difference
            });
        }
    }

    fn forbidden(&self, version: i64, expected: &Value, found: &Value, findings: &mut Findings) {
        findings.add(|| Difference {
            expected: expected.clone(),
            found: found.clone(),
            ..Difference::new(
                DifferenceKind::LogRule,
                self.partition,
                Some(self.account_id),
                Some(version),
            )
        });
    }
}

fn described(event: &AccountEvent) -> Value {
    json!({ "type": event.event_type(), "data": event.data().ok() })
}

fn snapshot_row(position: i64, account: Option<&Account>) -> Value {
    json!({ "position": position, "account": account.and_then(Account::summary) })
}
