//! Commands on their way through a lane.

use std::sync::Arc;

use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::CommandContext;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::backdated::Timelines;
use crate::domain::{Command, Past};
use crate::log::append::NewKey;
use crate::log::outcomes::Key;
use crate::log::past::Entry;
use crate::outcome::CommandResult;

/// A command for one account.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// Whose.
    pub account_id: Uuid,
    /// What.
    pub command: Command,
    /// From `If-Match`: the account must be at one of these versions.
    pub expected_versions: Option<Vec<i64>>,
    /// Decide and answer, but append nothing and neither look up nor keep the key.
    pub dry_run: bool,
    /// Names this request in the events it causes; fresh for each request.
    pub command_id: Uuid,
    /// What the sender said beside the command; its idempotency key is honoured.
    pub context: CommandContext,
}

impl CommandRequest {
    /// Tells this request from another under the same key: a hash of the command alone, not of `If-Match` and the
    /// headers that may differ from one try to the next.
    pub fn fingerprint(&self) -> i64 {
        fingerprint(&self.command, None)
    }

    /// Whether a key that is kept with that fingerprint is of this request. Keys that were kept before `If-Match` was
    /// left out have it in theirs.
    pub(super) fn has_fingerprint(&self, kept: i64) -> bool {
        let with_precondition = match self.expected_versions.as_deref() {
            Some([version]) => Some(fingerprint(&self.command, Some(*version))),
            Some(_) | None => None,
        };
        kept == self.fingerprint() || with_precondition == Some(kept)
    }

    fn key(&self) -> Option<&str> {
        self.context.idempotency_key.as_deref().filter(|_| !self.dry_run)
    }

    fn transfer_id(&self) -> Option<Uuid> {
        let Command::Transfer(transfer) = &self.command else { return None };
        Some(transfer.transfer_id)
    }

    /// What it is known by; a dry run by nothing.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        let key = self.key().map(|key| Name::Key(self.account_id, key.to_owned()));
        let transfer = self.transfer_id().filter(|_| !self.dry_run);
        key.into_iter().chain(transfer.map(Name::Transfer))
    }
}

/// Never to be changed: kept keys are compared with it.
fn fingerprint(command: &Command, expected_version: Option<i64>) -> i64 {
    let body = serde_json::to_vec(&(command, expected_version)).unwrap_or_default();
    let (hash, _) = Uuid::new_v5(&Uuid::NAMESPACE_OID, &body).as_u64_pair();
    hash.cast_signed()
}

pub(super) type Reply = oneshot::Sender<Vec<CommandResult>>;

/// What waits for its lane: a command; or several that are decided one after the other and appended together.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) commands: Vec<Asked>,
    /// If one is not accepted, none is done.
    pub(super) all_or_none: bool,
    pub(super) reply: Reply,
    /// What it takes of the lane's queue.
    pub(super) _room: OwnedSemaphorePermit,
}

/// A command, with what is known of it before its lane has it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: CommandRequest,
    pub(super) partition: Partition,
    /// The other account it touches, if it does.
    pub(super) counterparty: Option<(Uuid, Partition)>,
    /// What can be known from the log already, because it never changes.
    pub(super) past: Past,
    /// Of accounts that it may take money from as of a time that is past.
    pub(super) timelines: Option<Arc<Timelines>>,
    /// What is in the log of that can't be read.
    pub(super) is_unreadable: bool,
}

/// What makes a command the same as another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Key(Uuid, String),
    Transfer(Uuid),
}

impl Pending {
    /// Decide and answer, but append nothing.
    pub(super) fn is_dry_run(&self) -> bool {
        self.commands.iter().any(|asked| asked.request.dry_run)
    }

    /// The accounts it touches.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (Uuid, Partition)> {
        self.commands.iter().flat_map(Asked::accounts)
    }

    /// Names by which its commands are known.
    pub(super) fn names(&self) -> Vec<Name> {
        self.commands.iter().flat_map(|asked| asked.request.names()).collect()
    }
}

impl Asked {
    /// A command for the log of so many partitions, of which nothing is known yet.
    pub(super) fn new(request: CommandRequest, partitions: Partition) -> Self {
        let partition = partition_of(request.account_id, partitions);
        Self {
            request,
            partition,
            counterparty: None,
            past: Past::default(),
            timelines: None,
            is_unreadable: false,
        }
    }

    /// The idempotency key to honour.
    pub(super) fn key(&self) -> Option<&str> {
        self.request.key()
    }

    /// Where its key is kept.
    pub(super) fn kept_key(&self) -> Option<Key<'_>> {
        self.key().map(|key| Key {
            partition: self.partition,
            account_id: self.request.account_id,
            key,
        })
    }

    /// The key to be kept with what has come of it: the account's version, how many events it caused, or why it was refused.
    pub(super) fn new_key(
        &self,
        version: i64,
        events: usize,
        refusal: Option<String>,
    ) -> Option<NewKey> {
        self.key().map(|key| NewKey {
            partition: self.partition,
            account_id: self.request.account_id,
            key: key.to_owned(),
            fingerprint: self.request.fingerprint(),
            version,
            events: i16::try_from(events).unwrap_or(i16::MAX),
            refusal,
        })
    }

    /// The id of the transfer it is to make.
    pub(super) fn transfer_id(&self) -> Option<Uuid> {
        self.request.transfer_id()
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = (Uuid, Partition)> {
        std::iter::once((self.request.account_id, self.partition)).chain(self.counterparty)
    }

    /// What the log has of the entry it is to undo.
    pub(super) fn know(&mut self, entry: &Entry) {
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
