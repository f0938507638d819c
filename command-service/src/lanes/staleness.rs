//! Checks of an optimistic batch that no constraint makes: its refusals, dry runs and aborted sets
//! insert nothing that a unique key could refuse.

#[cfg(test)]
mod tests;

use sqlx::PgConnection;

use crate::decision::batch::DecidedBatch;
use crate::decision::change::{Change, ChangeEvents};
use crate::decision::command::Decision;
use crate::decision::command_set::CommandSet;
use crate::decision::context::DecisionContext;
use crate::domain::{Command, Refusal};
use crate::log::outcomes::{Key, by_key};
use crate::log::past;
use crate::log::prepared_command::PreparedCommand;

/// Returns true if the log knows better than the context that a batch was decided on.
pub(super) async fn is_stale(
    connection: &mut PgConnection,
    context: &DecisionContext,
    batch: &DecidedBatch,
    sets: &[&CommandSet],
) -> sqlx::Result<bool> {
    let of_aborted = || batch.aborted.iter().flat_map(|index| &sets[*index].commands);
    let decided = |is_wanted: fn(&Decision) -> bool| {
        let wanted = batch.decisions.iter().filter(move |(_, decision)| is_wanted(decision));
        wanted.map(|((index, n), _)| &sets[*index].commands[*n])
    };
    // A command that was accepted before may fail its precondition now.
    let unkept = of_aborted().chain(decided(is_refusal_not_kept));
    let keys: Vec<Key<'_>> = unkept.filter_map(PreparedCommand::key).collect();
    if !keys.is_empty() && by_key(&mut *connection, &keys).await?.iter().any(Option::is_some) {
        return Ok(true);
    }
    let unchecked: Vec<&PreparedCommand> = of_aborted().chain(decided(is_unchecked)).collect();
    let transfers: Vec<_> = unchecked
        .iter()
        .filter_map(|command| command.request.command.needs().transfer_id)
        .collect();
    if !transfers.is_empty() && !past::transfers(&mut *connection, &transfers).await?.is_empty() {
        return Ok(true);
    }
    let holds: Vec<_> = unchecked
        .iter()
        .filter(|command| matches!(command.request.command, Command::Hold(_)))
        .filter_map(|command| context.hold_not_open(command))
        .collect();
    if !holds.is_empty() && !past::ended_holds(&mut *connection, &holds).await?.is_empty() {
        return Ok(true);
    }
    let entries: Vec<_> = unchecked
        .iter()
        // A reversal that the decision knew, from the log or the batch, makes nothing stale.
        .filter(|command| command.past.reversed_by.is_none())
        .filter_map(|command| command.entry())
        .filter(|(_, id, version)| !batch.changes.facts.reversals.contains_key(&(*id, *version)))
        .collect();
    if entries.is_empty() {
        return Ok(false);
    }
    let found = past::entries(connection, &entries).await?;
    Ok(found.values().any(|entry| entry.reversed_by.is_some()))
}

fn is_refusal_not_kept(decision: &Decision) -> bool {
    // A kept refusal inserts its key: the unique key checks it.
    matches!(decision, Decision::Refused(refusal) if !Refusal::is_kept(refusal))
}

fn is_unchecked(decision: &Decision) -> bool {
    match decision {
        Decision::Accepted { own: Change { events, .. }, .. } => {
            matches!(events, ChangeEvents::DryRun(..))
        }
        Decision::Refused(_) => true,
        Decision::Error(_) => false,
    }
}
