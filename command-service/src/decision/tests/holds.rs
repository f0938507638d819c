//! Holds within a batch, and those that ended before it.

use passbook_shared::event::HoldStatus;

use super::*;
use crate::domain::tests::specification::{capture, hold_of, release};

fn hold(id: u128, amount: i64, seconds: Option<i64>) -> Command {
    Command::Hold(hold_of(Uuid::from_u128(id), amount, seconds.map(at)))
}

fn not_open(status: HoldStatus) -> String {
    format!("HoldNotOpen {{ status: {status:?} }}")
}

#[test]
fn a_hold_that_has_expired_makes_room_and_how_it_ended_is_known() {
    let mut context = opened();
    let sets = each(vec![
        request(ADA, hold(1, 10, Some(1))),
        request(ADA, hold(2, 10, None)),
        request(ADA, hold(3, 10, None)),
    ]);
    let batch = decide(&context, &sets);
    let full = "TooManyHolds { most: 2 }".to_owned();
    assert_eq!(described(&batch), ["v2".to_owned(), "v3".to_owned(), full]);
    context = context_after(context, batch);
    // At its expiry, the first hold counts no more.
    context.times.values_mut().for_each(|time| *time = at(1));
    let batch = decide(&context, &each(vec![request(ADA, hold(3, 10, None))]));
    assert_eq!(described(&batch), ["v4"]);
}

#[test]
fn an_end_within_the_batch_is_known_to_later_commands() {
    let batch = decide(
        &opened(),
        &each(vec![
            request(ADA, hold(1, 10, None)),
            request(ADA, capture(Uuid::from_u128(1), Some(4))),
            request(ADA, release(Uuid::from_u128(1))),
            request(ADA, hold(2, 10, None)),
            request(ADA, release(Uuid::from_u128(2))),
            request(ADA, release(Uuid::from_u128(2))),
            request(ADA, hold(2, 10, None)),
            request(BOB, release(Uuid::from_u128(2))),
        ]),
    );
    let expected = [
        "v2".to_owned(),
        "v3".to_owned(),
        not_open(HoldStatus::Captured),
        "v4".to_owned(),
        "v5".to_owned(),
        not_open(HoldStatus::Released),
        "HoldExists".to_owned(),
        "HoldNotFound".to_owned(),
    ];
    assert_eq!(described(&batch), expected);
    assert_eq!(own(&batch, 1).account.balance, 96);
}

#[test]
fn an_end_before_the_batch_comes_with_the_context() {
    let mut context = opened();
    let ended = (ADA, Uuid::from_u128(1));
    context.facts.ended_holds.insert(ended, HoldStatus::Expired);
    let commands = [release(ended.1), capture(ended.1, None), hold(1, 5, None)];
    let batch = decide(&context, &each(commands.map(|command| request(ADA, command)).to_vec()));
    let expired = not_open(HoldStatus::Expired);
    assert_eq!(described(&batch), [expired.clone(), expired, "HoldExists".to_owned()]);
}

#[test]
fn the_context_looks_for_ended_holds_only_where_none_is_open() {
    let context = opened();
    let batch = decide(&context, &each(vec![request(ADA, hold(1, 10, None))]));
    let context = context_after(context, batch);
    let wanted = |account, command| {
        let command = PreparedCommand::new(request(account, command), PARTITIONS);
        context.hold_not_open(&command).map(|(partition, account_id, hold_id)| {
            assert_eq!((partition, account_id), (context.states[&account].0, account));
            hold_id.as_u128()
        })
    };
    assert_eq!(wanted(ADA, release(Uuid::from_u128(1))), None);
    assert_eq!(wanted(ADA, release(Uuid::from_u128(2))), Some(2));
    assert_eq!(wanted(BOB, hold(1, 5, None)), Some(1));
    assert_eq!(wanted(ADA, open(1)), None);
    // Neither an account that was never opened nor one that is missing has holds.
    let unopened = super::context();
    let command = PreparedCommand::new(request(ADA, hold(1, 5, None)), PARTITIONS);
    assert_eq!(unopened.hold_not_open(&command), None);
    let missing = PreparedCommand::new(request(Uuid::from_u128(3), hold(1, 5, None)), PARTITIONS);
    assert_eq!(context.hold_not_open(&missing), None);
}
