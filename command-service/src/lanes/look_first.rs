//! The careful way to append a batch: with the partitions locked, look up what is known already, load the accounts,
//! decide the rest on what is really there, append, commit. Nothing can come between.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use passbook_shared::partition::Partition;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::batch::{Batch, Finished, Result as CommandResult};
use super::lane::Failure;
use super::request::{Answer, CommandError, Outcome, Pending};
use super::states::load_into;
use crate::log::append::{append, lock_heads};
use crate::log::outcomes::{Done, Kept, Key, Unanswerable, by_command, by_key, rebuild};
use crate::log::snapshots::Snapshot;
use crate::metrics;

/// What was sent to Postgres and may have been done: the version that each account of it had before.
pub(super) type Sent = HashMap<Uuid, i64>;

/// Answers what is known and appends the rest. `sent` is of earlier attempts, and learns of this one.
pub(super) async fn look_first(
    connection: &mut PgConnection,
    pending: &[Pending],
    sent: &mut Sent,
    snapshots: &mpsc::Sender<Snapshot>,
) -> Result<Finished, Failure> {
    let mut transaction = connection.begin().await?;
    let mut partitions: Vec<Partition> = pending.iter().map(|pending| pending.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    lock_heads(&mut transaction, &partitions).await?;

    let mut known = Known::default();
    known.find_by_key(&mut transaction, pending).await?;
    if !sent.is_empty() {
        known.find_our_own(&mut transaction, pending, sent).await?;
    }
    // Of those with one key, the first; what becomes of the others is in the log then.
    let mut keys = HashSet::new();
    let mut is_first =
        |pending: &Pending| pending.key().is_none_or(|key| keys.insert((pending.request.account_id, key.to_owned())));
    let open: Vec<usize> =
        (0..pending.len()).filter(|index| !known.has(*index) && is_first(&pending[*index])).collect();
    let mut batch = Batch::default();
    load_into(&mut transaction, &mut batch, open.iter().map(|index| &pending[*index]), snapshots, |_, _| {}).await?;
    open.iter().for_each(|index| batch.decide(*index, &pending[*index]));
    if !batch.append.is_empty() {
        batch.note_sent(sent);
        let started = Instant::now();
        append(&mut transaction, &mut batch.append).await?;
        metrics::appended(batch.append.events.len(), open.len(), started.elapsed());
    }
    let known = known.answers(&mut transaction, pending).await?;
    transaction.commit().await?;

    let mut finished = batch.finish();
    finished.results.extend(known);
    Ok(finished)
}

/// What is known of pending commands, by their place.
#[derive(Debug, Default)]
struct Known {
    answers: HashMap<usize, CommandResult>,
    /// Done, and still to be told how; whether the key says so.
    done: HashMap<usize, (Done, bool)>,
}

impl Known {
    fn has(&self, index: usize) -> bool {
        self.answers.contains_key(&index) || self.done.contains_key(&index)
    }

    async fn find_by_key(&mut self, connection: &mut PgConnection, pending: &[Pending]) -> Result<(), Failure> {
        let with_key = |(index, pending): (usize, &'_ Pending)| pending.key().map(|_| index);
        let asked: Vec<usize> = pending.iter().enumerate().filter_map(with_key).collect();
        let key = |index: &usize| {
            let Pending { request, partition, .. } = &pending[*index];
            pending[*index].key().map(|key| Key { partition: *partition, account_id: request.account_id, key })
        };
        let keys: Vec<Key<'_>> = asked.iter().filter_map(key).collect();
        for (index, found) in asked.into_iter().zip(by_key(connection, &keys).await?) {
            let Some(found) = found else { continue };
            if found.fingerprint != pending[index].request.fingerprint() {
                self.answers.insert(index, Err(CommandError::KeyReused));
                continue;
            }
            match found.kept {
                Kept::Accepted(done) => {
                    self.done.insert(index, (done, true));
                }
                Kept::Refused(refusal) => {
                    let outcome = Outcome::Refused(refusal);
                    self.answers.insert(index, Ok(Answer { replayed: true, outcome }));
                }
                Kept::Unreadable(error) => {
                    tracing::error!(error, "a refusal that is kept can't be read");
                    self.answers.insert(index, Err(CommandError::Internal));
                }
            }
        }
        Ok(())
    }

    /// Commands of ours that an earlier attempt has appended, though its answer never came.
    async fn find_our_own(
        &mut self,
        connection: &mut PgConnection,
        pending: &[Pending],
        sent: &Sent,
    ) -> Result<(), Failure> {
        let asked: HashMap<Uuid, usize> = (pending.iter().enumerate())
            .filter(|(index, pending)| !pending.request.dry_run && !self.has(*index))
            .map(|(index, pending)| (pending.request.command_id, index))
            .collect();
        let mut accounts: Vec<(Partition, Uuid, i64)> = (asked.values())
            .map(|index| &pending[*index])
            .filter_map(|Pending { request, partition, .. }| {
                Some((*partition, request.account_id, *sent.get(&request.account_id)?))
            })
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        let commands: Vec<Uuid> = asked.keys().copied().collect();
        let found = by_command(connection, &commands, &accounts).await?;
        self.done.extend(found.into_iter().filter_map(|(id, done)| Some((*asked.get(&id)?, (done, false)))));
        Ok(())
    }

    /// All of it, told in full.
    async fn answers(
        mut self,
        connection: &mut PgConnection,
        pending: &[Pending],
    ) -> Result<HashMap<usize, CommandResult>, Failure> {
        let done: Vec<Done> = self.done.values().map(|(done, _)| *done).collect();
        for ((index, (_, replayed)), rebuilt) in self.done.into_iter().zip(rebuild(connection, &done).await?) {
            let answer = match rebuilt {
                Ok(accepted) => {
                    // Its key was kept by an earlier attempt at this very command.
                    let command_id = pending[index].request.command_id;
                    let own = accepted.own.events.iter().any(|event| event.metadata.command_id == command_id);
                    Ok(Answer { replayed: replayed && !own, outcome: Outcome::Accepted(accepted) })
                }
                Err(error @ (Unanswerable::Unreadable(_) | Unanswerable::Missing(_))) => {
                    tracing::error!(%error, "a known command can't be answered");
                    Err(CommandError::Internal)
                }
            };
            self.answers.insert(index, answer);
        }
        Ok(self.answers)
    }
}
