//! Commands that were decided and are taken back: dry runs, and those that are done together or not at all.

use std::collections::HashMap;

use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use super::{Batch, Changed, Decision, EventsOf, Facts, Loaded, Pending, State};
use crate::outcome::CommandError;

/// A batch as it was before a pending one, as far as that has changed it.
#[derive(Debug)]
pub(super) struct Mark {
    states: HashMap<Uuid, (Loaded, Option<usize>)>,
    facts: Facts,
    events: usize,
    keys: usize,
    asserted: usize,
}

impl Mark {
    /// The account is about to change.
    pub(super) fn remember(&mut self, account_id: Uuid, state: &State) {
        self.states.entry(account_id).or_insert_with(|| (state.loaded.clone(), state.newest));
    }
}

impl Batch {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            states: HashMap::new(),
            facts: self.facts.clone(),
            events: self.append.events.len(),
            keys: self.append.keys.len(),
            asserted: self.append.asserted.len(),
        }
    }

    /// Takes back what was decided from `first` on, the last of which was not accepted. The others have not been decided.
    pub(super) fn undo_all(&mut self, pending: &Pending, before: Mark, first: usize) {
        self.undo(before);
        self.assert(pending.accounts());
        for (place, decision) in self.decided.split_off(first) {
            let asked = &pending.commands[place.1];
            let decision = match decision {
                Decision::Accepted { .. } => Decision::Error(CommandError::SetAborted),
                Decision::Refused(refusal) => {
                    // A refusal for what the set itself did is none for the command alone.
                    if matches!(self.judge(asked, self.now(asked)), Ok(Err(alone)) if alone == refusal)
                    {
                        self.keep_refusal(asked, &refusal);
                    }
                    Decision::Refused(refusal)
                }
                error @ Decision::Error(_) => error,
            };
            self.decided.push((place, decision));
        }
    }

    /// Takes back what was decided from `first` on; the answers stay.
    pub(super) fn undo_dry_run(&mut self, pending: &Pending, before: Mark, first: usize) {
        let start = before.events;
        let events = self.undo(before);
        self.assert(pending.accounts());
        for (_, decision) in &mut self.decided[first..] {
            if let Decision::Accepted { own, to } = decision {
                for changed in std::iter::once(own).chain(to) {
                    changed.newest =
                        self.states.get(&changed.account_id).and_then(|state| state.newest);
                    changed.keep_events(&events, start);
                }
            }
        }
    }

    /// Gives the events that are no part of the batch any more.
    fn undo(&mut self, before: Mark) -> Vec<RecordedEvent> {
        let events = self.append.events.split_off(before.events);
        for event in &events {
            if let Some(count) = self.counts.get_mut(&event.position.partition) {
                *count -= 1;
            }
        }
        self.append.keys.truncate(before.keys);
        self.append.asserted.truncate(before.asserted);
        self.facts = before.facts;
        for (account_id, (loaded, newest)) in before.states {
            if let Some(state) = self.states.get_mut(&account_id) {
                (state.loaded, state.newest) = (loaded, newest);
            }
        }
        events
    }
}

impl Changed {
    /// Keeps its events, which began at `start` in the batch, as of a dry run: they are where the account's newest event is.
    fn keep_events(&mut self, events: &[RecordedEvent], start: usize) {
        if let EventsOf::Append(range) = &self.events {
            self.events = EventsOf::DryRun(events[range.start - start..range.end - start].to_vec());
        }
    }
}
