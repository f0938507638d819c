//! Reference of the lanes: it executes one request after the other in memory, and forgets nothing.

mod past;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::observed::{Happened, Observed, ObservedChange};
use command_service::domain::command::Transfer;
use command_service::domain::effective::Timeline;
use command_service::domain::{
    Account, Command, Decided, Given, Refusal, Subject, backdated_debit, counterparty, decide,
    evolve,
};
use command_service::outcome::CommandError;
use command_service::request::CommandRequest;
use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    /// Events by account.
    pub(super) events: BTreeMap<Uuid, Vec<Happened>>,
    /// Fingerprint of the request and outcome of its repeats, by account and key.
    keys: HashMap<(Uuid, String), (i64, Observed)>,
    /// Number of calls so far, which is also the clock.
    calls: i64,
    /// Times at which events were recorded, by account.
    recorded: BTreeMap<Uuid, Vec<Timestamp>>,
    /// Sender, content and outcome of transfers, by transfer id.
    transfers: HashMap<Uuid, (Uuid, Transfer, Observed)>,
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

    /// Executes requests one after the other; with `all_or_none`, all of them or none.
    pub(super) fn answer(
        &mut self,
        requests: &[CommandRequest],
        all_or_none: bool,
    ) -> Vec<Observed> {
        self.calls += 1;
        let before = self.clone();
        let known: Vec<Option<Observed>> =
            requests.iter().map(|request| self.known(request)).collect();
        // A set with a kept refusal is aborted before any of its commands is decided.
        let not_done =
            |known: &Option<Observed>| known.as_ref().is_some_and(|outcome| !outcome.is_done());
        if let Some(n) = known.iter().position(not_done).filter(|_| all_or_none) {
            return self.aborted(requests, n, known[n].clone().unwrap());
        }
        let mut answers = Vec::new();
        for (n, (request, known)) in requests.iter().zip(known).enumerate() {
            let outcome = known.unwrap_or_else(|| self.decide(request));
            if all_or_none && !outcome.is_done() {
                *self = before;
                return self.aborted(requests, n, outcome);
            }
            self.keep(request, &outcome);
            answers.push(outcome);
        }
        if requests.iter().any(|request| request.dry_run) {
            *self = before;
        }
        answers
    }

    /// Aborts a set because of the `n`-th request. Its outcome is kept if it would be the same
    /// alone.
    fn aborted(
        &mut self,
        requests: &[CommandRequest],
        n: usize,
        outcome: Observed,
    ) -> Vec<Observed> {
        if self.clone().decide(&requests[n]) == outcome {
            self.keep(&requests[n], &outcome);
        }
        let mut answers = vec![Observed::Error(CommandError::SetAborted); requests.len()];
        answers[n] = outcome;
        answers
    }

    /// Returns the kept keys with the fingerprints of their requests.
    pub(super) fn keys(&self) -> BTreeSet<(Uuid, String, i64)> {
        let kept = |((account_id, key), (fingerprint, _)): (&(Uuid, String), &(i64, Observed))| {
            (*account_id, key.clone(), *fingerprint)
        };
        self.keys.iter().map(kept).collect()
    }

    /// Returns the outcome of a repeat, by its key or its transfer id.
    fn known(&self, request: &CommandRequest) -> Option<Observed> {
        let key = key(request).and_then(|key| self.keys.get(&key));
        if let Some((fingerprint, outcome)) = key {
            let is_same = *fingerprint == request.fingerprint();
            return Some(if is_same {
                outcome.clone()
            } else {
                Observed::Error(CommandError::KeyReused)
            });
        }
        let Command::Transfer(transfer) = &request.command else { return None };
        let (sender, content, outcome) = self.transfers.get(&transfer.transfer_id)?;
        ((sender, content) == (&request.account_id, transfer)).then(|| outcome.clone())
    }

    /// Keeps an outcome under the request's key, unless the key has one.
    fn keep(&mut self, request: &CommandRequest, outcome: &Observed) {
        if matches!(
            outcome,
            Observed::Error(_) | Observed::Refused { refusal: Refusal::VersionMismatch { .. }, .. }
        ) {
            return;
        }
        if let Some(key) = key(request) {
            self.keys
                .entry(key)
                .or_insert_with(|| (request.fingerprint(), outcome.clone().replayed()));
        }
    }

    /// Decides a new request, and applies its events.
    fn decide(&mut self, request: &CommandRequest) -> Observed {
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
        let to = other.filter(|_| !counterparty.is_empty());
        let to = to.map(|(account_id, _, _)| self.happen(account_id, request, counterparty));
        let to = to.filter(|_| matches!(command, Command::Transfer(_)));
        let outcome = Observed::Done { replayed: false, own, to };
        if let Command::Transfer(transfer) = command {
            let entry = (*account_id, transfer.clone(), outcome.clone().replayed());
            self.transfers.insert(transfer.transfer_id, entry);
        }
        outcome
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + self.calls).unwrap()
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

    /// Appends events, and returns the change of the account.
    fn happen(
        &mut self,
        account_id: Uuid,
        request: &CommandRequest,
        events: Vec<AccountEvent>,
    ) -> ObservedChange {
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
        ObservedChange { account_id, version: self.version(account_id), account, events }
    }
}

fn refused(refusal: Refusal) -> Observed {
    Observed::Refused { replayed: false, refusal }
}

fn key(request: &CommandRequest) -> Option<(Uuid, String)> {
    let key = request.context.idempotency_key.clone().filter(|_| !request.dry_run)?;
    Some((request.account_id, key))
}
