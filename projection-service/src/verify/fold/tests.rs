use passbook_shared::recorded_event::{CommandContext, EventMetadata};
use serde_json::value::RawValue;

use super::*;

const OPENED: &str =
    r#"{"owner":"customer-4711","currency":"EUR","initial_deposit":100,"overdraft_limit":0}"#;
const DEPOSITED: &str = r#"{"amount":25}"#;

/// Returns the event at a position, recorded that many seconds after the epoch; its id is the
/// position.
fn event(number: i64, account: u128, version: i64, event_type: &str) -> RecordedEvent {
    RecordedEvent {
        event_id: Uuid::from_u128(number.unsigned_abs().into()),
        account_id: Uuid::from_u128(account),
        event_type: event_type.to_owned(),
        version,
        position: Position { partition: Partition::new(3), number },
        schema_version: if event_type == "AccountOpened" { 2 } else { 1 },
        recorded_at: Timestamp::from_micros(number * 1_000_000).unwrap(),
        data: RawValue::from_string(data(event_type).to_owned()).unwrap(),
        metadata: EventMetadata { command_id: Uuid::nil(), context: CommandContext::default() },
    }
}

fn data(event_type: &str) -> &'static str {
    match event_type {
        "AccountOpened" => OPENED,
        "HoldPlaced" => r#"{"hold_id":"00000000-0000-0000-0000-0000000000a1","amount":30}"#,
        "HoldReleased" => r#"{"hold_id":"00000000-0000-0000-0000-0000000000a1","amount":31}"#,
        "EntryReversed" => r#"{"version":2,"entry":"deposit","amount":25}"#,
        "OwnerChanged" => r#"{"owner":"customer-4712"}"#,
        _ => DEPOSITED,
    }
}

fn fold(aside: &[(u128, i64)], events: &[RecordedEvent]) -> (Fold, String, Vec<DifferenceKind>) {
    fold_without(&[], aside, events)
}

/// Returns the step of each event (R: row, A: quarantined, D: discarded, L: lost), and the
/// differences of the log.
fn fold_without(
    discarded: &[i64],
    aside: &[(u128, i64)],
    events: &[RecordedEvent],
) -> (Fold, String, Vec<DifferenceKind>) {
    let aside = aside.iter().map(|(account, position)| (Uuid::from_u128(*account), *position));
    let (mut fold, mut findings) = (
        Fold::new(Partition::new(3), aside.collect(), discarded.iter().copied().collect()),
        Findings::default(),
    );
    let steps = events.iter().map(|event| match fold.take(event, &event.decode(), &mut findings) {
        Step::Row(_) => 'R',
        Step::Aside => 'A',
        Step::Discarded => 'D',
        Step::Lost => 'L',
    });
    let steps = steps.collect();
    (fold, steps, findings.samples.into_iter().map(|difference| difference.what).collect())
}

fn history(fold: &Fold, account: u128) -> i64 {
    fold.accounts[&Uuid::from_u128(account)].history()
}

#[test]
fn an_intact_log_gives_one_row_per_event_and_no_difference() {
    let events = [
        event(1, 1, 1, "AccountOpened"),
        event(2, 2, 1, "AccountOpened"),
        event(3, 1, 2, "MoneyDeposited"),
        event(4, 2, 2, "AccountClosed"),
    ];
    let (fold, steps, found) = fold(&[], &events);
    assert_eq!((steps.as_str(), found), ("RRRR", vec![]));
    let applied = fold.accounts[&Uuid::from_u128(1)].applied.as_ref().unwrap();
    assert_eq!(
        (applied.state.balance, applied.position, &*applied.owner),
        (125, 3, "customer-4711")
    );
    assert_eq!((fold.last.unwrap().position, history(&fold, 2)), (4, 2));
}

#[test]
fn the_owner_of_the_opening_is_kept_from_the_first_change_on() {
    let types = ["AccountOpened", "OwnerChanged", "MoneyDeposited", "OwnerChanged"];
    let events: Vec<_> =
        types.into_iter().zip(1..).map(|(event_type, n)| event(n, 1, n, event_type)).collect();
    for (events, owner, opening_owner) in [
        (&events[..1], "customer-4711", None),
        (&events[..3], "customer-4712", Some("customer-4711")),
        (&events[..], "customer-4712", Some("customer-4711")),
    ] {
        let (fold, _, found) = fold(&[], events);
        let applied = fold.accounts[&Uuid::from_u128(1)].applied.as_ref().unwrap();
        assert_eq!((&*applied.owner, applied.opening_owner.as_deref()), (owner, opening_owner));
        assert_eq!(found, []);
    }
}

#[test]
fn holds_and_reversals_give_rows_and_an_event_against_the_rules_should_be_quarantined() {
    let types = ["AccountOpened", "MoneyDeposited", "HoldPlaced", "EntryReversed", "HoldReleased"];
    let events: Vec<_> =
        types.into_iter().zip(1..).map(|(event_type, n)| event(n, 1, n, event_type)).collect();
    let (fold, steps, found) = fold(&[], &events);
    assert_eq!((steps.as_str(), found), ("RRRRL", vec![DifferenceKind::NotSetAside]));
    let state = fold.accounts[&Uuid::from_u128(1)].applied.as_ref().unwrap().state;
    assert_eq!((state.balance, state.held, state.transaction_count), (100, 30, 3));
}

#[test]
fn a_missing_event_is_reported_once_and_the_rest_of_its_account_is_not_compared() {
    let events = [
        event(1, 1, 1, "AccountOpened"),
        event(3, 1, 3, "MoneyDeposited"),
        event(4, 1, 4, "MoneyDeposited"),
        event(5, 2, 1, "AccountOpened"),
    ];
    let (fold, steps, found) = fold(&[], &events);
    assert_eq!(
        (steps.as_str(), found),
        ("RLLR", vec![DifferenceKind::LogPositions, DifferenceKind::LogVersions])
    );
    assert_eq!((history(&fold, 1), history(&fold, 2)), (4, 1));
}

#[test]
fn a_repeated_event_is_found() {
    let again = |number, version| RecordedEvent {
        event_id: Uuid::from_u128(2),
        ..event(number, 1, version, "MoneyDeposited")
    };
    let mut late = again(3, 3);
    late.recorded_at = event(2, 1, 2, "MoneyDeposited").recorded_at;
    let begin = [event(1, 1, 1, "AccountOpened"), event(2, 1, 2, "MoneyDeposited")];

    let same_version = [&begin[..], &[again(3, 2), event(4, 1, 3, "MoneyDeposited")]].concat();
    assert_eq!(fold(&[], &same_version).1, "RRLR");
    assert_eq!(
        fold(&[], &same_version).2,
        [DifferenceKind::LogEventTwice, DifferenceKind::LogVersions]
    );
    let as_if_new = [&begin[..], &[late]].concat();
    assert_eq!(fold(&[], &as_if_new).2, [DifferenceKind::LogEventTwice]);
    let mut of_old = event(3, 1, 3, "MoneyDeposited");
    of_old.recorded_at = begin[0].recorded_at;
    assert_eq!(fold(&[], &[&begin[..], &[of_old]].concat()).2, [DifferenceKind::LogTime]);
}

#[test]
fn a_quarantined_event_is_no_difference_and_a_missing_one_is() {
    let events = [
        event(1, 1, 1, "AccountOpened"),
        event(2, 1, 2, "MoneyBurnt"),
        event(3, 1, 3, "MoneyDeposited"),
    ];
    let (aside, steps, found) = fold(&[(1, 2)], &events);
    assert_eq!((steps.as_str(), found, history(&aside, 1)), ("RAA", vec![], 1));
    // An applicable event stays quarantined until an operator retries it.
    assert_eq!(fold(&[(1, 1)], &events).1, "AAA");
    let (_, steps, found) = fold(&[], &events);
    assert_eq!((steps.as_str(), found), ("RLL", vec![DifferenceKind::NotSetAside]));
    let out_of_order = [event(1, 1, 1, "MoneyDeposited"), event(2, 2, 1, "AccountOpened")];
    assert_eq!(fold(&[], &out_of_order).2, [DifferenceKind::NotSetAside]);
}

#[test]
fn an_account_continues_without_a_discarded_event() {
    let events = [
        event(1, 1, 1, "AccountOpened"),
        event(2, 1, 2, "MoneyBurnt"),
        event(3, 1, 3, "MoneyDeposited"),
        event(4, 2, 1, "MoneyBurnt"),
    ];
    let (fold, steps, found) = fold_without(&[2, 4], &[], &events);
    assert_eq!(
        (steps.as_str(), found.len(), history(&fold, 1), history(&fold, 2)),
        ("RDRD", 0, 3, 0)
    );
    let (fold, steps, _) = fold_without(&[2], &[], &events[..2]);
    assert_eq!((steps.as_str(), history(&fold, 1)), ("RD", 2));
    // An applicable event is applied even if it was discarded.
    let (_, steps, _) = fold_without(&[1], &[], &events[..1]);
    assert_eq!(steps, "R");
}
