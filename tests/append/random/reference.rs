//! A service that does one thing after the other in memory and forgets nothing: what the lanes are compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use command_service::domain::command::Transfer;
use command_service::domain::effective::Timeline;
use command_service::domain::{
    Account, Command, Decided, Given, Past, Refusal, Subject, backdated_debit, counterparty,
    decide, evolve,
};
use command_service::outcome::CommandError;
use command_service::request::CommandRequest;
use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::told::{Happened, Told, ToldLeg};

#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    /// All that happened, by account.
    pub(super) events: BTreeMap<Uuid, Vec<Happened>>,
    /// By account and key: of which request it is, and what that was told.
    keys: HashMap<(Uuid, String), (i64, Told)>,
    /// How often it was asked: its clock.
    asked: i64,
    /// When events were recorded, by account; one an event.
    recorded: BTreeMap<Uuid, Vec<Timestamp>>,
    /// Who sent it, what, and what was told.
    transfers: HashMap<Uuid, (Uuid, Transfer, Told)>,
}

impl Reference {
    pub(super) fn of(&self, account_id: Uuid) -> &[Happened] {
        self.events.get(&account_id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn version(&self, account_id: Uuid) -> i64 {
        self.of(account_id).len().try_into().unwrap()
    }

    pub(super) fn account(&self, account_id: Uuid) -> Account {
        self.of(account_id)
            .iter()
            .fold(Account::default(), |account, happened| evolve(account, &happened.event))
    }

    /// One request, or one after the other; `all_or_none`: if one is not done, none is.
    pub(super) fn answer(&mut self, requests: &[CommandRequest], all_or_none: bool) -> Vec<Told> {
        self.asked += 1;
        let before = self.clone();
        let known: Vec<Option<Told>> = requests.iter().map(|request| self.known(request)).collect();
        // What is known not to be done is not waited for: nothing of its set is even decided.
        let not_done = |known: &Option<Told>| known.as_ref().is_some_and(|told| !told.is_done());
        if let Some(n) = known.iter().position(not_done).filter(|_| all_or_none) {
            return self.none_done(requests, n, known[n].clone().unwrap());
        }
        let mut answers = Vec::new();
        for (n, (request, known)) in requests.iter().zip(known).enumerate() {
            let told = known.unwrap_or_else(|| self.decide(request));
            if all_or_none && !told.is_done() {
                *self = before;
                return self.none_done(requests, n, told);
            }
            self.keep(request, &told);
            answers.push(told);
        }
        if requests.iter().any(|request| request.dry_run) {
            *self = before;
        }
        answers
    }

    /// Because of the `n`-th, which was told why. That is kept under its key if it would have been told so alone.
    fn none_done(&mut self, requests: &[CommandRequest], n: usize, told: Told) -> Vec<Told> {
        if self.clone().decide(&requests[n]) == told {
            self.keep(&requests[n], &told);
        }
        let mut answers = vec![Told::Error(CommandError::SetAborted); requests.len()];
        answers[n] = told;
        answers
    }

    /// The keys that are kept, with what their requests were.
    pub(super) fn keys(&self) -> BTreeSet<(Uuid, String, i64)> {
        let kept = |((account_id, key), (fingerprint, _)): (&(Uuid, String), &(i64, Told))| {
            (*account_id, key.clone(), *fingerprint)
        };
        self.keys.iter().map(kept).collect()
    }

    /// By its key, or because it is a transfer that was done.
    fn known(&self, request: &CommandRequest) -> Option<Told> {
        let key = key(request).and_then(|key| self.keys.get(&key));
        if let Some((fingerprint, told)) = key {
            let is_same = *fingerprint == request.fingerprint();
            return Some(if is_same { told.clone() } else { Told::Error(CommandError::KeyReused) });
        }
        let Command::Transfer(transfer) = &request.command else { return None };
        let (sender, content, told) = self.transfers.get(&transfer.transfer_id)?;
        // Else what becomes of it is decided.
        ((sender, content) == (&request.account_id, transfer)).then(|| told.clone())
    }

    /// Under its key, for good, unless there is something.
    fn keep(&mut self, request: &CommandRequest, told: &Told) {
        if matches!(
            told,
            Told::Error(_) | Told::Refused { refusal: Refusal::VersionMismatch { .. }, .. }
        ) {
            return;
        }
        if let Some(key) = key(request) {
            self.keys.entry(key).or_insert_with(|| (request.fingerprint(), told.clone().again()));
        }
    }

    fn decide(&mut self, request: &CommandRequest) -> Told {
        let CommandRequest { account_id, command, expected_versions, .. } = request;
        let (account, version) = (self.account(*account_id), self.version(*account_id));
        let has_version = version > 0 || matches!(command, Command::Open(_));
        if has_version
            && expected_versions.as_ref().is_some_and(|expected| !expected.contains(&version))
        {
            return refused(Refusal::VersionMismatch { current_version: version });
        }
        let mut past = self.past(*account_id, command);
        past.timeline = backdated_debit(*account_id, command, &past)
            .map(|(id, at)| Box::new(self.timeline(id, at)));
        let other = counterparty(command, &past).map(|id| (id, self.version(id), self.account(id)));
        let given = Given {
            counterparty: other.as_ref().map(|(account_id, version, account)| Subject {
                account_id: *account_id,
                version: *version,
                account,
            }),
            past: &past,
            now: Timestamp::now(),
        };
        let Decided { events, counterparty } = match decide(
            Subject { account_id: *account_id, version, account: &account },
            command,
            given,
        ) {
            Ok(decided) => decided,
            Err(refusal) => return refused(refusal),
        };
        let own = self.happen(*account_id, request, events);
        let to = counterparty.map(|event| self.happen(other.unwrap().0, request, vec![event]));
        let to = to.filter(|_| matches!(command, Command::Transfer(_)));
        let told = Told::Done { replayed: false, own, to };
        if let Command::Transfer(transfer) = command {
            let entry = (*account_id, transfer.clone(), told.clone().again());
            self.transfers.insert(transfer.transfer_id, entry);
        }
        told
    }

    /// Read from all there is.
    fn past(&self, account_id: Uuid, command: &Command) -> Past {
        let events =
            || self.of(account_id).iter().map(|happened| (happened.version, &happened.event));
        let mut past = Past::default();
        match command {
            Command::Reverse(reversal) => {
                let entry = self
                    .of(account_id)
                    .iter()
                    .find(|happened| happened.version == reversal.version);
                past.entry = entry.map(|happened| Box::new(happened.event.clone()));
                // What was recorded with the reversal counts from the same moment.
                let place = usize::try_from(reversal.version - 1).unwrap_or(usize::MAX);
                let recorded = self
                    .recorded
                    .get(&account_id)
                    .and_then(|recorded| recorded.get(place))
                    .copied();
                past.entry_recorded_at = recorded.filter(|at| *at < self.now());
                past.reversed_by = events().find_map(|(version, event)| match event {
                    AccountEvent::EntryReversed(reversed)
                        if reversed.version == reversal.version =>
                    {
                        Some(version)
                    }
                    _ => None,
                });
            }
            Command::Hold(_) | Command::Capture(_) | Command::Release(_) => {
                let hold_id = hold_id(command);
                past.ended_hold = events().find_map(|(_, event)| match event {
                    AccountEvent::HoldCaptured(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Captured)
                    }
                    AccountEvent::HoldReleased(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Released)
                    }
                    AccountEvent::HoldExpired(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Expired)
                    }
                    _ => None,
                });
            }
            Command::Transfer(transfer) => {
                past.transfer_exists = self.transfers.contains_key(&transfer.transfer_id)
            }
            _ => {}
        }
        past
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + self.asked).unwrap()
    }

    fn timeline(&self, account_id: Uuid, from: Timestamp) -> Timeline {
        let mut timeline = Timeline::new(from, 0, &Account::default());
        let recorded = self.recorded.get(&account_id).map_or(&[][..], Vec::as_slice);
        self.of(account_id)
            .iter()
            .zip(recorded)
            .for_each(|(happened, at)| timeline.take(&happened.event, *at));
        timeline
    }

    fn happen(
        &mut self,
        account_id: Uuid,
        request: &CommandRequest,
        events: Vec<AccountEvent>,
    ) -> ToldLeg {
        let now = self.now();
        let all = self.events.entry(account_id).or_default();
        let first = all.len();
        for event in events {
            let version = i64::try_from(all.len() + 1).unwrap();
            all.push(Happened { version, event, command_id: request.command_id });
            self.recorded.entry(account_id).or_default().push(now);
        }
        let events = all[first..].to_vec();
        let account = self.account(account_id).summary().unwrap();
        ToldLeg { account_id, version: self.version(account_id), account, events }
    }
}

fn refused(refusal: Refusal) -> Told {
    Told::Refused { replayed: false, refusal }
}

fn key(request: &CommandRequest) -> Option<(Uuid, String)> {
    let key = request.context.idempotency_key.clone().filter(|_| !request.dry_run)?;
    Some((request.account_id, key))
}

fn hold_id(command: &Command) -> Option<Uuid> {
    match command {
        Command::Hold(hold) => Some(hold.hold_id),
        Command::Capture(capture) => Some(capture.hold_id),
        Command::Release(release) => Some(release.hold_id),
        _ => None,
    }
}
