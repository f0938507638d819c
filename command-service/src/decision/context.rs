//! The states and facts that decisions rest on.

use std::collections::{BTreeMap, HashMap};

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::domain::Account;
use crate::domain::facts::Facts;
use crate::log::loaded::Loaded;
use crate::log::past::HoldId;
use crate::log::prepared_command::PreparedCommand;

/// The states and facts that the decisions of a batch rest on.
#[derive(Debug)]
pub(crate) struct DecisionContext {
    pub(crate) states: HashMap<Uuid, (Partition, Loaded)>,
    pub(crate) facts: Facts,
    /// Time of the log, by partition.
    pub(crate) times: BTreeMap<Partition, Timestamp>,
    /// Maximum number of open holds of an account.
    pub(crate) most_holds: usize,
    /// Source of event ids.
    pub(crate) new_id: fn() -> Uuid,
}

impl DecisionContext {
    pub(crate) fn state(&self, account_id: Uuid) -> Option<&Loaded> {
        self.states.get(&account_id).map(|(_, loaded)| loaded)
    }

    /// Returns the hold of a command if it is not open: the facts have it then, if it was ever
    /// placed.
    pub(crate) fn hold_not_open(&self, command: &PreparedCommand) -> Option<HoldId> {
        let account_id = command.request.account_id;
        let hold_id = command.request.command.needs().hold_id?;
        let may_have_ended = match &self.state(account_id)?.account {
            Account::Open(open) => !open.holds.contains_key(&hold_id),
            // The domain refuses the command without a look at the hold.
            Account::Unopened | Account::Closed(_) => false,
        };
        may_have_ended.then_some((command.partition, account_id, hold_id))
    }
}
