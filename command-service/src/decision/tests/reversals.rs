//! Reversals of entries of the same batch, of earlier ones, and of those that changed meanwhile.

use super::*;
use crate::domain::tests::specification::{deposit, deposited, reverse, transfer, withdraw};
use crate::domain::{Past, Refusal};

/// Returns a reversal that was prepared with an entry of the log.
fn prepared(version: i64, past: Past) -> CommandSet {
    let mut set = set(false, vec![request(ADA, reverse(version))]);
    set.commands[0].past = past;
    set
}

fn entry() -> Past {
    Past { entry: Some(Box::new(deposited(7))), ..Past::default() }
}

fn already(reversed_by: i64) -> String {
    format!("{:?}", Refusal::AlreadyReversed { reversed_by })
}

#[test]
fn an_entry_of_the_batch_is_reversed_once() {
    let batch = decide_after_openings(each(vec![
        request(ADA, deposit(7)),
        request(ADA, reverse(2)),
        request(ADA, reverse(2)),
        request(ADA, reverse(4)),
    ]));
    let missing = format!("{:?}", Refusal::EntryNotFound { current_version: 3 });
    assert_eq!(described(&batch), ["v2".to_owned(), "v3".to_owned(), already(3), missing]);
    assert_eq!(own(&batch, 1).account.balance, 100);
}

#[test]
fn a_transfer_of_the_batch_is_reversed_on_both_accounts() {
    let batch = decide_after_openings(each(vec![
        request(ADA, transfer(Uuid::from_u128(7), BOB, 30)),
        request(BOB, reverse(2)),
        request(ADA, reverse(2)),
    ]));
    assert_eq!(described(&batch), ["v2".to_owned(), "v3".to_owned(), already(3)]);
    let types = event_types(&batch);
    assert_eq!(types, ["MoneySent", "MoneyReceived", "EntryReversed", "EntryReversed"]);
    assert_eq!(batch.changes.states[&ADA].0.account.summary().unwrap().balance, 100);
    // The answer to a reversal has its own account only.
    assert!(matches!(&batch.decisions[1].1, Decision::Accepted { to: None, .. }));
}

#[test]
fn an_entry_that_the_log_has_comes_with_the_command() {
    let batch = decide(&opened(), &[prepared(1, entry()), prepared(1, entry())]);
    // The second one learns of the first from the batch.
    assert_eq!(described(&batch), ["v2".to_owned(), already(2)]);
    assert_eq!(own(&batch, 0).account.balance, 93);
    let reversed = Past { reversed_by: Some(5), ..entry() };
    assert_eq!(described(&decide(&opened(), &[prepared(1, reversed)])), [already(5)]);
    let mut context = opened();
    context.facts.reversals.insert((ADA, 1), 4);
    assert_eq!(described(&decide(&context, &[prepared(1, entry())])), [already(4)]);
}

#[test]
fn an_entry_that_was_recorded_after_the_preparation_is_a_conflict() {
    // Version 1 exists, but neither the command nor the batch has the event.
    let batch = decide(&opened(), &each(vec![request(ADA, reverse(1)), request(ADA, reverse(2))]));
    let missing = format!("{:?}", Refusal::EntryNotFound { current_version: 1 });
    assert_eq!(described(&batch), ["Conflict".to_owned(), missing]);
}

#[test]
fn an_entry_of_a_branch_is_reversed_within_it_only() {
    let batch = decide(
        &opened(),
        &[
            set(
                true,
                vec![
                    request(ADA, deposit(7)),
                    request(ADA, reverse(2)),
                    request(ADA, withdraw(101)),
                ],
            ),
            set(false, vec![request(ADA, reverse(2))]),
        ],
    );
    let missing = format!("{:?}", Refusal::EntryNotFound { current_version: 1 });
    let expected = ["SetAborted".to_owned(), "SetAborted".into(), "funds".into(), missing];
    assert_eq!(described(&batch), expected);
}
