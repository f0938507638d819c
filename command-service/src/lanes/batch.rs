//! What a lane makes of the commands it has collected, before anything is sent to Postgres: pure.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::facts::Facts;
use super::look_first::Sent;
use super::request::{Asked, CommandRequest, Pending};
use crate::domain::account::AccountSummary;
use crate::domain::effective::backdated_debit;
use crate::domain::{self, Command, Decided, Given, Refusal, Subject, decide, evolve};
use crate::log::append::{Append, AssertedVersion};
use crate::log::clock::LogClock;
use crate::log::load::Loaded;
use crate::outcome::{Accepted, AccountChange, Answer, CommandError, CommandResult, Outcome};

mod undo;
use undo::Mark;

/// A command's place: among the lane's pending ones, and among the commands of that.
pub(super) type Place = (usize, usize);

/// The states of a batch's accounts, and what is decided on them, each command on what the ones before it left.
#[derive(Debug)]
pub(super) struct Batch {
    clock: LogClock,
    states: HashMap<Uuid, State>,
    most_holds: usize,
    counts: HashMap<Partition, i64>,
    /// What states do not keep.
    pub(super) facts: Facts,
    /// What is to be made durable.
    pub(super) append: Append,
    decided: Vec<(Place, Decision)>,
    /// What is to be put back if the pending one that is decided now has to be undone.
    before: Option<Mark>,
    /// The pending ones that were to be done together, and were not.
    pub(super) failed: Vec<usize>,
    /// A command could be made part of it only in part, which is a defect: nothing of it is to be done.
    pub(super) is_broken: bool,
}

#[derive(Debug)]
struct State {
    partition: Partition,
    loaded: Loaded,
    /// Before the batch.
    loaded_version: i64,
    /// Index in `append.events` of its newest event, if the batch has one.
    newest: Option<usize>,
}

#[derive(Debug)]
enum Decision {
    Accepted { own: Changed, to: Option<Changed> },
    Refused(Refusal),
    Error(CommandError),
}

/// What a command does to an account.
#[derive(Debug)]
struct Changed {
    account_id: Uuid,
    version: i64,
    account: AccountSummary,
    newest: Option<usize>,
    events: EventsOf,
}

#[derive(Debug)]
enum EventsOf {
    /// A range of `append.events`.
    Append(Range<usize>),
    /// Of a dry run: nobody else sees them.
    DryRun(Vec<RecordedEvent>),
}

/// What a batch has led to, once it is durable.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// What became of its commands.
    pub(super) results: Vec<(Place, CommandResult)>,
    /// All events, as they are in the log.
    pub(super) events: Vec<Arc<RecordedEvent>>,
    /// The accounts' states now, with the version each had before.
    pub(super) states: Vec<(Uuid, Partition, Loaded, i64)>,
}

impl Batch {
    /// One that is decided at the time of that clock, for accounts with at most so many open holds.
    pub(super) fn new(clock: LogClock, most_holds: usize) -> Self {
        Self {
            clock,
            states: HashMap::new(),
            most_holds,
            counts: HashMap::new(),
            facts: Facts::default(),
            append: Append::default(),
            decided: Vec::new(),
            before: None,
            failed: Vec::new(),
            is_broken: false,
        }
    }

    /// Brings in an account's current state.
    pub(super) fn know(&mut self, account_id: Uuid, partition: Partition, loaded: Loaded) {
        let loaded_version = loaded.version;
        self.states.insert(account_id, State { partition, loaded, loaded_version, newest: None });
    }

    pub(super) fn knows(&self, account_id: Uuid) -> bool {
        self.states.contains_key(&account_id)
    }

    /// The state of an account as the batch has it.
    pub(super) fn state(&self, account_id: Uuid) -> Option<&Loaded> {
        self.states.get(&account_id).map(|state| &state.loaded)
    }

    /// The version of an account as the batch has it, and its partition.
    pub(super) fn version(&self, account_id: Uuid) -> Option<(Partition, i64)> {
        self.states.get(&account_id).map(|state| (state.partition, state.loaded.version))
    }

    /// Before the batch is sent: notes the version each of its accounts is at, unless an earlier one has.
    pub(super) fn note_sent(&self, sent: &mut Sent) {
        for (account_id, state) in &self.states {
            sent.entry(*account_id).or_insert(state.loaded_version);
        }
    }

    /// Decides what is pending, the `index`-th of the lane's, but for those of its commands that are known already. No key
    /// in it is that of another in the batch. If an account is not known, that is because it can't be read.
    pub(super) fn decide(
        &mut self,
        index: usize,
        pending: &Pending,
        is_known: impl Fn(Place) -> bool,
    ) {
        // What stands or falls together can be undone.
        if pending.all_or_none || pending.is_dry_run() {
            self.before = Some(self.mark());
        }
        let mut places =
            (0..pending.commands.len()).map(|n| (index, n)).filter(|place| !is_known(*place));
        let first = self.decided.len();
        let mut failed = false;
        for place in places.by_ref() {
            let decision = self.decide_one(&pending.commands[place.1]);
            failed = pending.all_or_none && !matches!(decision, Decision::Accepted { .. });
            self.decided.push((place, decision));
            if failed {
                break;
            }
        }
        self.decided.extend(places.map(|place| (place, Decision::Error(CommandError::SetAborted))));
        if let Some(before) = self.before.take() {
            if failed {
                self.failed.push(index);
                self.undo_all(pending, before, first);
            } else if pending.is_dry_run() {
                self.undo_dry_run(pending, before, first);
            }
        }
    }

    fn decide_one(&mut self, asked: &Asked) -> Decision {
        let now = self.now(asked);
        let decision = match self.judge(asked, now) {
            Ok(Ok((decided, counterparty))) => {
                self.accept(asked, &decided, counterparty, now).unwrap_or_else(|| {
                    self.is_broken = true;
                    Decision::Error(CommandError::Internal)
                })
            }
            Ok(Err(refusal)) => Decision::Refused(refusal),
            Err(error) => Decision::Error(error),
        };
        let caused = match &decision {
            Decision::Accepted { own: Changed { events: EventsOf::Append(range), .. }, .. } => {
                range.len()
            }
            Decision::Accepted { .. } | Decision::Refused(_) | Decision::Error(_) => 0,
        };
        // Nothing that is inserted checks the states it was decided on.
        if caused == 0 {
            self.assert(asked.accounts());
        }
        match &decision {
            Decision::Accepted { .. } => self.keep_key(asked, caused, None),
            Decision::Refused(refusal) => self.keep_refusal(asked, refusal),
            Decision::Error(_) => {}
        }
        decision
    }

    /// What follows, and on which other account.
    fn judge(
        &self,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Result<(Decided, Option<Uuid>), Refusal>, CommandError> {
        let CommandRequest { account_id, command, expected_versions, .. } = &asked.request;
        let subject = |account_id: Uuid| {
            let Loaded { account, version, .. } =
                self.state(account_id).ok_or(CommandError::Internal)?;
            Ok::<_, CommandError>(Subject { account_id, version: *version, account })
        };
        let own = subject(*account_id)?;
        if asked.is_unreadable {
            return Err(CommandError::Internal);
        }
        // Where there is no account, that is what to say; but one that is to be opened is at version 0.
        let has_version = own.version > 0 || matches!(command, Command::Open(_));
        if expected_versions
            .as_ref()
            .is_some_and(|expected| has_version && !expected.contains(&own.version))
        {
            return Ok(Err(Refusal::VersionMismatch { current_version: own.version }));
        }
        let (mut past, mut counterparty) =
            (self.facts.past(asked), asked.counterparty.map(|(account_id, _)| account_id));
        if let Command::Reverse(reversal) = command
            && past.entry.is_none()
            && reversal.version <= own.version
        {
            past.entry = Some(Box::new(
                self.entry(*account_id, reversal.version).ok_or(CommandError::Conflict)?,
            ));
            counterparty = domain::counterparty(command, &past);
        }
        let other = counterparty.map(subject).transpose()?;
        if let Some((debited, at)) = backdated_debit(*account_id, command, &past) {
            past.timeline =
                Some(Box::new(self.facts.timeline(debited, at).ok_or(CommandError::Conflict)?));
        }
        // Holds whose time is over make room, whether or not their expiry is recorded yet.
        if matches!(command, Command::Hold(_))
            && own.account.open_holds() >= self.most_holds
            && own.account.holds_not_over(now) >= self.most_holds
        {
            return Ok(Err(Refusal::TooManyHolds { most: self.most_holds }));
        }
        let decided = decide(own, command, Given { counterparty: other, past: &past, now });
        Ok(decided.map(|decided| (decided, counterparty)))
    }

    /// The time at which what a command leads to would be recorded, or close before it.
    fn now(&self, asked: &Asked) -> Timestamp {
        let partitions = asked.accounts().map(|(_, partition)| self.clock.now_in(partition));
        partitions.max().unwrap_or_else(|| self.clock.now())
    }

    /// An entry that the batch itself has made. One that was made by another since the log was asked is not in it.
    fn entry(&self, account_id: Uuid, version: i64) -> Option<AccountEvent> {
        let made =
            |event: &&RecordedEvent| event.account_id == account_id && event.version == version;
        self.append.events.iter().find(made)?.decode().ok()
    }

    /// Commands that were decided and of which nothing is inserted that a constraint could refuse, dry runs included.
    pub(super) fn unchecked<'p>(&self, pending: &'p [Pending]) -> Vec<&'p Asked> {
        let is_unchecked = |decision: &Decision| match decision {
            Decision::Accepted { own, .. } => matches!(own.events, EventsOf::DryRun(_)),
            Decision::Refused(_) => true,
            Decision::Error(_) => false,
        };
        let asked = |(place, _): &(Place, Decision)| &pending[place.0].commands[place.1];
        self.decided.iter().filter(|(_, decision)| is_unchecked(decision)).map(asked).collect()
    }

    /// Commands whose refusals are not kept: no constraint checks their keys.
    pub(super) fn unkept<'p>(&self, pending: &'p [Pending]) -> impl Iterator<Item = &'p Asked> {
        let is_unkept = |decision: &Decision| matches!(decision, Decision::Refused(refusal) if !refusal.is_kept());
        let unkept = self.decided.iter().filter(move |(_, decision)| is_unkept(decision));
        unkept.map(|(place, _)| &pending[place.0].commands[place.1])
    }

    /// What is decided becomes part of the batch.
    fn accept(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        counterparty: Option<Uuid>,
        now: Timestamp,
    ) -> Option<Decision> {
        let own = self.change(asked.request.account_id, asked, &decided.events, now)?;
        let other = match (counterparty, &decided.counterparty) {
            (Some(account_id), Some(event)) => {
                Some(self.change(account_id, asked, std::slice::from_ref(event), now)?)
            }
            (Some(_) | None, _) => None,
        };
        let to = other.filter(|_| matches!(asked.request.command, Command::Transfer(_)));
        Some(Decision::Accepted { own, to })
    }

    fn change(
        &mut self,
        account_id: Uuid,
        asked: &Asked,
        events: &[AccountEvent],
        now: Timestamp,
    ) -> Option<Changed> {
        let state = self.states.get_mut(&account_id)?;
        if let Some(before) = &mut self.before {
            before.remember(account_id, state);
        }
        let first = self.append.events.len();
        for event in events {
            let count = self.counts.entry(state.partition).or_default();
            let recorded = record(account_id, state, asked, event, (*count + 1, now))?;
            *count += 1;
            self.facts.learn(account_id, recorded.version, event);
            state.newest = Some(self.append.events.len());
            state.loaded.account = evolve(std::mem::take(&mut state.loaded.account), event);
            state.loaded.version += 1;
            self.append.events.push(recorded);
        }
        let account = state.loaded.account.summary()?;
        let events = EventsOf::Append(first..self.append.events.len());
        Some(Changed {
            account_id,
            version: state.loaded.version,
            account,
            newest: state.newest,
            events,
        })
    }

    /// What is decided relies on the versions that these accounts had before the batch.
    fn assert(&mut self, accounts: impl Iterator<Item = (Uuid, Partition)>) {
        for (account_id, partition) in accounts {
            if let Some(state) = self.states.get(&account_id) {
                let version = state.loaded_version;
                self.append.asserted.push(AssertedVersion { partition, account_id, version });
            }
        }
    }

    /// Keeps a refusal as the answer to its key for good, if it is one that is kept.
    fn keep_refusal(&mut self, asked: &Asked, refusal: &Refusal) {
        if refusal.is_kept()
            && let Ok(refusal) = serde_json::to_string(refusal)
        {
            self.keep_key(asked, 0, Some(refusal));
        }
    }

    fn keep_key(&mut self, asked: &Asked, caused: usize, refusal: Option<String>) {
        if let Some(state) = self.states.get(&asked.request.account_id) {
            self.append.keys.extend(asked.new_key(state.loaded.version, caused, refusal));
        }
    }

    /// The results, after [`Append`] has given the events their positions.
    pub(super) fn finish(self) -> Finished {
        let Self { states, append, decided, .. } = self;
        let events: Vec<Arc<RecordedEvent>> = append.events.into_iter().map(Arc::new).collect();
        let position_of = |state: &Loaded, newest: Option<usize>| {
            newest.map_or(state.position, |n| events[n].position.number)
        };
        let change = |changed: Changed| {
            let Changed { account_id, version, account, newest, events: caused } = changed;
            let state = &states[&account_id];
            let position =
                Position { partition: state.partition, number: position_of(&state.loaded, newest) };
            let events = match caused {
                EventsOf::Append(range) => events[range].to_vec(),
                EventsOf::DryRun(events) => events
                    .into_iter()
                    .map(|event| Arc::new(RecordedEvent { position, ..event }))
                    .collect(),
            };
            AccountChange { account_id, version, position, account, events }
        };
        let result = |decision| {
            let outcome = match decision {
                Decision::Error(error) => return Err(error),
                Decision::Refused(refusal) => Outcome::Refused(refusal),
                Decision::Accepted { own, to } => {
                    Outcome::Accepted(Accepted { own: change(own), to: to.map(change) })
                }
            };
            Ok(Answer { replayed: false, outcome })
        };
        let results =
            decided.into_iter().map(|(place, decision)| (place, result(decision))).collect();
        let states = states.into_iter().map(|(account_id, mut state)| {
            state.loaded.position = position_of(&state.loaded, state.newest);
            (account_id, state.partition, state.loaded, state.loaded_version)
        });
        Finished { results, states: states.collect(), events }
    }
}

fn record(
    account_id: Uuid,
    state: &State,
    asked: &Asked,
    event: &AccountEvent,
    (number, recorded_at): (i64, Timestamp),
) -> Option<RecordedEvent> {
    let CommandRequest { command_id, context, .. } = &asked.request;
    Some(RecordedEvent {
        event_id: Uuid::now_v7(),
        account_id,
        event_type: event.event_type().to_owned(),
        version: state.loaded.version + 1,
        position: Position { partition: state.partition, number },
        schema_version: event.schema_version(),
        recorded_at,
        data: event.data().ok()?,
        metadata: EventMetadata { command_id: *command_id, context: context.clone() },
    })
}
