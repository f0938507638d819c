//! Commands that have an outcome already: by idempotency key, by transfer id, or because an earlier
//! attempt at them was appended.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use passbook_shared::event::TransferLeg;
use passbook_shared::partition::Partition;
use sqlx::PgConnection;
use uuid::Uuid;

use super::access::LogAccess;
use super::append::NewKey;
use super::outcomes::{CausedEvents, KeptOutcome, Key, by_command, by_key};
use super::past;
use super::prepared_command::PreparedCommand;
use super::rebuild::{RebuildError, sent_leg};
use crate::domain::Command;
use crate::domain::command::Transfer;
use crate::outcome::{AccountChange, CommandError, CommandResult, Outcome};

/// Accounts of batches that were sent and may have been appended, with the version of each before
/// the first of them.
pub(crate) type SentVersions = HashMap<Uuid, i64>;

/// The outcome of a command that has one.
#[derive(Debug)]
pub(crate) enum PriorOutcome {
    /// The answer is known.
    Known(CommandResult),
    /// The command was accepted, by an earlier request if `replayed`. The answer is still to be
    /// rebuilt.
    Accepted { events: CausedEvents, command_id: Uuid, replayed: bool },
}

/// Outcomes of commands, by the places `K` of the commands.
#[derive(Debug, Default)]
pub(crate) struct PriorOutcomes<K> {
    outcomes: HashMap<K, PriorOutcome>,
    /// Keys to keep with transfers that were found by their id.
    keys: HashMap<K, NewKey>,
    /// Ids that other transfers have.
    pub(crate) taken_ids: HashSet<Uuid>,
}

impl<K: Copy + Eq + Hash> PriorOutcomes<K> {
    /// Looks commands up. `sent` is of earlier attempts at them.
    pub(crate) async fn find(
        log: &mut LogAccess<'_>,
        commands: &[(K, &PreparedCommand)],
        sent: &SentVersions,
    ) -> Result<Self, sqlx::Error> {
        let (outcomes, keys) = (HashMap::new(), HashMap::new());
        let mut prior = Self { outcomes, keys, taken_ids: HashSet::new() };
        // In this order: each search leaves out the commands that an earlier one has found.
        prior.find_by_key(log.connection, commands).await?;
        if !sent.is_empty() {
            prior.find_by_command(log.connection, commands, sent).await?;
        }
        prior.find_by_transfer(log, commands).await?;
        Ok(prior)
    }

    pub(crate) fn get(&self, place: K) -> Option<&PriorOutcome> {
        self.outcomes.get(&place)
    }

    /// Replaces an outcome; the command's key is not kept.
    pub(crate) fn set(&mut self, place: K, outcome: PriorOutcome) {
        self.keys.remove(&place);
        self.outcomes.insert(place, outcome);
    }

    /// Takes the keys to keep.
    pub(crate) fn take_keys(&mut self) -> impl Iterator<Item = NewKey> {
        std::mem::take(&mut self.keys).into_values()
    }

    /// Rebuilds the answers.
    pub(crate) async fn answers(
        self,
        log: &mut LogAccess<'_>,
    ) -> Result<Vec<(K, CommandResult)>, sqlx::Error> {
        let (mut answers, mut accepted) = (Vec::with_capacity(self.outcomes.len()), Vec::new());
        for (place, outcome) in self.outcomes {
            match outcome {
                PriorOutcome::Known(result) => answers.push((place, result)),
                PriorOutcome::Accepted { events, command_id, replayed } => {
                    accepted.push((place, events, command_id, replayed));
                }
            }
        }
        // A command's answer is rebuilt from the one before it on the same account.
        accepted.sort_unstable_by_key(|(_, events, _, _)| (events.account_id, events.version));
        let events: Vec<CausedEvents> = accepted.iter().map(|(_, events, _, _)| *events).collect();
        let rebuilt = log.rebuilt(&events).await?;
        for ((place, _, id, replayed), rebuilt) in accepted.into_iter().zip(rebuilt) {
            let answer = rebuilt.map_err(unanswerable).map(|(own, to)| {
                // An earlier attempt at this very request may have kept its key.
                let is_own = own.events.iter().any(|event| event.metadata.command_id == id);
                Outcome::Accepted { replayed: replayed && !is_own, own, to }
            });
            answers.push((place, answer));
        }
        Ok(answers)
    }

    async fn find_by_key(
        &mut self,
        connection: &mut PgConnection,
        commands: &[(K, &PreparedCommand)],
    ) -> Result<(), sqlx::Error> {
        let places = commands.iter().filter(|(_, command)| command.request.key().is_some());
        let keys: Vec<Key<'_>> = places.clone().filter_map(|(_, command)| command.key()).collect();
        for ((place, command), used) in places.zip(by_key(connection, &keys).await?) {
            let Some(used) = used else { continue };
            let outcome = match used.outcome {
                // First: another request must not see the outcome.
                _ if !command.request.has_fingerprint(used.fingerprint) => {
                    PriorOutcome::Known(Err(CommandError::KeyReused))
                }
                KeptOutcome::Accepted(events) => {
                    let command_id = command.request.command_id;
                    PriorOutcome::Accepted { events, command_id, replayed: true }
                }
                KeptOutcome::Refused(refusal) => {
                    PriorOutcome::Known(Ok(Outcome::Refused { replayed: true, refusal }))
                }
                KeptOutcome::Unreadable(error) => {
                    tracing::error!(error, "a kept refusal can't be read");
                    PriorOutcome::Known(Err(CommandError::Internal))
                }
            };
            self.outcomes.insert(*place, outcome);
        }
        Ok(())
    }

    /// Finds commands that an earlier attempt appended, though its answer never came.
    async fn find_by_command(
        &mut self,
        connection: &mut PgConnection,
        commands: &[(K, &PreparedCommand)],
        sent: &SentVersions,
    ) -> Result<(), sqlx::Error> {
        let wanted: HashMap<Uuid, (K, &PreparedCommand)> = commands
            .iter()
            .filter(|(place, command)| !command.request.dry_run && self.get(*place).is_none())
            .map(|(place, command)| (command.request.command_id, (*place, *command)))
            .collect();
        let mut accounts: Vec<(Partition, Uuid, i64)> = wanted
            .values()
            .filter_map(|(_, PreparedCommand { partition, request, .. })| {
                // An account that no attempt has sent cannot have the events.
                Some((*partition, request.account_id, *sent.get(&request.account_id)?))
            })
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        let ids: Vec<Uuid> = wanted.keys().copied().collect();
        for (command_id, events) in by_command(connection, &ids, &accounts).await? {
            // The second leg of a transfer may be on one of the accounts as well.
            if let Some((place, command)) = wanted.get(&command_id)
                && command.request.account_id == events.account_id
            {
                let accepted = PriorOutcome::Accepted { events, command_id, replayed: false };
                self.outcomes.insert(*place, accepted);
            }
        }
        Ok(())
    }

    /// Finds transfers that have an id already. One with another content is another transfer.
    async fn find_by_transfer(
        &mut self,
        log: &mut LogAccess<'_>,
        commands: &[(K, &PreparedCommand)],
    ) -> Result<(), sqlx::Error> {
        let wanted: Vec<(K, &PreparedCommand, Uuid)> = commands
            .iter()
            .filter(|(place, _)| self.get(*place).is_none())
            .filter_map(|(place, command)| {
                Some((*place, *command, command.request.command.needs().transfer_id?))
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = wanted.iter().map(|(_, _, id)| *id).collect();
        let found = past::transfers(&mut *log.connection, &ids).await?;
        let mut known = Vec::new();
        for (place, command, id) in wanted {
            if let Some((account_id, version)) = found.get(&id) {
                known.push((place, command, log.one_event(*account_id, *version)));
            }
        }
        let events: Vec<CausedEvents> = known.iter().map(|(_, _, events)| *events).collect();
        let rebuilt = log.rebuilt(&events).await?;
        for ((place, command, events), rebuilt) in known.into_iter().zip(rebuilt) {
            let result = match rebuilt {
                Ok((own, _)) if !is_same_transfer(command, &own) => {
                    self.taken_ids.extend(command.request.command.needs().transfer_id);
                    continue;
                }
                Ok((own, to)) => {
                    // The transfer had another key or none: this key is kept for further repeats.
                    let key = command.new_key(events.version, 1, None);
                    self.keys.extend(key.map(|key| (place, key)));
                    Ok(Outcome::Accepted { replayed: true, own, to })
                }
                Err(error) => Err(unanswerable(error)),
            };
            self.outcomes.insert(place, PriorOutcome::Known(result));
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unanswerable(error: RebuildError) -> CommandError {
    tracing::error!(%error, "the answer to an earlier command can't be rebuilt");
    CommandError::Internal
}

fn is_same_transfer(command: &PreparedCommand, own: &AccountChange) -> bool {
    let (Command::Transfer(transfer), Some(leg)) = (&command.request.command, sent_leg(own)) else {
        return false;
    };
    let TransferLeg { transfer_id, amount, reference, effective_at, metadata, .. } = leg;
    let (to, allow_backdated_overdraft) = (leg.counterparty, leg.allow_backdated_overdraft);
    #[rustfmt::skip]
    let recorded = Transfer {
        transfer_id, to, amount, reference, effective_at, metadata, allow_backdated_overdraft,
    };
    command.request.account_id == own.account_id && *transfer == recorded
}
