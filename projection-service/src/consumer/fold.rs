//! Fold of a batch of records into changes of the views.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use passbook_shared::event::AccountEvent;
use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use super::account_cache::{AccountCache, Known};
use super::record::{Event, Record, Unreadable, document};
use super::sequence::Sequence;
use crate::projection::{AccountState, Entry, project};
use crate::store::apply::{Batch, Changed, Move, Opened, QuarantinedRecord};
use crate::store::history::Row;

const WAITS: &str = "waits behind a quarantined event of its account";

/// A fold in progress.
struct Folding<'e, 'k> {
    batch: Batch<'e>,
    known: &'k mut AccountCache,
    /// Index of each account in the accounts of the batch.
    rows: HashMap<Uuid, usize>,
}

/// Folds accepted records into the changes of the views and the new checkpoints.
///
/// The cache must have all accounts of the records; it has their new states afterwards.
pub(crate) fn fold<'e>(
    records: &'e [Record],
    sequence: &Sequence,
    known: &mut AccountCache,
) -> Batch<'e> {
    let mut folding = Folding { batch: Batch::default(), known, rows: HashMap::new() };
    let mut recorded_at = HashMap::new();
    for record in records {
        match &record.content {
            Ok(event) => {
                // The checkpoint gets the time of the last event, which overwrites the earlier
                // ones.
                recorded_at.insert(record.partition, event.recorded.recorded_at);
                folding.event(record, event);
            }
            Err(unreadable) => folding.quarantine(record, None, unreadable.clone()),
        }
    }
    let mut batch = folding.batch;
    // A partition that only skipped records also moves, by its offset.
    batch.checkpoints.extend(sequence.moved().map(|(partition, track)| Move {
        partition,
        epoch: track.epoch,
        // Postgres refuses the batch if another writer has moved the checkpoint.
        from: track.applied,
        to: track.accepted,
        kafka_offset: track.offset,
        event_id: track.event_id,
        recorded_at: recorded_at.get(&partition).copied(),
    }));
    // Postgres writes rows faster in the order of the tables' keys.
    batch.accounts.sort_unstable_by_key(|account| account.account_id);
    batch.history.sort_unstable_by_key(|row| (row.account_id, row.entry.after.version));
    batch
}

impl<'e> Folding<'e, '_> {
    fn event(&mut self, record: &'e Record, event: &'e Event) {
        let before = match self.known.get(event.recorded.account_id) {
            Some(Known::State(state)) => Some(state),
            Some(Known::Absent) | None => None,
            Some(Known::Quarantined) => {
                let document = document(&event.recorded, event.store_id);
                self.quarantine(
                    record,
                    Some(event),
                    Unreadable { reason: WAITS.to_owned(), document },
                );
                return;
            }
        };
        let quarantined = match &event.decoded {
            Ok(decoded) => match project(before.as_ref(), event.recorded.version, decoded) {
                Ok(entry) => {
                    self.apply(record, event, decoded, entry);
                    return;
                }
                Err(inapplicable) => Unreadable {
                    reason: inapplicable.to_string(),
                    document: document(&event.recorded, event.store_id),
                },
            },
            Err(unreadable) => unreadable.clone(),
        };
        // The check comes after `project`: a build that can apply a discarded event applies it.
        if self.known.is_discarded(event.recorded.position) {
            self.pass_over(&event.recorded, before);
            return;
        }
        // Later events of the account in this batch must wait as well.
        self.known.set(event.recorded.account_id, Known::Quarantined);
        self.quarantine(record, Some(event), quarantined);
    }

    fn apply(
        &mut self,
        record: &Record,
        event: &'e Event,
        decoded: &'e AccountEvent,
        entry: Entry<'e>,
    ) {
        let recorded = &event.recorded;
        let (account_id, position, recorded_at) =
            (recorded.account_id, recorded.position.number, recorded.recorded_at);
        if let AccountEvent::AccountOpened(account) = decoded {
            let partition = recorded.position.partition;
            self.batch.opened.push(Opened {
                account_id,
                opened_at: recorded_at,
                partition,
                account,
            });
        }
        self.change(recorded, entry.after, entry.owner);
        let event_type = decoded.event_type();
        let Record { offset: kafka_offset, published_at, .. } = *record;
        self.batch.history.push(Row {
            account_id,
            position,
            recorded_at,
            event_type,
            entry,
            kafka_offset,
            published_at,
        });
    }

    /// Skips a discarded event. If the event has the next version, the account moves to that
    /// version. The event gets no row of history.
    fn pass_over(&mut self, recorded: &RecordedEvent, before: Option<AccountState>) {
        if let Some(before) = before.filter(|before| recorded.version == before.version + 1) {
            self.change(recorded, AccountState { version: recorded.version, ..before }, None);
        }
    }

    fn change(&mut self, recorded: &RecordedEvent, after: AccountState, owner: Option<&'e str>) {
        let (account_id, position) = (recorded.account_id, recorded.position.number);
        self.known.set(account_id, Known::State(after));
        let last_activity = recorded.recorded_at;
        let changed = Changed { account_id, last_activity, position, state: after, owner };
        let accounts = &mut self.batch.accounts;
        match self.rows.entry(account_id) {
            // `accounts` needs only the last state and owner of a batch; `history` has all of them.
            Occupied(row) => {
                let account = &mut accounts[*row.get()];
                *account = Changed { owner: owner.or(account.owner), ..changed };
            }
            Vacant(row) => {
                row.insert(accounts.len());
                accounts.push(changed);
            }
        }
    }

    fn quarantine(&mut self, record: &Record, event: Option<&Event>, why: Unreadable) {
        let recorded = event.map(|event| &event.recorded);
        self.batch.quarantine.push(QuarantinedRecord {
            partition: record.partition,
            position: recorded.map(|recorded| recorded.position.number),
            kafka_offset: record.offset,
            published_at: record.published_at,
            account: recorded.map(|recorded| (recorded.account_id, recorded.version)),
            waits: why.reason == WAITS,
            reason: why.reason,
            document: why.document,
        });
    }
}

#[cfg(test)]
mod tests;
