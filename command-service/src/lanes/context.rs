//! The first step: loading what the decisions of a batch rest on. An optimistic batch starts from
//! cached states; a pessimistic one reads all of them under the locks of their partitions.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::failure::Failure;
use super::steps::Limit;
use crate::decision::command_set::CommandSet;
use crate::decision::context::DecisionContext;
use crate::domain::Command;
use crate::domain::effective::Timeline;
use crate::domain::facts::Facts;
use crate::log::access::LogAccess;
use crate::log::clock::LogClock;
use crate::log::effective::follow;
use crate::log::load::{LoadError, Wanted, load};
use crate::log::loaded::Loaded;
use crate::log::past::{self, HoldId};
use crate::log::prepared_command::PreparedCommand;
use crate::log::state_cache::Kind;

/// Maximum number of sets whose accounts are loaded in one query, each of which has the time of a
/// step.
const LOADED_AT_ONCE: usize = 64;
/// Maximum number of events between the preparation of a backdated debit and its decision: the lane
/// has other commands waiting.
const MOST_SINCE_PREPARED: usize = 2_000;

impl DecisionContext {
    /// Creates a context without states and times.
    pub(super) fn new(most_holds: usize) -> Self {
        let (states, facts) = (HashMap::new(), Facts::default());
        Self { states, facts, times: BTreeMap::new(), most_holds, new_id: Uuid::now_v7 }
    }

    /// Reads the times of the partitions of `sets`. The states must be loaded before: an event that
    /// another instance has recorded is not later then.
    pub(super) fn at_present(self, clock: &LogClock, sets: &[&CommandSet]) -> Self {
        Self { times: clock.times(sets.iter().flat_map(|set| set.partitions())), ..self }
    }

    /// Loads the context of an optimistic batch. The unique keys of the log refuse most of what is
    /// stale in it.
    pub(super) async fn cached(
        mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
        limit: Limit,
    ) -> Result<Self, Failure> {
        for command in commands(sets) {
            let is_opening = matches!(command.request.command, Command::Open(_));
            for (id, partition) in command.accounts() {
                if self.states.contains_key(&id) {
                    continue;
                }
                let cached = log.caches.get(Kind::Newest, id, partition).cloned();
                // An opening is nearly always of a new account. If it is not, the unique version
                // says so.
                let known = cached.or_else(|| is_opening.then(Loaded::default));
                self.states.extend(known.map(|loaded| (id, (partition, loaded))));
            }
        }
        for some in sets.chunks(LOADED_AT_ONCE) {
            limit.of_load(self.load_states(log, some)).await?;
        }
        Ok(self)
    }

    /// Loads what else an optimistic batch needs.
    pub(super) async fn with_facts(
        mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
    ) -> Result<Self, Failure> {
        self.check_entries(sets)?;
        // The unique key of `holds` refuses a hold whose id was used before.
        let ends_hold =
            |command: &&PreparedCommand| !matches!(command.request.command, Command::Hold(_));
        self.load_ended_holds(log, commands(sets).filter(ends_hold)).await?;
        self.load_timelines(log, sets).await?;
        Ok(self)
    }

    /// Loads the accounts of commands whose senders do not reach every account.
    pub(super) async fn restricted(
        mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
    ) -> Result<Self, Failure> {
        let is_restricted = |set: &&&CommandSet| {
            set.commands.iter().any(|command| !command.request.reach.is_everything())
        };
        let restricted: Vec<&CommandSet> = sets.iter().filter(is_restricted).copied().collect();
        self.load_states(log, &restricted).await?;
        Ok(self)
    }

    /// Loads the context of a pessimistic batch, whose partitions are locked. `taken_ids` are ids
    /// of other transfers.
    pub(super) async fn locked(
        mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
        taken_ids: HashSet<Uuid>,
    ) -> Result<Self, Failure> {
        self.load_states(log, sets).await?;
        self.check_entries(sets)?;
        self.load_ended_holds(log, commands(sets)).await?;
        // Read again under the locks: an entry may have been reversed since the preparation.
        let entries: Vec<_> = commands(sets).filter_map(PreparedCommand::entry).collect();
        if !entries.is_empty() {
            let found = past::entries(&mut *log.connection, &entries).await?;
            self.facts.reversals.extend(found.into_iter().filter_map(
                |((_, account_id, version), entry)| {
                    Some(((account_id, version), entry.reversed_by?))
                },
            ));
        }
        self.facts.transfers = taken_ids;
        self.load_timelines(log, sets).await?;
        Ok(self)
    }

    /// Checks that the log still has the entries that the preparation has read: a backup may have
    /// replaced it since, or the cached state is older.
    fn check_entries(&self, sets: &[&CommandSet]) -> Result<(), Failure> {
        let is_missing = |command: &PreparedCommand| {
            let entry = command.entry().filter(|_| command.past.entry.is_some());
            entry.is_some_and(|(_, account_id, version)| {
                self.state(account_id).is_some_and(|loaded| loaded.version < version)
            })
        };
        if commands(sets).any(is_missing) {
            return Err(Failure::StaleState);
        }
        Ok(())
    }

    /// Loads the accounts that are missing. One that can't be decoded stays missing.
    async fn load_states(
        &mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
    ) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        let wanted: Vec<Wanted> = sets
            .iter()
            .flat_map(|set| set.accounts())
            .filter(|(id, _)| !self.states.contains_key(id) && seen.insert(*id))
            .map(|(account_id, partition)| Wanted { partition, account_id, version: i64::MAX })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let results = load(log.connection, &wanted, log.snapshots).await?;
        for (Wanted { partition, account_id, .. }, result) in wanted.into_iter().zip(results) {
            match result {
                Ok(loaded) => {
                    self.states.insert(account_id, (partition, loaded));
                }
                // Only the commands on this account fail; the others are decided.
                Err(error) => tracing::error!(%error, "an account can't be loaded"),
            }
        }
        Ok(())
    }

    async fn load_ended_holds<'c>(
        &mut self,
        log: &mut LogAccess<'_>,
        commands: impl Iterator<Item = &'c PreparedCommand>,
    ) -> Result<(), Failure> {
        let holds: Vec<HoldId> =
            commands.filter_map(|command| self.hold_not_open(command)).collect();
        if !holds.is_empty() {
            let ended = past::ended_holds(&mut *log.connection, &holds).await?;
            self.facts.ended_holds.extend(ended);
        }
        Ok(())
    }

    /// Takes the timelines of prepared commands to the versions of the states.
    async fn load_timelines(
        &mut self,
        log: &mut LogAccess<'_>,
        sets: &[&CommandSet],
    ) -> Result<(), Failure> {
        let prepared = commands(sets).filter_map(|command| command.timelines.as_ref());
        for (account_id, timeline) in prepared.flat_map(|timelines| timelines.iter()) {
            let known = self.facts.timelines.get(&account_id).map(Timeline::from);
            // The timeline that begins first serves all debits of the batch.
            if known.is_none_or(|from| from > timeline.from()) {
                self.facts.timelines.insert(account_id, timeline.clone());
            }
        }
        for (account_id, timeline) in &mut self.facts.timelines {
            let Some((partition, loaded)) = self.states.get(account_id) else { continue };
            let (partition, account_id, version) = (*partition, *account_id, loaded.version);
            // The preparation has read events that the cached state lacks.
            if timeline.version() > version {
                return Err(Failure::StaleState);
            }
            // A cut timeline answers `TooFarBack`, whatever follows.
            if timeline.version() < version && !timeline.is_cut() {
                let wanted = Wanted { partition, account_id, version };
                let followed = follow(log.connection, timeline, wanted, MOST_SINCE_PREPARED).await;
                followed.map_err(|error| match error {
                    LoadError::Store(error) => error.into(),
                    LoadError::Unreadable(error) => {
                        tracing::error!(%error, "an account's past can't be read");
                        Failure::Defect
                    }
                })?;
            }
        }
        Ok(())
    }
}

fn commands<'s>(sets: &'s [&CommandSet]) -> impl Iterator<Item = &'s PreparedCommand> {
    sets.iter().flat_map(|set| &set.commands)
}
