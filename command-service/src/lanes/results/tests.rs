use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::*;
use crate::decision::command_set::CommandSet;
use crate::decision::tests::{ADA, BOB, PARTITIONS, context, decide, each, opened, set};
use crate::domain::tests::specification::{at, deposit, transfer, unfreeze, withdraw};
use crate::domain::{Account, Refusal};
use crate::lanes::queue::tests::submissions;
use crate::log::clock::LogClock;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::snapshots::{self, ToWrite};
use crate::log::state_cache::StateCaches;
use crate::outcome::CommandError;
use crate::request::tests::{dry, request};
use crate::restore::standing::tests::forked;
use crate::writes::Writes;

/// Decides a batch on opened accounts, and numbers its events from 51 on in every partition.
fn finished(context: DecisionContext, sets: &[CommandSet]) -> Finished {
    let mut batch = decide(&context, sets);
    let mut next = vec![50; PARTITIONS.get().into()];
    let events = std::mem::take(&mut batch.changes.append.events).into_iter().map(|event| {
        let number = &mut next[event.partition.index()];
        *number += 1;
        let number = *number;
        Arc::new(event.recorded(number, at(number)))
    });
    let events = events.collect();
    Finished::new(context, batch, events)
}

#[track_caller]
fn accepted(finished: &Finished, n: usize) -> (&AccountChange, Option<&AccountChange>) {
    match &finished.results[n].1 {
        Ok(Outcome::Accepted { replayed: false, own, to }) => (own, to.as_ref()),
        other => panic!("{other:?}"),
    }
}

fn numbers(change: &AccountChange) -> Vec<(i64, Timestamp)> {
    change.events.iter().map(|event| (event.position.number, event.recorded_at)).collect()
}

#[test]
fn a_result_has_the_positions_and_times_of_its_own_events() {
    let sets = each(vec![
        request(ADA, deposit(1)),
        request(BOB, deposit(1)),
        request(ADA, transfer(Uuid::from_u128(7), BOB, 60)),
        request(ADA, withdraw(1_000)),
        request(ADA, unfreeze()),
    ]);
    let finished = finished(opened(), &sets);
    let (own, to) = accepted(&finished, 2);
    assert_eq!((numbers(own), own.version, own.account.balance), (vec![(52, at(52))], 3, 41));
    assert_eq!((own.account_id, own.position.number), (ADA, 52));
    let to = to.unwrap();
    assert_eq!((numbers(to), to.version, to.account.balance), (vec![(52, at(52))], 3, 61));
    assert_eq!(
        (to.account_id, to.position, to.events[0].account_id),
        (BOB, to.events[0].position, BOB)
    );
    let refusal = Refusal::InsufficientFunds { available: 41, overdraft_limit: 0 };
    let Ok(Outcome::Refused { replayed: false, refusal: found }) = &finished.results[3].1 else {
        panic!("{:?}", finished.results[3])
    };
    assert_eq!(*found, refusal);
    // Without an event, the position is that of the account's newest one.
    let (own, to) = accepted(&finished, 4);
    assert_eq!((own.position.number, own.events.len(), to.is_none()), (52, 0, true));
}

#[test]
fn a_dry_run_shows_its_events_at_the_newest_position_of_the_log() {
    let sets = [
        set(false, vec![dry(request(ADA, withdraw(1)))]),
        set(false, vec![request(BOB, deposit(1))]),
        set(false, vec![dry(request(BOB, deposit(5)))]),
    ];
    let finished = finished(opened(), &sets);
    let (own, _) = accepted(&finished, 0);
    assert_eq!((numbers(own), own.position.number), (vec![(1_001, at(0))], 1_001));
    assert_eq!((own.version, own.events[0].version, own.account.balance), (2, 2, 99));
    let (own, _) = accepted(&finished, 2);
    assert_eq!((numbers(own), own.version, own.position.number), (vec![(51, at(0))], 3, 51));
    assert_eq!(finished.events.len(), 1);
}

#[test]
fn a_final_state_has_the_position_of_its_last_event() {
    let finished =
        finished(opened(), &each(vec![request(ADA, deposit(1)), request(ADA, deposit(1))]));
    let mut states: Vec<_> = finished
        .states
        .iter()
        .map(|state| {
            let Loaded { version, position, account } = &state.loaded;
            let balance = account.summary().unwrap().balance;
            (state.account_id, state.version_before, *version, *position, balance)
        })
        .collect();
    states.sort_unstable();
    assert_eq!(states, [(ADA, 1, 3, 52, 102), (BOB, 1, 1, 1_001, 0)]);
}

#[test]
fn a_batch_is_mostly_replays_if_more_than_half_of_its_results_are() {
    let replays = |flags: &[bool]| {
        let refusal = Refusal::AccountNotFound;
        let result = |(n, replayed): (usize, &bool)| {
            ((n, 0), Ok(Outcome::Refused { replayed: *replayed, refusal: refusal.clone() }))
        };
        let mut results: Vec<(Place, CommandResult)> =
            flags.iter().enumerate().map(result).collect();
        results.push(((9, 0), Err(CommandError::KeyReused)));
        Finished { results, events: Vec::new(), states: Vec::new() }.is_mostly_replays()
    };
    assert!(replays(&[true, true]) && replays(&[true, true, true, false]));
    assert!(!replays(&[true]) && !replays(&[true, true, false]) && !replays(&[]));
}

#[tokio::test]
async fn a_submission_gets_the_results_of_its_own_commands_in_order() {
    let sets = vec![
        set(false, vec![request(ADA, deposit(1)), request(ADA, withdraw(500))]),
        set(false, vec![request(BOB, deposit(2)), request(BOB, deposit(3))]),
        set(false, vec![request(BOB, deposit(4))]),
    ];
    let mut finished = finished(opened(), &sets);
    // Prior outcomes come last; one command has none.
    finished.results.rotate_left(1);
    finished.results.retain(|(place, _)| *place != (1, 0));
    let (submissions, mut answers) = submissions(sets);
    let undecided = finished.answer(submissions);
    assert_eq!(undecided.len(), 1);
    assert_eq!(undecided[0].set.commands[0].request.account_id, BOB);
    let first = answers.remove(0).await.unwrap();
    assert!(matches!(first[..], [Ok(Outcome::Accepted { .. }), Ok(Outcome::Refused { .. })]));
    let third = answers.remove(1).await.unwrap();
    let [Ok(Outcome::Accepted { own, .. })] = &third[..] else { panic!("{third:?}") };
    assert_eq!((own.version, own.account.balance), (4, 9));
}

/// Parts that a lane works with, and the receivers of what it hands over.
fn deps() -> (LaneDeps, mpsc::Receiver<crate::log::append::Appended>, ToWrite) {
    let (relay, relayed) = mpsc::channel(1);
    let (snapshots, to_write) = snapshots::queue(SnapshotKey::random());
    let deps = LaneDeps {
        partitions: PARTITIONS,
        clock: LogClock::new(PARTITIONS, at(0)),
        pool: PgPool::connect_lazy("postgres://nobody@localhost/nothing").unwrap(),
        relay,
        snapshots,
        writes: Writes::default(),
        standing: forked([]),
    };
    (deps, relayed, to_write)
}

#[tokio::test]
async fn a_batch_is_handed_to_the_relay_the_snapshots_and_the_caches() {
    let (deps, mut relayed, mut to_write) = deps();
    let caches = StateCaches::new(1, 1 << 20);
    let mut guard = caches.lock(PARTITIONS.all()).await;
    let connected = Instant::now();
    let mut handed = finished(opened(), &each(vec![request(ADA, deposit(1))]));
    let partition = accepted(&handed, 0).0.position.partition;
    handed.hand_over(&deps, 2, &mut guard, connected);
    let appended = relayed.try_recv().unwrap();
    assert_eq!((appended.events.len(), appended.connected), (1, connected));
    assert_eq!(appended.events[0].account_id, ADA);
    let snapshot = to_write.next().unwrap();
    assert_eq!(
        (snapshot.partition, snapshot.account_id, snapshot.loaded.version),
        (partition, ADA, 2)
    );
    assert!(to_write.next().is_none(), "only ada has reached version 2");
    let cached = guard.get(Kind::Newest, ADA, partition).unwrap();
    assert_eq!((cached.version, cached.position), (2, 51));
    assert!(deps.clock.now_in(partition) >= at(51), "the clock knows the event's time");
    // What was handed over is not handed over again, and a batch without events not at all.
    handed.hand_over(&deps, 2, &mut guard, connected);
    let nothing = finished(opened(), &each(vec![request(ADA, unfreeze())]));
    { nothing }.hand_over(&deps, 2, &mut guard, connected);
    assert!(relayed.try_recv().is_err() && to_write.next().is_none());
}

#[tokio::test]
async fn a_full_relay_does_not_stop_a_lane() {
    let (deps, mut relayed, _to_write) = deps();
    let mut guard = StateCaches::new(1, 1 << 20).lock(PARTITIONS.all()).await;
    for _ in 0..3 {
        let mut handed = finished(opened(), &each(vec![request(ADA, deposit(1))]));
        handed.hand_over(&deps, 500, &mut guard, Instant::now());
    }
    assert!(relayed.try_recv().is_ok() && relayed.try_recv().is_err());
}

#[tokio::test]
async fn an_account_that_was_never_opened_is_not_cached() {
    let (deps, _relayed, _to_write) = deps();
    let mut guard = StateCaches::new(1, 1 << 20).lock(PARTITIONS.all()).await;
    let mut refused = finished(context(), &each(vec![request(ADA, deposit(1))]));
    let unopened = |state: &FinalState| state.loaded.account == Account::Unopened;
    assert!(refused.states.iter().all(unopened));
    refused.hand_over(&deps, 2, &mut guard, Instant::now());
    assert!(PARTITIONS.all().all(|partition| guard.get(Kind::Newest, ADA, partition).is_none()));
}
