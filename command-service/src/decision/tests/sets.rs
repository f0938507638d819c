//! Atomic sets and dry runs, which are decided on a branch.

use super::*;
use crate::decision::change::NewestEvent;
use crate::domain::tests::specification::{deposit, transfer, unfreeze, withdraw};
use crate::request::tests::{dry, with_key};

#[test]
fn an_atomic_set_with_a_refusal_leaves_nothing_but_the_check_of_its_states() {
    let batch = decide_after_openings(vec![
        set(
            true,
            vec![
                with_key(request(ADA, deposit(5)), "a"),
                request(ADA, withdraw(1_000)),
                request(BOB, deposit(1)),
            ],
        ),
        set(false, vec![request(ADA, withdraw(100))]),
    ]);
    assert_eq!(described(&batch), ["SetAborted", "funds", "SetAborted", "v2"]);
    assert_eq!(batch.aborted, [1]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn"]);
    assert_eq!(own(&batch, 3).account.balance, 0, "the set's deposit is not there");
    assert!(batch.changes.append.keys.iter().all(|key| key.key != "a"));
    assert_eq!(batch.changes.append.asserted.len(), 3);
}

#[test]
fn an_atomic_set_is_aborted_by_an_error_too() {
    let unknown = Uuid::from_u128(3);
    let sets = vec![
        set(true, vec![request(ADA, deposit(5)), request(unknown, deposit(1))]),
        set(true, vec![request(ADA, deposit(5))]),
    ];
    let batch = decide(&opened(), &sets);
    assert_eq!(described(&batch), ["SetAborted", "Internal", "v2"]);
    assert_eq!(batch.aborted, [0]);
}

#[test]
fn an_atomic_set_is_merged_once_all_of_it_is_accepted() {
    let batch = decide_after_openings(vec![
        set(true, vec![request(ADA, withdraw(40)), request(BOB, deposit(40))]),
        set(false, vec![request(BOB, withdraw(40))]),
    ]);
    assert_eq!(described(&batch), ["v2", "v2", "v3"]);
    assert!(batch.aborted.is_empty());
    let ranges: Vec<_> = (0..3).map(|n| range(own(&batch, n))).collect();
    assert_eq!(ranges, [2..3, 3..4, 4..5]);
}

#[test]
fn a_merged_branch_still_checks_the_state_of_a_command_without_events() {
    let set = set(true, vec![request(ADA, unfreeze()), request(BOB, deposit(1))]);
    let batch = decide(&opened(), &[set]);
    assert_eq!(described(&batch), ["v1", "v2"]);
    let asserted = &batch.changes.append.asserted;
    assert_eq!((asserted.len(), asserted[0].account_id, asserted[0].version), (1, ADA, 1));
}

#[test]
fn a_dry_run_has_the_later_time_of_the_partitions_that_it_touches() {
    let mut context = opened();
    let (partition, _) = context.states[&BOB];
    context.times.insert(partition, at(9));
    let time = |command| {
        let batch = decide(&context, &[set(false, vec![dry(request(ADA, command))])]);
        let ChangeEvents::DryRun(_, time) = own(&batch, 0).events else { panic!() };
        time
    };
    assert_eq!(time(deposit(1)), at(0));
    assert_eq!(time(transfer(Uuid::from_u128(7), BOB, 1)), at(9));
}

#[test]
fn a_set_that_is_not_atomic_goes_on_after_a_refusal() {
    let requests = vec![request(ADA, withdraw(101)), request(ADA, withdraw(100))];
    let batch = decide(&opened(), &[set(false, requests)]);
    assert_eq!(
        (described(&batch), batch.aborted.len()),
        (vec!["funds".to_owned(), "v2".into()], 0)
    );
}

#[test]
fn the_transfer_ids_of_an_aborted_set_are_free() {
    let send = |amount| request(ADA, transfer(Uuid::from_u128(7), BOB, amount));
    let batch = decide(
        &opened(),
        &[
            set(true, vec![send(1), request(ADA, withdraw(1_000))]),
            set(true, vec![send(2)]),
            set(true, vec![send(3)]),
        ],
    );
    assert_eq!(described(&batch), ["SetAborted", "funds", "v2", "TransferExists"]);
    assert_eq!(batch.aborted, [0, 2]);
}

#[test]
fn a_dry_run_answers_with_its_events_and_changes_nothing() {
    let batch = decide_after_openings(vec![
        set(false, vec![dry(request(ADA, withdraw(100)))]),
        set(false, vec![request(ADA, withdraw(100))]),
    ]);
    assert_eq!(described(&batch), ["v2", "v2"]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn"]);
    let ChangeEvents::DryRun(events, at) = &own(&batch, 0).events else { panic!() };
    assert_eq!((events.len(), *at), (1, now()));
}

#[test]
fn a_dry_run_sees_the_batch_before_it_and_names_its_newest_event() {
    let sent = dry(request(ADA, transfer(Uuid::from_u128(7), BOB, 60)));
    let batch = decide(
        &opened(),
        &[
            set(false, vec![request(ADA, deposit(10))]),
            set(false, vec![dry(request(ADA, withdraw(50))), sent, dry(request(ADA, withdraw(1)))]),
        ],
    );
    assert_eq!(described(&batch), ["v2", "v3", "v4", "funds"]);
    let Decision::Accepted { own, to: Some(to) } = &batch.decisions[2].1 else { panic!() };
    let types = |change: &Change| match &change.events {
        ChangeEvents::DryRun(events, _) => {
            events.iter().map(|event| (event.event_type, event.version)).collect::<Vec<_>>()
        }
        ChangeEvents::InBatch(range) => panic!("{range:?}"),
    };
    assert_eq!((types(own), types(to)), (vec![("MoneySent", 4)], vec![("MoneyReceived", 2)]));
    // Ada's newest event is the deposit of this batch, Bob's is in the log.
    assert!(matches!(own.newest, NewestEvent::InBatch(0)));
    assert!(matches!(to.newest, NewestEvent::InLog(1_001)));
    assert_eq!(batch.changes.append.events.len(), 1);
    // The versions that the answers rest on are checked.
    assert_eq!(batch.changes.append.asserted.len(), 4);
}

#[test]
fn a_dry_run_of_an_atomic_set_is_aborted_alike() {
    let requests = vec![dry(request(ADA, deposit(1))), dry(request(ADA, withdraw(500)))];
    let batch = decide(&opened(), &[set(true, requests)]);
    assert_eq!(described(&batch), ["SetAborted", "funds"]);
    assert_eq!((batch.aborted.as_slice(), batch.changes.append.events.len()), (&[0][..], 0));
}
