//! Related events that a check needs: reversed entries, and the other legs of transfers.

use std::collections::HashMap;

use passbook_shared::event::AccountEvent;
use passbook_shared::money::Currency;
use passbook_shared::partition::{Partition, PartitionCount, partition_of};
use passbook_shared::upcast::DecodeError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{self, StoredEvent};

/// Related events, by account and version.
pub(super) struct RelatedEvents(HashMap<(Uuid, i64), Result<AccountEvent, DecodeError>>);

/// Result of looking up a related event.
pub(super) enum RelatedEvent<'a> {
    Missing,
    Unreadable,
    Event(&'a AccountEvent),
}

impl RelatedEvents {
    /// Loads the events that `events` refer to.
    pub(super) async fn of(
        connection: &mut PgConnection,
        partitions: PartitionCount,
        partition: Partition,
        events: &[StoredEvent],
    ) -> sqlx::Result<Self> {
        let mut wanted = Vec::new();
        let mut leg = |account_id: Uuid, version: i64| {
            let partition = partition_of(account_id, partitions);
            // Version 1 has the currency, which must be the same on both accounts.
            wanted.extend([(partition, account_id, version), (partition, account_id, 1)]);
        };
        // Apart from `wanted`, which `leg` borrows.
        let mut undone = Vec::new();
        for event in events {
            match &event.event {
                Ok(AccountEvent::MoneySent(own) | AccountEvent::MoneyReceived(own)) => {
                    leg(own.counterparty, own.counterparty_version);
                }
                Ok(AccountEvent::EntryReversed(reversed)) => {
                    undone.push((partition, event.account_id, reversed.version));
                    if let Some(transfer) = reversed.transfer {
                        leg(transfer.counterparty, transfer.counterparty_version);
                    }
                }
                _ => {}
            }
        }
        wanted.append(&mut undone);
        wanted.sort_unstable();
        wanted.dedup();
        let found = if wanted.is_empty() {
            HashMap::new()
        } else {
            rows::events(connection, &wanted).await?
        };
        Ok(Self(found))
    }

    pub(super) fn get(&self, account_id: Uuid, version: i64) -> RelatedEvent<'_> {
        match self.0.get(&(account_id, version)) {
            None => RelatedEvent::Missing,
            Some(Err(_)) => RelatedEvent::Unreadable,
            Some(Ok(event)) => RelatedEvent::Event(event),
        }
    }

    /// Returns the currency of an account, if its opening is readable.
    pub(super) fn currency(&self, account_id: Uuid) -> Option<Currency> {
        match self.get(account_id, 1) {
            RelatedEvent::Event(AccountEvent::AccountOpened(opened)) => Some(opened.currency),
            RelatedEvent::Event(_) | RelatedEvent::Missing | RelatedEvent::Unreadable => None,
        }
    }
}
