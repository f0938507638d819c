//! Commands that are decided one after the other and appended together.

use passbook_shared::partition::Partition;
use uuid::Uuid;

use crate::log::prepared_command::PreparedCommand;
use crate::request::Identity;

/// A command's place in a batch: the index of its set, and its own within that.
pub(crate) type Place = (usize, usize);

/// One command, or several that belong together.
#[derive(Debug)]
pub(crate) struct CommandSet {
    pub(crate) commands: Vec<PreparedCommand>,
    /// True if none of the commands is done unless all are accepted.
    pub(crate) is_atomic: bool,
}

impl CommandSet {
    /// Returns true if the commands are decided and answered, but not appended.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.commands.iter().any(|command| command.request.dry_run)
    }

    /// Returns the principal that sent the commands; `None` without authentication.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.commands.first()?.request.principal()
    }

    /// Returns the places of the commands, if the set is at an index of its batch.
    pub(crate) fn places(&self, index: usize) -> impl Iterator<Item = Place> + use<> {
        (0..self.commands.len()).map(move |n| (index, n))
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Uuid, Partition)> {
        self.commands.iter().flat_map(PreparedCommand::accounts)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> {
        self.accounts().map(|(_, partition)| partition)
    }

    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> {
        self.commands.iter().flat_map(|command| command.request.identities())
    }
}
