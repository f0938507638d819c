//! The context of a batch as its decisions change it. A branch is merged or dropped, so nothing is
//! undone. Pure.

use std::collections::HashMap;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::Defect;
use super::change::{Change, ChangeEvents, NewestEvent};
use super::context::DecisionContext;
use crate::domain::effective::Timeline;
use crate::domain::facts::Facts;
use crate::domain::{Past, Subject, evolve};
use crate::log::append::{Append, AssertedVersion, NewEvent};
use crate::log::loaded::Loaded;
use crate::log::prepared_command::PreparedCommand;
use crate::outcome::CommandError;

/// The changes by the decisions of a batch, or of a branch.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) states: HashMap<Uuid, (Loaded, NewestEvent)>,
    pub(crate) facts: Facts,
    pub(crate) append: Append,
}

/// The context as decisions have changed it.
#[derive(Debug)]
pub(crate) struct Working<'c> {
    pub(crate) context: &'c DecisionContext,
    /// The changes that a branch starts from.
    below: Option<&'c Changes>,
    changes: Changes,
}

impl<'c> Working<'c> {
    pub(crate) fn new(context: &'c DecisionContext) -> Self {
        Self { context, below: None, changes: Changes::default() }
    }

    pub(crate) fn branch(&self) -> Working<'_> {
        Working { context: self.context, below: Some(&self.changes), changes: Changes::default() }
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Takes over the changes of a branch.
    pub(crate) fn merge(&mut self, changes: Changes) {
        let Changes { states, facts, append: Append { events, keys, asserted } } = changes;
        self.changes.states.extend(states);
        self.changes.facts.extend(facts);
        self.changes.append.events.extend(events);
        self.changes.append.keys.extend(keys);
        self.changes.append.asserted.extend(asserted);
    }

    /// Returns the newest event of an account.
    pub(crate) fn newest(&self, account_id: Uuid) -> Option<NewestEvent> {
        let changed = self.layers().find_map(|changes| changes.states.get(&account_id));
        let in_log = || self.context.state(account_id).map(|loaded| loaded.position);
        changed.map(|(_, newest)| *newest).or_else(|| in_log().map(NewestEvent::InLog))
    }

    /// Has the append check the versions of a command's accounts that the batch started from.
    pub(crate) fn assert_versions(&mut self, command: &PreparedCommand) {
        for (account_id, partition) in command.accounts() {
            // From the context: the append checks before it inserts the batch's own events.
            if let Some(Loaded { version, .. }) = self.context.state(account_id) {
                let asserted = AssertedVersion { partition, account_id, version: *version };
                self.changes.append.asserted.push(asserted);
            }
        }
    }

    pub(crate) fn keep_key(
        &mut self,
        command: &PreparedCommand,
        caused: usize,
        refusal: Option<String>,
    ) {
        if let Some(Loaded { version, .. }) = self.state(command.request.account_id) {
            let key = command.new_key(*version, caused, refusal);
            self.changes.append.keys.extend(key);
        }
    }

    pub(crate) fn subject(&self, account_id: Uuid) -> Result<Subject<'_>, CommandError> {
        let Loaded { account, version, .. } =
            self.state(account_id).ok_or(CommandError::Internal)?;
        Ok(Subject { account_id, version: *version, account })
    }

    /// Returns the facts that a command's decision needs.
    pub(crate) fn past(&self, command: &PreparedCommand) -> Past {
        let (account_id, needs) = (command.request.account_id, command.request.command.needs());
        let mut past = command.past.clone();
        if let Some(version) = needs.entry_version {
            let entry = (account_id, version);
            let reversal = self.facts().find_map(|facts| facts.reversals.get(&entry));
            past.reversed_by = past.reversed_by.or(reversal.copied());
        }
        if let Some(hold_id) = needs.hold_id {
            let hold = (account_id, hold_id);
            past.ended_hold = self.facts().find_map(|facts| facts.ended_holds.get(&hold)).copied();
        }
        let is_taken = |id| self.facts().any(|facts| facts.transfers.contains(&id));
        past.transfer_exists = needs.transfer_id.is_some_and(is_taken);
        past
    }

    pub(crate) fn timeline(&self, account_id: Uuid) -> Option<&Timeline> {
        self.facts().find_map(|facts| facts.timelines.get(&account_id))
    }

    /// Returns an entry that the batch itself has made.
    pub(crate) fn entry(&self, account_id: Uuid, version: i64) -> Option<AccountEvent> {
        let mut events = self.layers().flat_map(|changes| &changes.append.events);
        let event =
            events.find(|event| event.account_id == account_id && event.version == version)?;
        AccountEvent::decode(event.event_type, event.schema_version, &event.data).ok()
    }

    /// Applies events to an account. Fails on a defect.
    pub(crate) fn change(
        &mut self,
        account_id: Uuid,
        command: &PreparedCommand,
        events: &[AccountEvent],
    ) -> Result<Change, Defect> {
        let (partition, _) = *self.context.states.get(&account_id).ok_or(Defect)?;
        let first = self.event_count();
        for event in events {
            let index = self.event_count();
            let version = self.subject(account_id).map_err(|_| Defect)?.version + 1;
            let id = (self.context.new_id)();
            let row = NewEvent::new(event, id, (partition, account_id), version, &command.request);
            self.changes.append.events.push(row.map_err(|_| Defect)?);
            self.learn(account_id, version, event);
            let (loaded, newest) = self.changed_state(account_id).ok_or(Defect)?;
            // Taken, not cloned: `evolve` consumes the state.
            loaded.account = evolve(std::mem::take(&mut loaded.account), event);
            (loaded.version, *newest) = (version, NewestEvent::InBatch(index));
            let tenant = loaded.account.tenant().cloned();
            if let Some(row) = self.changes.append.events.last_mut() {
                row.metadata.context.tenant = tenant;
            }
        }
        let Loaded { account, version, .. } = self.state(account_id).ok_or(Defect)?;
        Ok(Change {
            account_id,
            partition,
            version: *version,
            account: account.summary().ok_or(Defect)?,
            newest: self.newest(account_id).ok_or(Defect)?,
            events: ChangeEvents::InBatch(first..self.event_count()),
        })
    }

    fn state(&self, account_id: Uuid) -> Option<&Loaded> {
        let changed = self.layers().find_map(|changes| changes.states.get(&account_id));
        changed.map(|(loaded, _)| loaded).or_else(|| self.context.state(account_id))
    }

    /// Returns the state of an account to change, copied from the layer below at first.
    fn changed_state(&mut self, account_id: Uuid) -> Option<&mut (Loaded, NewestEvent)> {
        if !self.changes.states.contains_key(&account_id) {
            let state = (self.state(account_id)?.clone(), self.newest(account_id)?);
            self.changes.states.insert(account_id, state);
        }
        self.changes.states.get_mut(&account_id)
    }

    fn learn(&mut self, account_id: Uuid, version: i64, event: &AccountEvent) {
        if let Some(mut timeline) = self.timeline(account_id).cloned() {
            // The events of a batch are recorded at one moment, after all that is in the log.
            timeline.take(event, Timestamp::LAST);
            self.changes.facts.timelines.insert(account_id, timeline);
        }
        self.changes.facts.learn(account_id, version, event);
    }

    /// Returns the number of events of the batch so far.
    pub(crate) fn event_count(&self) -> usize {
        self.layers().map(|changes| changes.append.events.len()).sum()
    }

    /// The changes of the branch and of what it starts from, the latest first.
    fn layers(&self) -> impl Iterator<Item = &Changes> {
        std::iter::once(&self.changes).chain(self.below)
    }

    fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.layers().map(|changes| &changes.facts).chain([&self.context.facts])
    }
}
