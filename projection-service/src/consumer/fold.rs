//! A batch of records, folded per account into what it changes in the views.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use passbook_shared::event::AccountEvent;
use passbook_shared::text::Metadata;
use uuid::Uuid;

use super::known::{Accounts, Known};
use super::record::{Event, Record, Unreadable, document};
use super::sequence::Sequence;
use crate::projection::{AccountState, Entry, project};
use crate::store::apply::Batch;

const WAITS: &str = "waits behind an event of its account that was set aside";

/// What is being folded.
struct Folding<'e, 'k> {
    batch: Batch<'e>,
    known: &'k mut Accounts,
    /// Where in the batch's accounts each account is.
    rows: HashMap<Uuid, usize>,
}

/// What the records change, each accepted in its turn, and where they leave the partitions. All accounts of theirs must
/// be known, and are known as they stand afterwards.
pub(super) fn fold<'e>(records: &'e [Record], sequence: &Sequence, known: &mut Accounts) -> Batch<'e> {
    let mut folding = Folding { batch: Batch::default(), known, rows: HashMap::new() };
    let mut recorded_at = HashMap::new();
    for record in records {
        match &record.content {
            Ok(event) => {
                recorded_at.insert(record.partition, event.recorded.recorded_at.to_utc());
                folding.event(record, event);
            }
            Err(unreadable) => folding.set_aside(record, None, unreadable.clone()),
        }
    }
    let checkpoints = &mut folding.batch.checkpoints;
    for (partition, track) in sequence.moved() {
        checkpoints.partitions.push(partition);
        checkpoints.expected.push(track.applied);
        checkpoints.positions.push(track.accepted);
        checkpoints.kafka_offsets.push(track.offset);
        checkpoints.recorded_at.push(recorded_at.get(&partition).copied());
    }
    folding.batch
}

impl<'e> Folding<'e, '_> {
    fn event(&mut self, record: &'e Record, event: &'e Event) {
        let before = match self.known.get(event.recorded.account_id) {
            Some(Known::State(state)) => Some(state),
            Some(Known::Absent) | None => None,
            Some(Known::Quarantined) => {
                let document = document(&event.recorded, event.store_id);
                self.set_aside(record, Some(event), Unreadable { reason: WAITS.to_owned(), document });
                return;
            }
        };
        let set_aside = match &event.decoded {
            Ok(decoded) => match project(before.as_ref(), event.recorded.version, decoded) {
                Ok(entry) => {
                    if let AccountEvent::AccountOpened(opened) = decoded {
                        self.open(event, opened);
                    }
                    self.state(event, entry.after);
                    self.history(event, decoded, &entry);
                    return;
                }
                Err(unapplicable) => {
                    Unreadable { reason: unapplicable.to_string(), document: document(&event.recorded, event.store_id) }
                }
            },
            Err(unreadable) => unreadable.clone(),
        };
        self.known.set(event.recorded.account_id, Known::Quarantined);
        self.set_aside(record, Some(event), set_aside);
    }

    fn open(&mut self, event: &'e Event, account: &'e passbook_shared::event::AccountOpened) {
        let opened = &mut self.batch.opened;
        opened.account_ids.push(event.recorded.account_id);
        opened.opened_at.push(event.recorded.recorded_at.to_utc());
        opened.partitions.push(event.recorded.position.partition);
        opened.currencies.push(account.currency.code());
        opened.owners.push(&account.owner);
        opened.metadata.push(json(Some(&account.metadata)));
    }

    fn state(&mut self, event: &Event, after: AccountState) {
        let recorded = &event.recorded;
        self.known.set(recorded.account_id, Known::State(after));
        let accounts = &mut self.batch.accounts;
        let row = *self.rows.entry(recorded.account_id).or_insert_with(|| {
            accounts.account_ids.push(recorded.account_id);
            accounts.last_activity.push(DateTime::<Utc>::default());
            accounts.versions.push(0);
            accounts.positions.push(0);
            accounts.balances.push(0);
            accounts.held.push(0);
            accounts.overdraft_limits.push(0);
            accounts.transaction_counts.push(0);
            accounts.statuses.push("");
            accounts.account_ids.len() - 1
        });
        accounts.last_activity[row] = recorded.recorded_at.to_utc();
        accounts.versions[row] = after.version;
        accounts.positions[row] = recorded.position.number;
        accounts.balances[row] = after.balance;
        accounts.held[row] = after.held;
        accounts.overdraft_limits[row] = after.overdraft_limit;
        accounts.transaction_counts[row] = after.transaction_count;
        accounts.statuses[row] = after.status.as_str();
    }

    fn history(&mut self, event: &'e Event, decoded: &AccountEvent, entry: &Entry<'e>) {
        let history = &mut self.batch.history;
        history.account_ids.push(event.recorded.account_id);
        history.versions.push(entry.after.version);
        history.positions.push(event.recorded.position.number);
        history.recorded_at.push(event.recorded.recorded_at.to_utc());
        history.amounts.push(entry.amount);
        history.balances.push(entry.after.balance);
        history.held.push(entry.after.held);
        history.overdraft_limits.push(entry.after.overdraft_limit);
        history.transaction_counts.push(entry.after.transaction_count);
        history.effective_at.push(entry.effective_at.map(|moment| moment.to_utc()));
        history.statuses.push(entry.after.status.as_str());
        history.types.push(decoded.event_type());
        history.references.push(entry.reference);
        history.metadata.push(json(entry.metadata));
    }

    fn set_aside(&mut self, record: &Record, event: Option<&Event>, why: Unreadable) {
        let recorded = event.map(|event| &event.recorded);
        let quarantine = &mut self.batch.quarantine;
        quarantine.partitions.push(record.partition);
        quarantine.positions.push(recorded.map(|recorded| recorded.position.number));
        quarantine.kafka_offsets.push(record.offset);
        quarantine.account_ids.push(recorded.map(|recorded| recorded.account_id));
        quarantine.versions.push(recorded.map(|recorded| recorded.version));
        quarantine.waits.push(why.reason == WAITS);
        quarantine.reasons.push(why.reason);
        quarantine.documents.push(why.document);
    }
}

fn json(metadata: Option<&Metadata>) -> Option<String> {
    metadata.filter(|metadata| !metadata.is_empty()).and_then(|metadata| serde_json::to_string(metadata).ok())
}

#[cfg(test)]
mod tests;
