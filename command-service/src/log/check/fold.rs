//! One account, folded from its events and checked on the way. Pure.

use std::collections::HashMap;

use passbook_shared::difference::{Difference, Findings, What};
use passbook_shared::event::{AccountEvent, HoldStatus, SideRow};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Checked;
use super::others::{Other, Others};
use super::rows::Stored;
use crate::domain::{Account, Forbidden, OtherLeg, Past, Subject, evolve, permits};

/// An account as its events leave it, and the rows that should be kept of it.
pub(super) struct Fold {
    partition: Partition,
    account_id: Uuid,
    version: i64,
    account: Account,
    pub(super) holds: HashMap<Uuid, KeptHold>,
    /// Versions of the entries that were undone, each with that of the reversal.
    pub(super) reversals: HashMap<i64, i64>,
    /// Ids of the transfers that it sent, each with the version of its leg.
    pub(super) sent: Vec<(Uuid, i64)>,
    lost: bool,
}

/// A hold, as `passbook.holds` has it.
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

    /// Whether its later events can't be judged: one of them can't be read, or is missing.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The account goes on with this event.
    pub(super) fn take(
        &mut self,
        version: i64,
        event: Result<AccountEvent, DecodeError>,
        others: &Others,
        partitions: Partition,
        answer: &mut Checked,
    ) {
        let expected = self.version + 1;
        if self.version == 0 && partition_of(self.account_id, partitions) != self.partition {
            let expected = json!({ "partition": partition_of(self.account_id, partitions) });
            self.forbidden(version, &expected, &Value::Null, &mut answer.findings);
        }
        if version != expected && !self.lost {
            let (expected, found) = (json!({ "version": expected }), json!({ "version": version }));
            self.forbidden(version, &expected, &found, &mut answer.findings);
            self.lost = true;
        }
        self.version = version;
        let event = match event {
            Ok(event) if !self.lost => event,
            Ok(_) => return,
            Err(_) => {
                answer.unreadable += 1;
                self.lost = true;
                return;
            }
        };
        self.check(&event, others, &mut answer.findings);
        self.note(&event);
        self.account = evolve(std::mem::take(&mut self.account), &event);
    }

    /// The rules allow the event, and what must be on another account is there.
    fn check(&self, event: &AccountEvent, others: &Others, findings: &mut Findings) {
        let subject = Subject {
            account_id: self.account_id,
            version: self.version - 1,
            account: &self.account,
        };
        let leg = match permits(subject, event, &self.past(event, others)) {
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
        let found = match others.get(account_id, version) {
            Other::Unreadable => return,
            Other::Event(found) if *found == expected => {
                let currencies =
                    (self.account.summary().map(|own| own.currency), others.currency(account_id));
                return match currencies {
                    (Some(own), Some(other)) if own != other => {
                        let (expected, found) =
                            (json!({ "currency": own }), json!({ "currency": other }));
                        self.forbidden(self.version, &expected, &found, findings);
                    }
                    _ => {}
                };
            }
            Other::Event(found) => described(found),
            Other::Missing => Value::Null,
        };
        let place =
            json!({ "account_id": account_id, "version": version, "event": described(&expected) });
        self.forbidden(self.version, &place, &found, findings);
    }

    fn past(&self, event: &AccountEvent, others: &Others) -> Past {
        match event.side_row() {
            Some(SideRow::HoldPlaced(placed)) => {
                let ended_hold = self.holds.get(&placed.hold_id).map(|hold| hold.status);
                Past {
                    ended_hold: ended_hold.filter(|status| *status != HoldStatus::Open),
                    ..Past::default()
                }
            }
            Some(SideRow::EntryReversed(reversed)) => {
                let entry = match others.get(self.account_id, reversed.version) {
                    Other::Event(entry) if reversed.version < self.version => Some(entry.clone()),
                    Other::Event(_) | Other::Missing | Other::Unreadable => None,
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

    /// Notes the rows that the append makes of the event.
    fn note(&mut self, event: &AccountEvent) {
        match event.side_row() {
            Some(SideRow::HoldPlaced(placed)) => {
                let hold = KeptHold { expires_at: placed.expires_at, status: HoldStatus::Open };
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

    /// Compares a snapshot with the account as it is now.
    pub(super) fn compare(&self, position: i64, snapshot: &Stored, findings: &mut Findings) {
        if self.lost {
            return;
        }
        let state = serde_json::from_str::<Account>(&snapshot.state).ok();
        if snapshot.position != position || state.as_ref() != Some(&self.account) {
            let difference = Difference::new(
                What::SnapshotDiffers,
                self.partition,
                Some(self.account_id),
                Some(self.version),
            );
            let row = |position: i64, account: Option<&Account>| json!({ "position": position, "account": account.and_then(Account::summary) });
            findings.add(|| Difference {
                expected: row(position, Some(&self.account)),
                found: row(snapshot.position, state.as_ref()),
                ..difference
            });
        }
    }

    fn forbidden(&self, version: i64, expected: &Value, found: &Value, findings: &mut Findings) {
        findings.add(|| Difference {
            expected: expected.clone(),
            found: found.clone(),
            ..Difference::new(What::LogRule, self.partition, Some(self.account_id), Some(version))
        });
    }
}

fn described(event: &AccountEvent) -> Value {
    json!({ "type": event.event_type(), "data": event.data().ok() })
}
