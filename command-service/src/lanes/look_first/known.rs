//! Commands that have their outcome already: by key, by transfer id, or because an earlier attempt at them was done.

use std::collections::HashMap;

use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::partition::{Partition, partition_of};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::batch::Place;
use super::super::lane::Failure;
use super::super::request::{Accepted, Answer, Asked, CommandError, CommandResult, Leg, Outcome, Pending};
use super::Sent;
use crate::domain::command::Transfer;
use crate::domain::{Command, Refusal};
use crate::log::outcomes::{Done, Kept, Key, Unanswerable, by_command, by_key, rebuild};
use crate::log::past;

/// What is known of pending commands, by their place.
#[derive(Debug)]
pub(super) struct Known {
    partitions: Partition,
    answers: HashMap<Place, CommandResult>,
    /// Done, and still to be told how.
    done: HashMap<Place, (Done, How)>,
}

/// How it is known that a command was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Its key says so.
    Key,
    /// A transfer with its id was done.
    Transfer,
    /// An earlier attempt at it was done.
    Own,
}

impl Known {
    /// What the log says of them. `sent` is of earlier attempts.
    pub(super) async fn find(
        connection: &mut PgConnection,
        pending: &[Pending],
        partitions: Partition,
        sent: &Sent,
    ) -> Result<Self, Failure> {
        let mut known = Self { partitions, answers: HashMap::new(), done: HashMap::new() };
        known.find_by_key(connection, pending).await?;
        if !sent.is_empty() {
            known.find_our_own(connection, pending, sent).await?;
        }
        known.find_transfers(connection, pending).await?;
        known.hold_back(pending);
        Ok(known)
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.answers.contains_key(&place) || self.done.contains_key(&place)
    }

    pub(super) fn has_all(&self, index: usize, pending: &Pending) -> bool {
        (0..pending.commands.len()).all(|n| self.has((index, n)))
    }

    async fn find_by_key(&mut self, connection: &mut PgConnection, pending: &[Pending]) -> Result<(), Failure> {
        let with_key = |(place, asked): (Place, &'_ Asked)| asked.key().map(|_| place);
        let places: Vec<Place> = places(pending).filter_map(with_key).collect();
        let key = |place: &Place| {
            let asked = at(pending, *place);
            asked.key().map(|key| Key { partition: asked.partition, account_id: asked.request.account_id, key })
        };
        let keys: Vec<Key<'_>> = places.iter().filter_map(key).collect();
        for (place, found) in places.into_iter().zip(by_key(connection, &keys).await?) {
            let Some(found) = found else { continue };
            if found.fingerprint != at(pending, place).request.fingerprint() {
                self.answers.insert(place, Err(CommandError::KeyReused));
                continue;
            }
            match found.kept {
                Kept::Accepted(done) => {
                    self.done.insert(place, (done, How::Key));
                }
                Kept::Refused(refusal) => {
                    let outcome = Outcome::Refused(refusal);
                    self.answers.insert(place, Ok(Answer { replayed: true, outcome }));
                }
                Kept::Unreadable(error) => {
                    tracing::error!(error, "a refusal that is kept can't be read");
                    self.answers.insert(place, Err(CommandError::Internal));
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
        let asked: HashMap<Uuid, (Place, &Asked)> = places(pending)
            .filter(|(place, asked)| !asked.request.dry_run && !self.has(*place))
            .map(|(place, asked)| (asked.request.command_id, (place, asked)))
            .collect();
        let mut accounts: Vec<(Partition, Uuid, i64)> = asked
            .values()
            .filter_map(|(_, Asked { request, partition, .. })| {
                Some((*partition, request.account_id, *sent.get(&request.account_id)?))
            })
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        let commands: Vec<Uuid> = asked.keys().copied().collect();
        for (command_id, done) in by_command(connection, &commands, &accounts).await? {
            // A transfer's other leg may be on one of the accounts, too.
            if let Some((place, _)) = asked.get(&command_id).filter(|(_, a)| a.request.account_id == done.account_id) {
                self.done.insert(*place, (done, How::Own));
            }
        }
        Ok(())
    }

    async fn find_transfers(&mut self, connection: &mut PgConnection, pending: &[Pending]) -> Result<(), Failure> {
        let asked: Vec<(Place, Uuid)> = places(pending)
            .filter(|(place, _)| !self.has(*place))
            .filter_map(|(place, asked)| Some((place, asked.transfer_id()?)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let found = past::transfers(connection, &asked.iter().map(|asked| asked.1).collect::<Vec<_>>()).await?;
        for (place, transfer_id) in asked {
            if let Some((account_id, version)) = found.get(&transfer_id).copied() {
                self.done.insert(place, (self.done(account_id, version), How::Transfer));
            }
        }
        Ok(())
    }

    /// Of those that are done together or not at all: if one is known not to have been done, none is.
    fn hold_back(&mut self, pending: &[Pending]) {
        for (index, pending) in pending.iter().enumerate().filter(|(_, pending)| pending.all_or_none) {
            let places = || (0..pending.commands.len()).map(|n| (index, n));
            let not_done = places().find(|place| self.answers.contains_key(place));
            if let Some(not_done) = not_done {
                for place in places().filter(|place| *place != not_done) {
                    self.done.remove(&place);
                    self.answers.insert(place, Err(CommandError::HeldBack));
                }
            }
        }
    }

    fn done(&self, account_id: Uuid, version: i64) -> Done {
        Done { partition: partition_of(account_id, self.partitions), account_id, version, events: 1 }
    }

    /// All of it, told in full.
    pub(super) async fn answers(
        mut self,
        connection: &mut PgConnection,
        pending: &[Pending],
    ) -> Result<HashMap<Place, CommandResult>, Failure> {
        let (places, done): (Vec<(Place, How)>, Vec<Done>) =
            std::mem::take(&mut self.done).into_iter().map(|(place, (done, how))| ((place, how), done)).unzip();
        let own = rebuild(connection, &done).await?;
        let other = |leg: &Result<Leg, Unanswerable>| {
            let sent = sent(leg.as_ref().ok()?)?;
            Some(self.done(sent.counterparty, sent.counterparty_version))
        };
        let others: Vec<Option<Done>> = own.iter().map(other).collect();
        let wanted: Vec<Done> = others.iter().copied().flatten().collect();
        let mut to = rebuild(connection, &wanted).await?.into_iter();
        for (((place, how), own), other) in places.into_iter().zip(own).zip(others) {
            let to = other.and_then(|_| to.next()).transpose();
            let answer = match (own, to) {
                (Ok(own), Ok(to)) => Ok(answer(at(pending, place), how, Accepted { own, to })),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::error!(%error, "a known command can't be answered");
                    Err(CommandError::Internal)
                }
            };
            self.answers.insert(place, answer);
        }
        Ok(self.answers)
    }
}

fn answer(asked: &Asked, how: How, done: Accepted) -> Answer {
    if how == How::Transfer && !is_same_transfer(asked, &done.own) {
        return Answer { replayed: false, outcome: Outcome::Refused(Refusal::TransferExists) };
    }
    // The key may have been kept by an earlier attempt at this very command.
    let own = done.own.events.iter().any(|event| event.metadata.command_id == asked.request.command_id);
    Answer { replayed: how != How::Own && !own, outcome: Outcome::Accepted(done) }
}

fn is_same_transfer(asked: &Asked, own: &Leg) -> bool {
    let (Command::Transfer(transfer), Some(leg)) = (&asked.request.command, sent(own)) else { return false };
    let TransferLeg { transfer_id, counterparty: to, amount, reference, effective_at, metadata, .. } = leg;
    asked.request.account_id == own.account_id
        && *transfer == Transfer { transfer_id, to, amount, reference, effective_at, metadata }
}

/// What a transfer took from the account.
fn sent(leg: &Leg) -> Option<TransferLeg> {
    let [event] = leg.events.as_slice() else { return None };
    match event.decode() {
        Ok(AccountEvent::MoneySent(leg)) => Some(leg),
        Ok(_) | Err(_) => None,
    }
}

fn places(pending: &[Pending]) -> impl Iterator<Item = (Place, &Asked)> {
    pending
        .iter()
        .enumerate()
        .flat_map(|(index, pending)| pending.commands.iter().enumerate().map(move |(n, asked)| ((index, n), asked)))
}

fn at(pending: &[Pending], (index, n): Place) -> &Asked {
    &pending[index].commands[n]
}
