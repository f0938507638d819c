//! What has happened that states do not keep, as far as a batch's commands need it: from the log, and from what the batch
//! itself has decided.

use std::collections::{HashMap, HashSet};

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Batch;
use super::lane::Failure;
use super::request::{Asked, Pending};
use crate::domain::effective::Timeline;
use crate::domain::{Account, Command, Past};
use crate::log::effective::follow;
use crate::log::load::{LoadError, Wanted};
use crate::log::outcomes::{Key, by_key};
use crate::log::past;

/// The most events of an account, between the reading of its past and the decision, over which a debit is decided: a lane has
/// others waiting.
const MOST_SINCE_READ: usize = 2_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// By account and hold.
    ended_holds: HashMap<(Uuid, Uuid), HoldStatus>,
    /// By account and version: the version of the reversal.
    reversed: HashMap<(Uuid, i64), i64>,
    transfers: HashSet<Uuid>,
    /// Of accounts that money is to be taken from as of a time that is past, up to the batch's newest events.
    timelines: HashMap<Uuid, Timeline>,
}

impl Facts {
    /// What a command's decision rests on.
    pub(super) fn past(&self, asked: &Asked) -> Past {
        let account_id = asked.request.account_id;
        let mut past = Past::default();
        match &asked.request.command {
            Command::Reverse(reversal) => {
                past.clone_from(&asked.past);
                past.reversed_by = past
                    .reversed_by
                    .or(self.reversed.get(&(account_id, reversal.version)).copied());
            }
            Command::Transfer(transfer) => {
                past.transfer_exists = self.transfers.contains(&transfer.transfer_id)
            }
            Command::Hold(_) | Command::Capture(_) | Command::Release(_) => {
                let hold = hold_id(&asked.request.command)
                    .and_then(|id| self.ended_holds.get(&(account_id, id)));
                past.ended_hold = hold.copied();
            }
            Command::Open(_)
            | Command::Deposit(_)
            | Command::Withdraw(_)
            | Command::Expire(_)
            | Command::SetOverdraftLimit(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => {}
        }
        past
    }

    /// How an account stood from a moment on, if that is known.
    pub(super) fn timeline(&self, account_id: Uuid, from: Timestamp) -> Option<Timeline> {
        self.timelines.get(&account_id).filter(|timeline| timeline.from() <= from).cloned()
    }

    /// The batch has this event.
    pub(super) fn learn(&mut self, account_id: Uuid, version: i64, event: &AccountEvent) {
        if let Some(timeline) = self.timelines.get_mut(&account_id) {
            // It will be recorded at the same moment as the rest of the batch, after all that is recorded.
            timeline.take(event, Timestamp::LAST);
        }
        let (hold_id, status) = match event {
            AccountEvent::HoldCaptured(captured) => (captured.hold_id, HoldStatus::Captured),
            AccountEvent::HoldReleased(released) => (released.hold_id, HoldStatus::Released),
            AccountEvent::HoldExpired(expired) => (expired.hold_id, HoldStatus::Expired),
            AccountEvent::EntryReversed(reversed) => {
                self.reversed.insert((account_id, reversed.version), version);
                return;
            }
            AccountEvent::MoneySent(leg) => {
                self.transfers.insert(leg.transfer_id);
                return;
            }
            AccountEvent::AccountOpened(_)
            | AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::HoldPlaced(_)
            | AccountEvent::OverdraftLimitSet(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => return,
        };
        self.ended_holds.insert((account_id, hold_id), status);
    }

    /// Ids that are other transfers'.
    pub(super) fn take(&mut self, transfers: HashSet<Uuid>) {
        self.transfers.extend(transfers);
    }

    /// Learns from the log, for commands whose accounts the batch knows: how holds have ended that are not open. `all`: and
    /// what else the constraints would refuse, which as a rule does not happen.
    pub(super) async fn load(
        connection: &mut PgConnection,
        batch: &mut Batch,
        pending: &[&Pending],
        all: bool,
    ) -> Result<(), Failure> {
        let asked = || pending.iter().flat_map(|pending| &pending.commands);
        let is_asked = |asked: &&Asked| all || !matches!(asked.request.command, Command::Hold(_));
        let holds: Vec<_> =
            asked().filter(is_asked).filter_map(|asked| unknown_hold(batch, asked)).collect();
        if !holds.is_empty() {
            batch.facts.ended_holds.extend(past::ended_holds(&mut *connection, &holds).await?);
        }
        let entries: Vec<_> = asked().filter_map(entry_to_reverse).collect();
        if all && !entries.is_empty() {
            for ((_, account_id, version), entry) in
                past::entries(&mut *connection, &entries).await?
            {
                batch
                    .facts
                    .reversed
                    .extend(entry.reversed_by.map(|by| ((account_id, version), by)));
            }
        }
        Self::load_timelines(connection, batch, pending).await
    }

    /// Brings the timelines that commands came with to the versions that the batch knows.
    async fn load_timelines(
        connection: &mut PgConnection,
        batch: &mut Batch,
        pending: &[&Pending],
    ) -> Result<(), Failure> {
        let known = pending
            .iter()
            .flat_map(|pending| &pending.commands)
            .filter_map(|asked| asked.timelines.as_ref());
        for (account_id, timeline) in known.flat_map(|timelines| timelines.iter()) {
            let earlier = |known: &Timeline| known.from() <= timeline.from();
            if !batch.facts.timelines.get(&account_id).is_some_and(earlier) {
                batch.facts.timelines.insert(account_id, timeline.clone());
            }
        }
        let mut timelines = std::mem::take(&mut batch.facts.timelines);
        for (account_id, timeline) in &mut timelines {
            let Some((partition, version)) = batch.version(*account_id) else { continue };
            if timeline.version() > version {
                return Err(Failure::Outrun);
            }
            let wanted = Wanted { partition, account_id: *account_id, version };
            if timeline.version() < version
                && !timeline.is_cut()
                && let Err(error) = follow(connection, timeline, wanted, MOST_SINCE_READ).await
            {
                match error {
                    LoadError::Store(error) => return Err(error.into()),
                    LoadError::Unreadable(error) => {
                        tracing::error!(%error, "an account's past can't be read");
                        return Err(Failure::Defect);
                    }
                }
            }
        }
        batch.facts.timelines = timelines;
        Ok(())
    }

    /// Whether the log knows better than what these commands were decided on: what they were refused for, or would have been
    /// done in a dry run, no constraint checks. Nor does it where a set was not done, or a precondition failed: that command may
    /// be known to have been done.
    pub(super) async fn are_outrun(
        connection: &mut PgConnection,
        batch: &Batch,
        pending: &[Pending],
    ) -> sqlx::Result<bool> {
        let of_failed = || batch.failed.iter().flat_map(|index| &pending[*index].commands);
        let keys: Vec<Key<'_>> =
            of_failed().chain(batch.unkept(pending)).filter_map(Asked::kept_key).collect();
        if !keys.is_empty() && by_key(&mut *connection, &keys).await?.iter().any(Option::is_some) {
            return Ok(true);
        }
        let unchecked: Vec<&Asked> =
            batch.unchecked(pending).into_iter().chain(of_failed()).collect();
        let transfers: Vec<Uuid> =
            unchecked.iter().filter_map(|asked| asked.transfer_id()).collect();
        if !transfers.is_empty() && !past::transfers(&mut *connection, &transfers).await?.is_empty()
        {
            return Ok(true);
        }
        let places_hold = |asked: &&&Asked| matches!(asked.request.command, Command::Hold(_));
        let holds: Vec<_> = unchecked
            .iter()
            .filter(places_hold)
            .filter_map(|asked| unknown_hold(batch, asked))
            .collect();
        if !holds.is_empty() && !past::ended_holds(&mut *connection, &holds).await?.is_empty() {
            return Ok(true);
        }
        let not_reversed = |asked: &&&Asked| batch.facts.past(asked).reversed_by.is_none();
        let entries: Vec<_> = unchecked
            .iter()
            .filter(not_reversed)
            .filter_map(|asked| entry_to_reverse(asked))
            .collect();
        if entries.is_empty() {
            return Ok(false);
        }
        Ok(past::entries(connection, &entries)
            .await?
            .values()
            .any(|entry| entry.reversed_by.is_some()))
    }
}

/// The entry that a command is to undo.
pub(super) fn entry_to_reverse(asked: &Asked) -> Option<past::EntryId> {
    let Command::Reverse(reversal) = &asked.request.command else { return None };
    Some((asked.partition, asked.request.account_id, reversal.version))
}

/// The hold of a command, if it matters how it has ended.
fn unknown_hold(batch: &Batch, asked: &Asked) -> Option<past::HoldId> {
    let account_id = asked.request.account_id;
    let hold_id = hold_id(&asked.request.command)?;
    let is_open = match &batch.state(account_id)?.account {
        Account::Open(open) => open.holds.contains_key(&hold_id),
        Account::Unopened | Account::Closed(_) => true,
    };
    (!is_open).then_some((asked.partition, account_id, hold_id))
}

fn hold_id(command: &Command) -> Option<Uuid> {
    match command {
        Command::Hold(hold) => Some(hold.hold_id),
        Command::Capture(capture) => Some(capture.hold_id),
        Command::Release(release) => Some(release.hold_id),
        Command::Open(_)
        | Command::Deposit(_)
        | Command::Withdraw(_)
        | Command::Transfer(_)
        | Command::Expire(_)
        | Command::Reverse(_)
        | Command::SetOverdraftLimit(_)
        | Command::Freeze(_)
        | Command::Unfreeze(_)
        | Command::Close(_) => None,
    }
}
