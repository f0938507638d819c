//! A command, with its partition and what the log says of it for good.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use passbook_shared::partition::{Partition, PartitionCount, partition_of};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::append::NewKey;
use super::outcomes::Key;
use super::past::{Entry, EntryId};
use crate::domain::Past;
use crate::domain::effective::Timeline;
use crate::request::CommandRequest;

/// A command, with its partition and what the log says of it for good.
#[derive(Debug)]
pub(crate) struct PreparedCommand {
    pub(crate) request: CommandRequest,
    pub(crate) partition: Partition,
    /// The second account that the command touches.
    pub(crate) counterparty: Option<(Uuid, Partition)>,
    /// Facts of the entry to reverse.
    pub(crate) past: Past,
    /// Timelines of accounts that the command may debit as of an earlier time.
    pub(crate) timelines: Option<Arc<Timelines>>,
    /// True if the account was out of the sender's reach: its past is not read.
    pub(crate) is_out_of_reach: bool,
    /// True if the command rests on an event that can't be decoded.
    pub(crate) is_unreadable: bool,
}

/// Timelines by account. They take room in memory until they are dropped, which the permit
/// stands for.
#[derive(Debug)]
pub(crate) struct Timelines {
    by_account: HashMap<Uuid, Timeline>,
    _permit: OwnedSemaphorePermit,
}

impl PreparedCommand {
    pub(crate) fn new(request: CommandRequest, partitions: PartitionCount) -> Self {
        let partition = partition_of(request.account_id, partitions);
        let receiver = request.command.needs().receiver;
        Self {
            request,
            partition,
            counterparty: receiver.map(|id| (id, partition_of(id, partitions))),
            past: Past::default(),
            timelines: None,
            is_out_of_reach: false,
            is_unreadable: false,
        }
    }

    /// Returns the accounts that the command touches, its own first.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Uuid, Partition)> {
        std::iter::once((self.request.account_id, self.partition)).chain(self.counterparty)
    }

    /// Returns the entry to reverse.
    pub(crate) fn entry(&self) -> Option<EntryId> {
        let version =
            self.request.command.needs().entry_version.filter(|_| !self.is_out_of_reach)?;
        Some((self.partition, self.request.account_id, version))
    }

    /// Returns the place where the command's idempotency key is kept.
    pub(crate) fn key(&self) -> Option<Key<'_>> {
        let (partition, account_id) = (self.partition, self.request.account_id);
        self.request.key().map(|key| Key { partition, account_id, key })
    }

    /// Returns the key to keep with the command's outcome: the account's version after it, and its
    /// number of events or its refusal as JSON.
    pub(crate) fn new_key(
        &self,
        version: i64,
        events: usize,
        refusal: Option<String>,
    ) -> Option<NewKey> {
        self.key().map(|Key { partition, account_id, key }| NewKey {
            partition,
            account_id,
            key: key.to_owned(),
            fingerprint: self.request.fingerprint(),
            version,
            events: i16::try_from(events).unwrap_or(i16::MAX),
            refusal,
        })
    }

    pub(super) fn learn_entry(&mut self, entry: &Entry) {
        self.past.reversed_by = entry.reversed_by;
        self.past.entry_recorded_at = Some(entry.recorded_at);
        match &entry.event {
            Ok(event) => self.past.entry = Some(Box::new(event.clone())),
            Err(error) => {
                tracing::error!(%error, "an entry to be reversed can't be read");
                self.is_unreadable = true;
            }
        }
    }
}

impl Timelines {
    pub(super) fn new(by_account: HashMap<Uuid, Timeline>, permit: OwnedSemaphorePermit) -> Self {
        Self { by_account, _permit: permit }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uuid, &Timeline)> {
        self.by_account.iter().map(|(account_id, timeline)| (*account_id, timeline))
    }
}
