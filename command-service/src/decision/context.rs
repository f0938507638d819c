//! The states and facts that decisions rest on.

use std::collections::{BTreeMap, HashMap};

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::command_set::CommandSet;
use crate::domain::Account;
use crate::domain::facts::Facts;
use crate::log::clock::LogClock;
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
    /// Creates a context without states.
    pub(crate) fn new(clock: &LogClock, most_holds: usize, sets: &[&CommandSet]) -> Self {
        let partitions = sets.iter().flat_map(|set| set.partitions());
        let (states, facts) = (HashMap::new(), Facts::default());
        Self { states, facts, times: clock.times(partitions), most_holds, new_id: Uuid::now_v7 }
    }

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
            Account::Unopened | Account::Closed(_) => false,
        };
        may_have_ended.then_some((command.partition, account_id, hold_id))
    }
}
