//! Events beside the ones that are checked on which these rest: entries that were undone, and the other legs of transfers.

use std::collections::HashMap;

use passbook_shared::event::AccountEvent;
use passbook_shared::money::Currency;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::upcast::DecodeError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{self, Read};

/// Events by account and version.
pub(super) struct Others(HashMap<(Uuid, i64), Result<AccountEvent, DecodeError>>);

/// An event that was looked for.
pub(super) enum Other<'a> {
    Missing,
    Unreadable,
    Event(&'a AccountEvent),
}

impl Others {
    /// Finds all that the events of a partition refer to.
    pub(super) async fn of(
        connection: &mut PgConnection,
        partitions: Partition,
        partition: Partition,
        events: &[Read],
    ) -> sqlx::Result<Self> {
        let mut wanted = Vec::new();
        let mut leg = |account_id: Uuid, version: i64| {
            let partition = partition_of(account_id, partitions);
            wanted.extend([(partition, account_id, version), (partition, account_id, 1)]);
        };
        let mut undone = Vec::new();
        for read in events {
            match &read.event {
                Ok(AccountEvent::MoneySent(own) | AccountEvent::MoneyReceived(own)) => {
                    leg(own.counterparty, own.counterparty_version);
                }
                Ok(AccountEvent::EntryReversed(reversed)) => {
                    undone.push((partition, read.account_id, reversed.version));
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

    pub(super) fn get(&self, account_id: Uuid, version: i64) -> Other<'_> {
        match self.0.get(&(account_id, version)) {
            None => Other::Missing,
            Some(Err(_)) => Other::Unreadable,
            Some(Ok(event)) => Other::Event(event),
        }
    }

    /// The currency of the account, if its opening was found and can be read.
    pub(super) fn currency(&self, account_id: Uuid) -> Option<Currency> {
        match self.get(account_id, 1) {
            Other::Event(AccountEvent::AccountOpened(opened)) => Some(opened.currency),
            Other::Event(_) | Other::Missing | Other::Unreadable => None,
        }
    }
}
