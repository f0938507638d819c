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
    /// Creates a context without states and times.
    pub(crate) fn new(most_holds: usize) -> Self {
        let (states, facts) = (HashMap::new(), Facts::default());
        Self { states, facts, times: BTreeMap::new(), most_holds, new_id: Uuid::now_v7 }
    }

    /// Reads the times of the partitions of `sets`. The states must be loaded before: an event that
    /// another instance has recorded is not later then.
    pub(crate) fn at_present(self, clock: &LogClock, sets: &[&CommandSet]) -> Self {
        Self { times: clock.times(sets.iter().flat_map(|set| set.partitions())), ..self }
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
            // The domain refuses the command without a look at the hold.
            Account::Unopened | Account::Closed(_) => false,
        };
        may_have_ended.then_some((command.partition, account_id, hold_id))
    }
}
