//! The careful way to append a batch: with the partitions locked, look up what is known already, load the accounts,
//! decide the rest on what is really there, append, commit. Nothing can come between.

use passbook_shared::partition::Partition;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::batch::{Batch, Finished, Result as CommandResult};
use super::lane::{Failure, load_into};
use super::request::{Answer, CommandError, Pending};
use crate::log::append::{append, lock_heads};
use crate::log::load::LoadError;
use crate::log::outcomes::{Kept, Key, by_command, by_key, rebuild};

/// Answers what is known and appends the rest. `sent` says whether an earlier attempt may have been done, and learns
/// whether this one may.
pub(super) async fn look_first(
    connection: &mut PgConnection,
    pending: &[Pending],
    sent: &mut bool,
) -> Result<Finished, Failure> {
    let mut transaction = connection.begin().await?;
    let mut partitions: Vec<Partition> = pending.iter().map(|pending| pending.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    lock_heads(&mut transaction, &partitions).await?;

    let mut known = known_by_key(&mut transaction, pending).await?;
    if *sent {
        find_our_own(&mut transaction, pending, &mut known).await?;
    }
    let open: Vec<usize> = (0..pending.len()).filter(|index| known[*index].is_none()).collect();
    let mut accounts: Vec<(Partition, Uuid)> =
        open.iter().map(|index| (pending[*index].partition, pending[*index].request.account_id)).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut batch = Batch::default();
    load_into(&mut transaction, &mut batch, &accounts).await?;
    open.iter().for_each(|index| batch.decide(*index, &pending[*index]));
    if !batch.append.is_empty() {
        append(&mut transaction, &mut batch.append).await?;
        *sent = true;
    }
    transaction.commit().await?;

    let mut finished = batch.finish();
    let known = known.into_iter().enumerate().filter_map(|(index, result)| Some((index, result?)));
    finished.results.extend(known);
    Ok(finished)
}

type Known = Vec<Option<CommandResult>>;

async fn known_by_key(connection: &mut PgConnection, pending: &[Pending]) -> Result<Known, Failure> {
    let mut known: Known = pending.iter().map(|_| None).collect();
    let with_key = |(index, pending): (usize, &'_ Pending)| pending.key().map(|_| index);
    let asked: Vec<usize> = pending.iter().enumerate().filter_map(with_key).collect();
    let keys: Vec<Key<'_>> = asked
        .iter()
        .map(|index| &pending[*index])
        .filter_map(|pending| {
            let (partition, account_id) = (pending.partition, pending.request.account_id);
            pending.key().map(|key| Key { partition, account_id, key })
        })
        .collect();
    for (index, found) in asked.into_iter().zip(by_key(connection, &keys).await?) {
        let Some(found) = found else { continue };
        known[index] = Some(if found.fingerprint == pending[index].request.fingerprint() {
            answer(connection, &pending[index], found.kept, true).await?
        } else {
            Err(CommandError::KeyReused)
        });
    }
    Ok(known)
}

/// Commands of ours that an earlier attempt has appended, though its answer never came.
async fn find_our_own(connection: &mut PgConnection, pending: &[Pending], known: &mut Known) -> Result<(), Failure> {
    let asked: Vec<usize> =
        (0..pending.len()).filter(|n| known[*n].is_none() && !pending[*n].request.dry_run).collect();
    let commands: Vec<(Partition, Uuid, Uuid)> = asked
        .iter()
        .map(|index| &pending[*index])
        .map(|pending| (pending.partition, pending.request.account_id, pending.request.command_id))
        .collect();
    for (index, found) in asked.into_iter().zip(by_command(connection, &commands).await?) {
        if let Some(kept) = found {
            known[index] = Some(answer(connection, &pending[index], kept, false).await?);
        }
    }
    Ok(())
}

async fn answer(
    connection: &mut PgConnection,
    pending: &Pending,
    kept: Kept,
    replayed: bool,
) -> Result<CommandResult, Failure> {
    match rebuild(connection, pending.partition, pending.request.account_id, kept).await {
        Ok(outcome) => Ok(Ok(Answer { replayed, outcome })),
        Err(LoadError::Store(error)) => Err(error.into()),
        Err(LoadError::Unreadable(error)) => {
            tracing::error!(%error, "a known command can't be answered");
            Ok(Err(CommandError::Internal))
        }
    }
}
