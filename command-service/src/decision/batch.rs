//! Second step of an attempt: the decision on a batch. Each command is decided on the state that
//! the previous commands leave. Performs no I/O.
//!
//! Atomic sets and dry runs are decided on a copy of that state (`Working::branch`). The copy of an
//! accepted set is merged; any other copy is dropped.

use super::Defect;
use super::change::ChangeEvents;
use super::command::Decision;
use super::command_set::{CommandSet, Place};
use super::context::DecisionContext;
use super::working::{Changes, Working};
use crate::log::prepared_command::PreparedCommand;
use crate::outcome::CommandError;

/// Decisions on a batch, and the changes that they cause.
#[derive(Debug, Default)]
pub(crate) struct DecidedBatch {
    pub(crate) decisions: Vec<(Place, Decision)>,
    /// Indices of the atomic sets with a command that was not accepted.
    pub(crate) aborted: Vec<usize>,
    pub(crate) changes: Changes,
}

/// Decides the commands of sets, each set with its index in the batch. Skips commands that already
/// have an outcome. Sets must not share an idempotency key or a transfer id.
///
/// # Errors
/// A decision cannot be turned into events, which is a defect of the program.
pub(crate) fn decide_batch<'s>(
    context: &DecisionContext,
    sets: impl Iterator<Item = (usize, &'s CommandSet)>,
    has_outcome: impl Fn(Place) -> bool,
) -> Result<DecidedBatch, Defect> {
    let (mut working, mut batch) = (Working::new(context), DecidedBatch::default());
    for (index, set) in sets {
        let places = set.places(index).filter(|place| !has_outcome(*place));
        if set.is_atomic || set.is_dry_run() {
            let decisions = decide_branch(&mut working, set, places)?;
            let is_aborted = |(_, decision): &(Place, Decision)| !decision.is_accepted();
            if set.is_atomic && decisions.iter().any(is_aborted) {
                batch.aborted.push(index);
            }
            batch.decisions.extend(decisions);
        } else {
            for place in places {
                let decision = working.decide(&set.commands[place.1])?;
                batch.decisions.push((place, decision));
            }
        }
    }
    batch.changes = working.into_changes();
    Ok(batch)
}

/// Decides an atomic set or a dry run on a copy of the state.
fn decide_branch(
    working: &mut Working<'_>,
    set: &CommandSet,
    places: impl Iterator<Item = Place>,
) -> Result<Vec<(Place, Decision)>, Defect> {
    let (mut branch, mut decisions) = (working.branch(), Vec::new());
    let mut is_aborted = false;
    for place in places {
        let decision = if is_aborted {
            Decision::Error(CommandError::SetAborted)
        } else {
            branch.decide(&set.commands[place.1])?
        };
        is_aborted |= set.is_atomic && !decision.is_accepted();
        decisions.push((place, decision));
    }
    let changes = branch.into_changes();
    if !is_aborted && !set.is_dry_run() {
        working.merge(changes);
        return Ok(decisions);
    }
    // The dropped events would have checked the versions of the accounts. Asserted versions check
    // them instead.
    set.commands.iter().for_each(|command| working.assert_versions(command));
    for ((_, n), decision) in &mut decisions {
        if is_aborted {
            working.abort(&set.commands[*n], decision);
        } else {
            working.detach(&set.commands[*n], decision, &changes);
        }
    }
    Ok(decisions)
}

impl Working<'_> {
    /// Changes the decision on a command of an aborted set. An acceptance becomes
    /// [`CommandError::SetAborted`]. A refusal is stored under the idempotency key only if the
    /// command would also be refused outside the set.
    fn abort(&mut self, command: &PreparedCommand, decision: &mut Decision) {
        match decision {
            Decision::Accepted { .. } => *decision = Decision::Error(CommandError::SetAborted),
            Decision::Refused(refusal) => {
                let alone = self.evaluate(command, self.now(command));
                if matches!(alone, Ok(Err(alone)) if alone == *refusal) {
                    self.keep_refusal(command, refusal);
                }
            }
            Decision::Error(_) => {}
        }
    }

    /// Copies the events of a dry run into its decision, because the dropped changes in `branch`
    /// are never appended.
    fn detach(&self, command: &PreparedCommand, decision: &mut Decision, branch: &Changes) {
        let Decision::Accepted { own, to } = decision else { return };
        for change in std::iter::once(own).chain(to) {
            if let ChangeEvents::InBatch(range) = &change.events {
                // The branch has numbered its events after those of the batch.
                let first = self.event_count();
                let events = &branch.append.events[range.start - first..range.end - first];
                change.events = ChangeEvents::DryRun(events.to_vec(), self.now(command));
            }
            // The event of a dry run is never in the log.
            if let Some(newest) = self.newest(change.account_id) {
                change.newest = newest;
            }
        }
    }
}
