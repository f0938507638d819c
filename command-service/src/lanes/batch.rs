//! What a lane makes of the commands it has collected, before anything is sent to Postgres: pure.

use std::collections::HashMap;
use std::sync::Arc;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::look_first::Sent;
use super::request::{Accepted, Answer, CommandError, CommandRequest, Leg, Outcome, Pending};
use crate::domain::account::AccountSummary;
use crate::domain::{Command, Given, Past, Refusal, Subject, decide, evolve};
use crate::log::append::{Append, NewKey};
use crate::log::load::Loaded;

/// A command's result, as its sender gets it.
pub(super) type Result = std::result::Result<Answer, CommandError>;

/// The states of a batch's accounts, and what is decided on them, each command on what the ones before it left.
#[derive(Debug, Default)]
pub(super) struct Batch {
    states: HashMap<Uuid, State>,
    counts: HashMap<Partition, i64>,
    /// What is to be made durable.
    pub(super) append: Append,
    /// Of each command decided, in order: its place among the lane's pending ones.
    decided: Vec<(usize, Decision)>,
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
    Accepted { account_id: Uuid, version: i64, account: AccountSummary, newest: Option<usize>, events: EventsOf },
    Refused(Refusal),
    Error(CommandError),
}

#[derive(Debug)]
enum EventsOf {
    /// A range of `append.events`.
    Append(std::ops::Range<usize>),
    /// Of a dry run: nobody else sees them.
    DryRun(Vec<Arc<RecordedEvent>>),
}

/// What a batch has led to, once it is durable.
#[derive(Debug)]
pub(super) struct Finished {
    /// Results by the place of their command among the pending ones.
    pub(super) results: Vec<(usize, Result)>,
    /// All events, as they are in the log.
    pub(super) events: Vec<Arc<RecordedEvent>>,
    /// The accounts' states now, with the version each had before.
    pub(super) states: Vec<(Uuid, Partition, Loaded, i64)>,
}

impl Batch {
    /// Brings in an account's current state.
    pub(super) fn know(&mut self, account_id: Uuid, partition: Partition, loaded: Loaded) {
        let loaded_version = loaded.version;
        self.states.insert(account_id, State { partition, loaded, loaded_version, newest: None });
    }

    pub(super) fn knows(&self, account_id: Uuid) -> bool {
        self.states.contains_key(&account_id)
    }

    /// Before the batch is sent: notes the version each of its accounts is at, unless an earlier one has.
    pub(super) fn note_sent(&self, sent: &mut Sent) {
        for (account_id, state) in &self.states {
            sent.entry(*account_id).or_insert(state.loaded_version);
        }
    }

    /// Decides a command, the `index`-th of the lane's. Its key is not that of another in the batch. If its account
    /// is not known, that is because it can't be read.
    pub(super) fn decide(&mut self, index: usize, pending: &Pending) {
        let request = &pending.request;
        let Some(state) = self.states.get_mut(&request.account_id) else {
            self.decided.push((index, Decision::Error(CommandError::Internal)));
            return;
        };
        let decision = match judge(&state.loaded, request) {
            Ok(events) if request.dry_run => dry_run(state, pending, &events),
            Ok(events) => accept(state, &mut self.append, &mut self.counts, pending, &events),
            Err(refusal) => Decision::Refused(refusal),
        };
        let caused = match &decision {
            Decision::Accepted { events: EventsOf::Append(range), .. } => range.len(),
            Decision::Accepted { .. } | Decision::Refused(_) | Decision::Error(_) => 0,
        };
        // Nothing that is inserted checks the state it was decided on.
        if caused == 0 {
            self.append.asserted.push((state.partition, request.account_id, state.loaded_version));
        }
        if let Some(key) = pending.key() {
            self.append.keys.push(NewKey {
                partition: state.partition,
                account_id: request.account_id,
                key: key.to_owned(),
                fingerprint: request.fingerprint(),
                version: state.loaded.version,
                events: i16::try_from(caused).unwrap_or(i16::MAX),
                refusal: match &decision {
                    Decision::Refused(refusal) => serde_json::to_string(refusal).ok(),
                    Decision::Accepted { .. } | Decision::Error(_) => None,
                },
            });
        }
        self.decided.push((index, decision));
    }

    /// The results, after [`Append`] has given the events their positions.
    pub(super) fn finish(self) -> Finished {
        let events: Vec<Arc<RecordedEvent>> = self.append.events.into_iter().map(Arc::new).collect();
        let position_of =
            |state: &Loaded, newest: Option<usize>| newest.map_or(state.position, |n| events[n].position.number);
        let results = self.decided.into_iter().map(|(index, decision)| {
            let outcome = match decision {
                Decision::Error(error) => return (index, Err(error)),
                Decision::Refused(refusal) => Outcome::Refused(refusal),
                Decision::Accepted { account_id, version, account, newest, events: caused } => {
                    let state = &self.states[&account_id];
                    let position = Position { partition: state.partition, number: position_of(&state.loaded, newest) };
                    let events = match caused {
                        EventsOf::Append(range) => events[range].to_vec(),
                        EventsOf::DryRun(events) => events,
                    };
                    Outcome::Accepted(Accepted {
                        own: Leg { account_id, version, position, account, events },
                        to: None,
                    })
                }
            };
            (index, Ok(Answer { replayed: false, outcome }))
        });
        let results = results.collect();
        let states = self.states.into_iter().map(|(account_id, mut state)| {
            state.loaded.position = position_of(&state.loaded, state.newest);
            (account_id, state.partition, state.loaded, state.loaded_version)
        });
        Finished { results, states: states.collect(), events }
    }
}

fn judge(loaded: &Loaded, request: &CommandRequest) -> std::result::Result<Vec<AccountEvent>, Refusal> {
    // Where there is no account, that is what to say; but one that is to be opened is at version 0.
    let has_version = loaded.version > 0 || matches!(request.command, Command::Open(_));
    match request.expected_version {
        Some(expected) if has_version && expected != loaded.version => {
            Err(Refusal::VersionMismatch { current_version: loaded.version })
        }
        Some(_) | None => {
            let subject = Subject { account_id: request.account_id, version: loaded.version, account: &loaded.account };
            let given = Given { counterparty: None, past: &Past::default(), now: Timestamp::now() };
            decide(subject, &request.command, given).map(|decided| decided.events)
        }
    }
}

fn accept(
    state: &mut State,
    append: &mut Append,
    counts: &mut HashMap<Partition, i64>,
    pending: &Pending,
    events: &[AccountEvent],
) -> Decision {
    let first = append.events.len();
    for event in events {
        let count = counts.entry(state.partition).or_default();
        let Some(recorded) = record(state, pending, event, *count + 1) else {
            return Decision::Error(CommandError::Internal);
        };
        *count += 1;
        state.newest = Some(append.events.len());
        state.loaded.account = evolve(std::mem::take(&mut state.loaded.account), event);
        state.loaded.version += 1;
        append.events.push(recorded);
    }
    accepted(state, &state.loaded, pending, EventsOf::Append(first..append.events.len()))
}

fn dry_run(state: &State, pending: &Pending, events: &[AccountEvent]) -> Decision {
    let mut would_be = State { newest: None, loaded: state.loaded.clone(), ..*state };
    let mut recorded = Vec::new();
    for event in events {
        let Some(event_recorded) = record(&would_be, pending, event, would_be.loaded.position) else {
            return Decision::Error(CommandError::Internal);
        };
        would_be.loaded.account = evolve(would_be.loaded.account, event);
        would_be.loaded.version += 1;
        recorded.push(Arc::new(event_recorded));
    }
    accepted(state, &would_be.loaded, pending, EventsOf::DryRun(recorded))
}

fn accepted(state: &State, after: &Loaded, pending: &Pending, events: EventsOf) -> Decision {
    let account_id = pending.request.account_id;
    match after.account.summary() {
        Some(account) => {
            Decision::Accepted { account_id, version: after.version, account, newest: state.newest, events }
        }
        None => Decision::Error(CommandError::Internal),
    }
}

fn record(state: &State, pending: &Pending, event: &AccountEvent, number: i64) -> Option<RecordedEvent> {
    let request = &pending.request;
    Some(RecordedEvent {
        event_id: Uuid::now_v7(),
        account_id: request.account_id,
        event_type: event.event_type().to_owned(),
        version: state.loaded.version + 1,
        position: Position { partition: state.partition, number },
        schema_version: event.schema_version(),
        recorded_at: Timestamp::now(),
        data: event.data().ok()?,
        metadata: EventMetadata { command_id: request.command_id, context: request.context.clone() },
    })
}
