//! Requests to run a command, as the HTTP layer and the upkeep hand them to the lanes.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;

use passbook_shared::access::Reach;
use passbook_shared::recorded_event::CommandContext;
use uuid::Uuid;

use crate::domain::Command;

/// A command for one account.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// The account.
    pub account_id: Uuid,
    /// The command.
    pub command: Command,
    /// Accounts that the sender's rights apply to. Others are as good as missing.
    pub reach: Reach,
    /// Versions of which the account must have one (`If-Match`); any, if absent.
    pub expected_versions: Option<Vec<i64>>,
    /// True for a command that is decided and answered, but not appended. Its key is neither looked
    /// up nor kept.
    pub dry_run: bool,
    /// Id of this request in the events it causes; unique for each request.
    pub command_id: Uuid,
    /// Headers of the request; its idempotency key is honoured.
    pub context: CommandContext,
}

/// An identity that at most one command of the log has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// An idempotency key of an account.
    Key(Uuid, String),
    /// The id of a transfer.
    Transfer(Uuid),
}

impl CommandRequest {
    /// Returns a hash of the command, which differs between a repeat and another use of its key.
    /// The hash leaves out `If-Match` and the headers: they may differ from one try to the next.
    pub fn fingerprint(&self) -> i64 {
        fingerprint(&self.command, None)
    }

    /// Returns whether a kept fingerprint is that of this request.
    pub(crate) fn has_fingerprint(&self, kept: i64) -> bool {
        // Earlier releases hashed `If-Match` as well.
        let with_precondition = match self.expected_versions.as_deref() {
            Some([version]) => Some(fingerprint(&self.command, Some(*version))),
            Some(_) | None => None,
        };
        kept == self.fingerprint() || with_precondition == Some(kept)
    }

    /// Returns the principal that sent the request; `None` without authentication.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.context.actor.as_deref()
    }

    /// Returns the idempotency key to honour.
    pub(crate) fn key(&self) -> Option<&str> {
        self.context.idempotency_key.as_deref().filter(|_| !self.dry_run)
    }

    /// Returns the identities of the command; a dry run has none.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> {
        let key = self.key().map(|key| Identity::Key(self.account_id, key.to_owned()));
        let transfer = self.command.needs().transfer_id.filter(|_| !self.dry_run);
        key.into_iter().chain(transfer.map(Identity::Transfer))
    }
}

/// The identities that requests or sets of them have claimed.
#[derive(Debug, Default)]
pub(crate) struct FirstUses(HashSet<Identity>);

impl FirstUses {
    /// Claims the identities of a set. Returns false if another set has claimed one of them.
    pub(crate) fn claim(&mut self, identities: impl Iterator<Item = Identity>) -> bool {
        // A set may name an identity twice: it does not collide with itself.
        let own: Vec<Identity> = identities.collect();
        let are_new = own.iter().all(|identity| !self.0.contains(identity));
        self.0.extend(own);
        are_new
    }
}

/// Splits requests, in their order, into stretches without repeats.
pub(crate) fn stretches(requests: Vec<CommandRequest>) -> Vec<Vec<CommandRequest>> {
    let (mut stretches, mut uses) = (Vec::new(), FirstUses::default());
    let mut stretch = Vec::new();
    for request in requests {
        if !uses.claim(request.identities()) {
            stretches.push(std::mem::take(&mut stretch));
            uses = FirstUses::default();
            uses.claim(request.identities());
        }
        stretch.push(request);
    }
    stretches.push(stretch);
    stretches
}

/// The hash must never change: kept keys are compared with it.
fn fingerprint(command: &Command, expected_version: Option<i64>) -> i64 {
    let body = serde_json::to_vec(&(command, expected_version)).unwrap_or_default();
    // UUIDv5 is specified; the standard library's hasher may change between releases.
    let (hash, _) = Uuid::new_v5(&Uuid::NAMESPACE_OID, &body).as_u64_pair();
    hash.cast_signed()
}
