//! Commands that are decided one after the other.

use super::*;
use crate::decision::change::NewestEvent;
use crate::domain::tests::specification::{
    close, deposit, freeze, set_limit, transfer, unfreeze, withdraw,
};
use crate::outcome::CommandError;

fn send(id: u128, to: Uuid, amount: i64) -> Command {
    transfer(Uuid::from_u128(id), to, amount)
}

#[test]
fn a_command_is_decided_on_what_the_one_before_it_left() {
    let batch = decide_after_openings(each(vec![
        request(ADA, withdraw(80)),
        request(ADA, withdraw(80)),
        request(ADA, deposit(60)),
        request(ADA, withdraw(80)),
    ]));
    assert_eq!(described(&batch), ["v2", "funds", "v3", "v4"]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn", "MoneyDeposited", "MoneyWithdrawn"]);
    let versions: Vec<i64> =
        batch.changes.append.events.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 1, 2, 3, 4]);
}

#[test]
fn a_refusal_asserts_the_version_that_the_batch_started_from() {
    let asserted = |context: &DecisionContext, sets: Vec<CommandSet>| {
        let asserted = decide(context, &sets).changes.append.asserted;
        asserted.iter().map(|row| (row.account_id, row.version)).collect::<Vec<_>>()
    };
    let too_much = || request(ADA, withdraw(101));
    assert_eq!(asserted(&opened(), each(vec![too_much()])), [(ADA, 1)]);
    // The deposit's own version is the check of the account that it finds.
    let sets = each(vec![request(ADA, deposit(1)), request(ADA, withdraw(102))]);
    assert_eq!(asserted(&opened(), sets), [(ADA, 1)]);
    assert_eq!(asserted(&opened(), each(vec![request(ADA, deposit(1))])), []);
    let sets = each(vec![request(ADA, send(1, BOB, 101))]);
    assert_eq!(asserted(&opened(), sets), [(ADA, 1), (BOB, 1)]);
}

#[test]
fn a_command_without_an_event_asserts_its_version_and_is_accepted() {
    let batch = decide(&opened(), &each(vec![request(ADA, unfreeze())]));
    assert_eq!((described(&batch), range(own(&batch, 0))), (vec!["v1".to_owned()], 0..0));
    assert!(matches!(own(&batch, 0).newest, NewestEvent::InLog(1_001)));
    let asserted = &batch.changes.append.asserted;
    assert_eq!((asserted.len(), asserted[0].account_id, asserted[0].version), (1, ADA, 1));
    assert!(batch.changes.append.events.is_empty() && batch.changes.states.is_empty());
}

#[test]
fn a_transfer_changes_both_accounts_and_its_id_is_taken_afterwards() {
    let batch = decide_after_openings(each(vec![
        request(ADA, send(7, BOB, 30)),
        request(BOB, withdraw(30)),
        request(ADA, send(7, BOB, 30)),
        request(BOB, send(7, ADA, 30)),
    ]));
    assert_eq!(event_types(&batch), ["MoneySent", "MoneyReceived", "MoneyWithdrawn"]);
    assert_eq!(described(&batch), ["v2", "v3", "TransferExists", "TransferExists"]);
    let Decision::Accepted { own, to: Some(to) } = &batch.decisions[0].1 else { panic!() };
    assert_eq!((own.account_id, own.version, range(own)), (ADA, 2, 2..3));
    assert_eq!((to.account_id, to.version, range(to)), (BOB, 2, 3..4));
    assert_eq!((own.account.balance, to.account.balance), (70, 30));
    assert!(matches!(own.newest, NewestEvent::InBatch(2)));
    assert!(matches!(to.newest, NewestEvent::InBatch(3)));
}

#[test]
fn an_event_has_the_partition_of_its_account_and_the_id_of_its_command() {
    let mut sent = request(ADA, send(7, BOB, 30));
    sent.command_id = Uuid::from_u128(5);
    sent.context.correlation_id = Some("trail".to_owned());
    let context = opened();
    let batch = decide(&context, &each(vec![sent]));
    for (event, account_id) in batch.changes.append.events.iter().zip([ADA, BOB]) {
        assert_eq!(
            (event.account_id, event.partition),
            (account_id, context.states[&account_id].0)
        );
        assert_eq!(event.metadata.command_id, Uuid::from_u128(5));
        assert_eq!(event.metadata.context.correlation_id.as_deref(), Some("trail"));
    }
    assert_ne!(context.states[&ADA].0, context.states[&BOB].0, "the test needs two partitions");
}

#[test]
fn a_decision_has_the_place_of_its_command_and_known_ones_are_left_out() {
    let sets = [
        set(false, vec![request(ADA, deposit(1)), request(ADA, deposit(2))]),
        set(true, vec![request(ADA, deposit(3)), request(ADA, deposit(4))]),
    ];
    let known = [(0, 0), (1, 1)];
    // The sets have other indices in the batch than in the slice.
    let batch = decide_batch(&opened(), [(0, &sets[0]), (4, &sets[1])].into_iter(), |place| {
        known.contains(&place) || place == (4, 1)
    })
    .unwrap();
    let places: Vec<_> = batch.decisions.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [(0, 1), (4, 0)]);
    assert_eq!(own(&batch, 1).account.balance, 100 + 2 + 3);
}

#[test]
fn an_account_that_could_not_be_loaded_fails_its_own_command_only() {
    let unknown = Uuid::from_u128(3);
    let batch = decide_after_openings(each(vec![
        request(unknown, deposit(1)),
        request(ADA, send(1, unknown, 1)),
        request(ADA, deposit(1)),
    ]));
    let internal = format!("{:?}", CommandError::Internal);
    assert_eq!(described(&batch), [internal.clone(), internal, "v2".to_owned()]);
}

#[test]
fn a_command_that_rests_on_an_unreadable_event_is_not_decided() {
    let mut unreadable = set(false, vec![request(ADA, deposit(1))]);
    unreadable.commands[0].is_unreadable = true;
    let batch = decide(&opened(), &[unreadable]);
    assert_eq!(described(&batch), ["Internal"]);
    assert!(batch.changes.append.keys.is_empty() && batch.changes.append.events.is_empty());
}

#[test]
fn a_precondition_is_about_the_version_within_the_batch() {
    let expecting = |versions: &[i64], command| CommandRequest {
        expected_versions: Some(versions.to_vec()),
        ..request(ADA, command)
    };
    let batch = decide_after_openings(each(vec![
        expecting(&[1], deposit(1)),
        expecting(&[1], deposit(1)),
        expecting(&[7, 2], deposit(1)),
        expecting(&[], deposit(1)),
        expecting(&[0], open(1)),
    ]));
    let mismatch = |version| format!("VersionMismatch {{ current_version: {version} }}");
    let expected = ["v2".to_owned(), mismatch(2), "v3".to_owned(), mismatch(3), mismatch(3)];
    assert_eq!(described(&batch), expected);
}

#[test]
fn a_missing_account_is_refused_as_such_whatever_version_is_expected() {
    let expecting =
        |command| CommandRequest { expected_versions: Some(vec![3]), ..request(ADA, command) };
    let mut opening_at_0 = expecting(open(5));
    opening_at_0.expected_versions = Some(vec![0]);
    let sets = each(vec![expecting(deposit(1)), expecting(open(1)), opening_at_0]);
    let expected = ["AccountNotFound", "VersionMismatch { current_version: 0 }", "v1"];
    assert_eq!(described(&decide(&context(), &sets)), expected);
}

#[test]
fn changes_of_the_standing_are_seen_by_later_commands() {
    let batch = decide_after_openings(each(vec![
        request(ADA, Command::Freeze(freeze(false))),
        request(ADA, withdraw(1)),
        request(ADA, unfreeze()),
        request(ADA, set_limit(50)),
        request(ADA, withdraw(150)),
        request(ADA, set_limit(49)),
        request(ADA, deposit(50)),
        request(ADA, close()),
        request(ADA, deposit(1)),
    ]));
    let expected = [
        "v2",
        "AccountFrozen",
        "v3",
        "v4",
        "v5",
        "OverdraftInUse { available: -50 }",
        "v6",
        "v7",
        "AccountClosed",
    ];
    assert_eq!(described(&batch), expected);
    let (closed, _) = &batch.changes.states[&ADA];
    assert_eq!((closed.version, closed.account.summary().unwrap().balance), (7, 0));
}
