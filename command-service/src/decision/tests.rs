//! Batches that are decided without Postgres: the states, the times and the ids are given.

mod backdated;
mod batches;
mod holds;
mod keys;
mod properties;
mod reach;
mod reversals;
mod sets;

use std::collections::HashMap;

use passbook_shared::partition::{PartitionCount, partition_of};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::batch::{DecidedBatch, decide_batch};
use super::change::{Change, ChangeEvents};
use super::command::Decision;
use super::command_set::CommandSet;
use super::context::DecisionContext;
use crate::domain::facts::Facts;
use crate::domain::tests::specification::{at, opening};
use crate::domain::{Command, Refusal};
use crate::log::loaded::Loaded;
use crate::log::prepared_command::PreparedCommand;
use crate::request::CommandRequest;
use crate::request::tests::request;

pub(crate) const PARTITIONS: PartitionCount = PartitionCount::new(4);
pub(crate) const ADA: Uuid = Uuid::from_u128(1);
pub(crate) const BOB: Uuid = Uuid::from_u128(2);

fn now() -> Timestamp {
    at(0)
}

fn open(balance: i64) -> Command {
    Command::Open(opening(balance, 0))
}

pub(crate) fn set(is_atomic: bool, requests: Vec<CommandRequest>) -> CommandSet {
    let prepared = |request| PreparedCommand::new(request, PARTITIONS);
    CommandSet { commands: requests.into_iter().map(prepared).collect(), is_atomic }
}

pub(crate) fn each(requests: Vec<CommandRequest>) -> Vec<CommandSet> {
    requests.into_iter().map(|request| set(false, vec![request])).collect()
}

/// Creates the context of accounts that were never opened.
pub(crate) fn context() -> DecisionContext {
    let states = [ADA, BOB].map(|account_id| {
        let partition = partition_of(account_id, PARTITIONS);
        (account_id, (partition, Loaded::default()))
    });
    DecisionContext {
        states: HashMap::from(states),
        facts: Facts::default(),
        times: PARTITIONS.all().map(|partition| (partition, now())).collect(),
        most_holds: 2,
        new_id: Uuid::nil,
    }
}

/// Returns the context of the batch that follows one.
fn context_after(context: DecisionContext, batch: DecidedBatch) -> DecisionContext {
    let mut next = context;
    for (account_id, (changed, _)) in batch.changes.states {
        if let Some((_, loaded)) = next.states.get_mut(&account_id) {
            // The numbers of the log are not known here.
            *loaded = Loaded { position: 1_000 + changed.version, ..changed };
        }
    }
    next.facts.extend(batch.changes.facts);
    next
}

pub(crate) fn decide(context: &DecisionContext, sets: &[CommandSet]) -> DecidedBatch {
    decide_batch(context, sets.iter().enumerate(), |_| false).unwrap()
}

fn openings() -> CommandSet {
    set(false, vec![request(ADA, open(100)), request(BOB, open(0))])
}

/// Returns the context of accounts of which ada has 100 and bob nothing, both at version 1.
pub(crate) fn opened() -> DecisionContext {
    let context = context();
    let batch = decide(&context, &[openings()]);
    context_after(context, batch)
}

/// Decides on accounts of which ada has 100 and bob nothing. The openings are the first set.
fn decide_after_openings(sets: Vec<CommandSet>) -> DecidedBatch {
    let sets: Vec<CommandSet> = std::iter::once(openings()).chain(sets).collect();
    let mut batch = decide(&context(), &sets);
    batch.decisions.drain(..2);
    batch
}

fn event_types(batch: &DecidedBatch) -> Vec<&str> {
    let after_openings = batch.changes.append.events.iter().skip(2);
    after_openings.map(|event| event.event_type).collect()
}

/// Returns the decisions as text: the version, the refusal's or the error's name.
fn described(batch: &DecidedBatch) -> Vec<String> {
    let describe = |decision: &Decision| match decision {
        Decision::Accepted { own, .. } => format!("v{}", own.version),
        Decision::Refused(Refusal::InsufficientFunds { .. }) => "funds".to_owned(),
        Decision::Refused(refusal) => format!("{refusal:?}"),
        Decision::Error(error) => format!("{error:?}"),
    };
    batch.decisions.iter().map(|(_, decision)| describe(decision)).collect()
}

/// Returns the change of a command's own account.
#[track_caller]
fn own(batch: &DecidedBatch, n: usize) -> &Change {
    match &batch.decisions[n].1 {
        Decision::Accepted { own, .. } => own,
        other => panic!("not accepted: {other:?}"),
    }
}

/// Returns the indices of a change's events in the batch.
#[track_caller]
fn range(change: &Change) -> std::ops::Range<usize> {
    match &change.events {
        ChangeEvents::InBatch(range) => range.clone(),
        ChangeEvents::DryRun(..) => panic!("a dry run"),
    }
}
