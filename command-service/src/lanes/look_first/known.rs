//! Commands that have their outcome already: by key, by transfer id, or because an earlier attempt at them was done.

use std::collections::{HashMap, HashSet};

use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::partition::{Partition, partition_of};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::batch::Place;
use super::super::cache::Kind;
use super::super::lane::Failure;
use super::super::request::{Asked, Pending};
use super::super::shelves::Held;
use super::super::states::LOADED_AT_ONCE;
use super::Sent;
use crate::domain::Command;
use crate::domain::command::Transfer;
use crate::log::append::NewKey;
use crate::log::outcomes::{Done, Kept, Key, Unanswerable, by_command, by_key, rebuild};
use crate::log::past;
use crate::log::snapshots::Snapshots;
use crate::outcome::{Accepted, AccountChange, Answer, CommandError, CommandResult, Outcome};

/// What is known of pending commands, by their place.
#[derive(Debug)]
pub(super) struct Known {
    partitions: Partition,
    answers: HashMap<Place, CommandResult>,
    /// Done, and still to be told; whether by an earlier request (else by an earlier attempt at this one).
    done: HashMap<Place, (Done, bool)>,
    /// Keys of transfers that were done by their id, and are to be kept with what was done.
    keys: Vec<(Place, NewKey)>,
    /// Ids that are another transfer's.
    pub(super) taken: HashSet<Uuid>,
}

impl Known {
    /// What the log says of them. `sent` is of earlier attempts.
    pub(super) async fn find(
        connection: &mut PgConnection,
        held: &mut Held,
        pending: &[Pending],
        partitions: Partition,
        sent: &Sent,
        snapshots: &Snapshots,
    ) -> Result<Self, Failure> {
        let mut known = Self {
            partitions,
            answers: HashMap::new(),
            done: HashMap::new(),
            keys: Vec::new(),
            taken: HashSet::new(),
        };
        known.find_by_key(connection, pending).await?;
        if !sent.is_empty() {
            known.find_our_own(connection, pending, sent).await?;
        }
        known.find_transfers(connection, held, pending, snapshots).await?;
        known.hold_back(pending);
        Ok(known)
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.answers.contains_key(&place) || self.done.contains_key(&place)
    }

    pub(super) fn has_all(&self, index: usize, pending: &Pending) -> bool {
        places_of(index, pending).all(|place| self.has(place))
    }

    async fn find_by_key(
        &mut self,
        connection: &mut PgConnection,
        pending: &[Pending],
    ) -> Result<(), Failure> {
        let with_key = |(place, asked): (Place, &'_ Asked)| asked.key().map(|_| place);
        let places: Vec<Place> = places(pending).filter_map(with_key).collect();
        let keys: Vec<Key<'_>> =
            places.iter().filter_map(|place| at(pending, *place).kept_key()).collect();
        for (place, found) in places.into_iter().zip(by_key(connection, &keys).await?) {
            let Some(found) = found else { continue };
            if !at(pending, place).request.has_fingerprint(found.fingerprint) {
                self.answers.insert(place, Err(CommandError::KeyReused));
                continue;
            }
            match found.kept {
                Kept::Accepted(done) => {
                    self.done.insert(place, (done, true));
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
            if let Some((place, _)) =
                asked.get(&command_id).filter(|(_, a)| a.request.account_id == done.account_id)
            {
                self.done.insert(*place, (done, false));
            }
        }
        Ok(())
    }

    /// Transfers that were done by their id. The same id with other content is another's.
    async fn find_transfers(
        &mut self,
        connection: &mut PgConnection,
        held: &mut Held,
        pending: &[Pending],
        snapshots: &Snapshots,
    ) -> Result<(), Failure> {
        let asked: Vec<(Place, Uuid)> = places(pending)
            .filter(|(place, _)| !self.has(*place))
            .filter_map(|(place, asked)| Some((place, asked.transfer_id()?)))
            .collect();
        let ids: Vec<Uuid> = asked.iter().map(|asked| asked.1).collect();
        let found = if ids.is_empty() {
            HashMap::new()
        } else {
            past::transfers(&mut *connection, &ids).await?
        };
        let (places, done): (Vec<Place>, Vec<Done>) = asked
            .into_iter()
            .filter_map(|(place, id)| {
                found
                    .get(&id)
                    .map(|(account_id, version)| (place, self.done(*account_id, *version)))
            })
            .unzip();
        for ((place, done), told) in
            places.into_iter().zip(&done).zip(self.tell(connection, held, &done, snapshots).await?)
        {
            let asked = at(pending, place);
            let told = told
                .map_err(unanswerable)
                .map(|accepted| is_same_transfer(asked, &accepted.own).then_some(accepted));
            let answer = match told {
                Ok(Some(accepted)) => {
                    self.keys.extend(asked.new_key(done.version, 1, None).map(|key| (place, key)));
                    Ok(Answer { replayed: true, outcome: Outcome::Accepted(accepted) })
                }
                // What becomes of it is the decider's to say.
                Ok(None) => {
                    self.taken.extend(asked.transfer_id());
                    continue;
                }
                Err(error) => Err(error),
            };
            self.answers.insert(place, answer);
        }
        Ok(())
    }

    /// Of those that are done together or not at all: if one is known not to have been done, none is.
    fn hold_back(&mut self, pending: &[Pending]) {
        for (index, pending) in
            pending.iter().enumerate().filter(|(_, pending)| pending.all_or_none)
        {
            let places = || places_of(index, pending);
            let is_done = |answer: &CommandResult| {
                answer.as_ref().is_ok_and(|answer| matches!(answer.outcome, Outcome::Accepted(_)))
            };
            let not_done = places()
                .find(|place| self.answers.get(place).is_some_and(|answer| !is_done(answer)));
            if let Some(not_done) = not_done {
                self.withdraw(places().filter(|place| *place != not_done));
            }
        }
    }

    /// Those of a set that are known, once the rest of it was not done.
    pub(super) fn withdraw_known(&mut self, index: usize, pending: &Pending) {
        let known: Vec<Place> =
            places_of(index, pending).filter(|place| self.has(*place)).collect();
        self.withdraw(known.into_iter());
    }

    /// Of what was to be done together with others that were not, nothing is told but that.
    fn withdraw(&mut self, places: impl Iterator<Item = Place>) {
        for place in places {
            self.done.remove(&place);
            self.keys.retain(|(of, _)| *of != place);
            self.answers.insert(place, Err(CommandError::SetAborted));
        }
    }

    /// Keys to be kept now.
    pub(super) fn take_keys(&mut self) -> impl Iterator<Item = NewKey> {
        std::mem::take(&mut self.keys).into_iter().map(|(_, key)| key)
    }

    fn done(&self, account_id: Uuid, version: i64) -> Done {
        Done {
            partition: partition_of(account_id, self.partitions),
            account_id,
            version,
            events: 1,
        }
    }

    /// All of it, told in full.
    pub(super) async fn answers(
        mut self,
        connection: &mut PgConnection,
        held: &mut Held,
        pending: &[Pending],
        snapshots: &Snapshots,
    ) -> Result<HashMap<Place, CommandResult>, Failure> {
        let mut done: Vec<(Place, (Done, bool))> =
            std::mem::take(&mut self.done).into_iter().collect();
        // Those on one account follow on each other.
        done.sort_unstable_by_key(|(_, (done, _))| (done.account_id, done.version));
        let (places, done): (Vec<(Place, bool)>, Vec<Done>) =
            done.into_iter().map(|(place, (done, earlier))| ((place, earlier), done)).unzip();
        for ((place, earlier), told) in
            places.into_iter().zip(self.tell(connection, held, &done, snapshots).await?)
        {
            // The key may have been kept by an earlier attempt at this very command.
            let command_id = at(pending, place).request.command_id;
            let answer = |accepted: Accepted| {
                let own =
                    accepted.own.events.iter().any(|event| event.metadata.command_id == command_id);
                Answer { replayed: earlier && !own, outcome: Outcome::Accepted(accepted) }
            };
            self.answers.insert(place, told.map(answer).map_err(unanswerable));
        }
        Ok(self.answers)
    }

    /// What was done, with the other leg where it was a transfer; one element each, in their order.
    async fn tell(
        &self,
        connection: &mut PgConnection,
        held: &mut Held,
        done: &[Done],
        snapshots: &Snapshots,
    ) -> Result<Vec<Result<Accepted, Unanswerable>>, Failure> {
        let own = rebuild_all(connection, held, done, snapshots).await?;
        let other = |change: &Result<AccountChange, Unanswerable>| {
            let sent = sent(change.as_ref().ok()?)?;
            Some(self.done(sent.counterparty, sent.counterparty_version))
        };
        let others: Vec<Option<Done>> = own.iter().map(other).collect();
        let wanted: Vec<Done> = others.iter().copied().flatten().collect();
        let mut to = rebuild_all(connection, held, &wanted, snapshots).await?.into_iter();
        let told = |(own, other): (Result<AccountChange, _>, Option<Done>)| {
            let to = other.and_then(|_| to.next()).transpose();
            own.and_then(|own| Ok(Accepted { own, to: to? }))
        };
        Ok(own.into_iter().zip(others).map(told).collect())
    }
}

/// Some at a time, so that no query takes long.
async fn rebuild_all(
    connection: &mut PgConnection,
    held: &mut Held,
    done: &[Done],
    snapshots: &Snapshots,
) -> Result<Vec<Result<AccountChange, Unanswerable>>, Failure> {
    let mut changes = Vec::with_capacity(done.len());
    for some in done.chunks(LOADED_AT_ONCE) {
        let reached = |done: &Done| {
            Some((
                done.account_id,
                held.get(Kind::Repeated, done.account_id, done.partition)?.clone(),
            ))
        };
        let mut reached = some.iter().filter_map(reached).collect();
        changes.extend(rebuild(connection, some, &mut reached, snapshots).await?);
        for Done { partition, account_id, .. } in some {
            if let Some(state) = reached.remove(account_id) {
                held.keep(Kind::Repeated, *account_id, *partition, state);
            }
        }
    }
    Ok(changes)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unanswerable(error: Unanswerable) -> CommandError {
    tracing::error!(%error, "a known command can't be answered");
    CommandError::Internal
}

fn is_same_transfer(asked: &Asked, own: &AccountChange) -> bool {
    let (Command::Transfer(transfer), Some(leg)) = (&asked.request.command, sent(own)) else {
        return false;
    };
    let TransferLeg {
        transfer_id,
        counterparty: to,
        amount,
        reference,
        effective_at,
        metadata,
        ..
    } = leg;
    let allow_backdated_overdraft = leg.allow_backdated_overdraft;
    asked.request.account_id == own.account_id
        && *transfer
            == Transfer {
                transfer_id,
                to,
                amount,
                reference,
                effective_at,
                metadata,
                allow_backdated_overdraft,
            }
}

/// What a transfer took from the account. Holds may have expired before it.
fn sent(change: &AccountChange) -> Option<TransferLeg> {
    match change.events.last()?.decode() {
        Ok(AccountEvent::MoneySent(leg)) => Some(leg),
        Ok(_) | Err(_) => None,
    }
}

fn places_of(index: usize, pending: &Pending) -> impl Iterator<Item = Place> + use<> {
    (0..pending.commands.len()).map(move |n| (index, n))
}

fn places(pending: &[Pending]) -> impl Iterator<Item = (Place, &Asked)> {
    pending.iter().enumerate().flat_map(|(index, pending)| {
        pending.commands.iter().enumerate().map(move |(n, asked)| ((index, n), asked))
    })
}

fn at(pending: &[Pending], (index, n): Place) -> &Asked {
    &pending[index].commands[n]
}
