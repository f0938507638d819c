//! The last step: results of a batch that was appended.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use tokio::time::Instant;
use uuid::Uuid;

use super::deps::LaneDeps;
use super::queue::Submission;
use crate::decision::batch::DecidedBatch;
use crate::decision::change::{Change, ChangeEvents, NewestEvent};
use crate::decision::command::Decision;
use crate::decision::command_set::Place;
use crate::decision::context::DecisionContext;
use crate::log::append::Appended;
use crate::log::loaded::Loaded;
use crate::log::state_cache::{CacheGuard, Kind};
use crate::outcome::{AccountChange, CommandResult, Outcome};

/// Results of a batch, once it is durable.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) results: Vec<(Place, CommandResult)>,
    /// The events of the batch, as they are in the log.
    pub(super) events: Vec<Arc<RecordedEvent>>,
    pub(super) states: Vec<FinalState>,
}

/// The state of an account after a batch.
#[derive(Debug)]
pub(super) struct FinalState {
    pub(super) account_id: Uuid,
    pub(super) partition: Partition,
    pub(super) loaded: Loaded,
    /// Version before the batch.
    pub(super) version_before: i64,
    /// Newest event, if the batch appended it.
    pub(super) newest: Option<Uuid>,
}

impl Finished {
    /// Builds the results from what was decided and what was appended.
    pub(super) fn new(
        context: DecisionContext,
        batch: DecidedBatch,
        events: Vec<Arc<RecordedEvent>>,
    ) -> Self {
        let DecidedBatch { decisions, mut changes, .. } = batch;
        let result = |(place, decision)| (place, result(decision, &events));
        let results = decisions.into_iter().map(result).collect();
        let states = context.states.into_iter().map(|(account_id, (partition, before))| {
            let version_before = before.version;
            let (mut loaded, mut newest) = (before, None);
            if let Some((changed, event)) = changes.states.remove(&account_id) {
                loaded = Loaded { position: number(event, &events), ..changed };
                if let NewestEvent::InBatch(index) = event {
                    newest = Some(events[index].event_id);
                }
            }
            FinalState { account_id, partition, loaded, version_before, newest }
        });
        let states = states.collect();
        Self { results, events, states }
    }

    /// Returns true if most of the commands had an outcome before.
    pub(super) fn is_mostly_replays(&self) -> bool {
        let is_replay =
            |(_, result): &&(Place, CommandResult)| result.as_ref().is_ok_and(Outcome::is_replay);
        2 * self.results.iter().filter(is_replay).count() > self.results.len()
    }

    /// Hands the events to the relay, and the states to the snapshots and the caches. `connected`
    /// is the time at which the connection was opened.
    pub(super) fn hand_over(
        &mut self,
        deps: &LaneDeps,
        snapshot_every: i64,
        caches: &mut CacheGuard,
        connected: Instant,
    ) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            // Postgres's clock may lead this one, but later decisions must not be before an event.
            deps.clock.recorded(event.position.partition, event.recorded_at);
        }
        if !events.is_empty() {
            // A relay whose queue is full reads the events from the log.
            let _ = deps.relay.try_send(Appended { events, connected });
        }
        for state in std::mem::take(&mut self.states) {
            let FinalState { account_id, partition, loaded, version_before, newest } = state;
            if let Some(event_id) = newest {
                let (account, state) = ((partition, account_id), (&loaded, event_id));
                deps.snapshots.keep_if_due(account, state, version_before, snapshot_every);
            }
            caches.keep(Kind::Newest, account_id, partition, loaded);
        }
    }

    /// Answers the submissions of which all commands have a result. Returns the others.
    pub(super) fn answer(self, submissions: Vec<Submission>) -> Vec<Submission> {
        let mut results = self.results;
        // Replayed results were added after the decided ones.
        results.sort_unstable_by_key(|(place, _)| *place);
        let mut results = results.into_iter().peekable();
        let mut undecided = Vec::new();
        for (index, submission) in submissions.into_iter().enumerate() {
            let mut own = Vec::with_capacity(submission.set.commands.len());
            while let Some((_, result)) = results.next_if(|((of, _), _)| *of == index) {
                own.push(result);
            }
            // A set without all results repeats an identity of the batch, see `Prior::open`.
            if own.len() == submission.set.commands.len() {
                submission.answer(own);
            } else {
                undecided.push(submission);
            }
        }
        undecided
    }
}

fn result(decision: Decision, events: &[Arc<RecordedEvent>]) -> CommandResult {
    match decision {
        Decision::Error(error) => Err(error),
        Decision::Refused(refusal) => Ok(Outcome::Refused { replayed: false, refusal }),
        Decision::Accepted { own, to } => Ok(Outcome::Accepted {
            replayed: false,
            own: account_change(own, events),
            to: to.map(|to| account_change(to, events)),
        }),
    }
}

fn account_change(change: Change, recorded: &[Arc<RecordedEvent>]) -> AccountChange {
    let Change { account_id, partition, version, account, newest, events } = change;
    let position = Position { partition, number: number(newest, recorded) };
    let events = match events {
        ChangeEvents::InBatch(range) => recorded[range].to_vec(),
        ChangeEvents::DryRun(events, now) => {
            let as_recorded = |event| {
                let event = crate::log::append::NewEvent::recorded(event, position.number, now);
                Arc::new(RecordedEvent { position, ..event })
            };
            events.into_iter().map(as_recorded).collect()
        }
    };
    AccountChange { account_id, version, position, account, events }
}

fn number(newest: NewestEvent, recorded: &[Arc<RecordedEvent>]) -> i64 {
    match newest {
        NewestEvent::InLog(number) => number,
        NewestEvent::InBatch(index) => recorded[index].position.number,
    }
}
