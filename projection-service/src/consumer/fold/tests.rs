use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use serde_json::value::RawValue;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::consumer::sequence::Verdict;

const PARTITION: Partition = Partition::new(3);
const EVENT: Uuid = Uuid::from_u128(9);
const OPENED: &str =
    r#"{"owner":"customer-4711","currency":"EUR","initial_deposit":100,"overdraft_limit":0}"#;
const DEPOSITED: &str = r#"{"amount":25,"reference":"r","metadata":{"till":"3"}}"#;

fn event(account: u128, version: i64, number: i64, event_type: &str, data: &str) -> Record {
    let recorded = RecordedEvent {
        event_id: EVENT,
        account_id: Uuid::from_u128(account),
        event_type: event_type.to_owned(),
        version,
        position: Position { partition: PARTITION, number },
        schema_version: if event_type == "AccountOpened" { 2 } else { 1 },
        recorded_at: "2026-11-24T12:00:00Z".parse().unwrap(),
        data: RawValue::from_string(data.to_owned()).unwrap(),
        metadata: EventMetadata {
            command_id: Uuid::from_u128(4),
            context: CommandContext::default(),
        },
    };
    let mut document = Vec::new();
    passbook_shared::cloud_event::encode(&recorded, Uuid::from_u128(1), 0, &mut document).unwrap();
    Record::read(PARTITION, Some(number - 1), &document)
}

fn folded(records: &[Record], known: &mut AccountCache) -> (Sequence, Vec<usize>) {
    let mut sequence = Sequence::new(&[Checkpoint {
        partition: PARTITION,
        position: 0,
        epoch: 7,
        kafka_offset: None,
        event_id: None,
        recorded_at: None,
    }]);
    for record in records {
        let number = record.content.as_ref().map_or(0, |event| event.recorded.position.number);
        let accepted = match number {
            0 => sequence.unusable(PARTITION, record.offset.unwrap()),
            number => {
                sequence.of_topic(PARTITION, number, EVENT, record.offset.unwrap()) == Verdict::Next
            }
        };
        assert!(accepted, "{record:?}");
    }
    let batch = fold(records, &sequence, known);
    let sizes = vec![batch.opened.len(), batch.accounts.len(), batch.history.len()];
    (sequence, sizes)
}

#[test]
fn events_of_an_account_become_one_row_of_it_and_a_row_each_of_history() {
    let records = [
        event(1, 1, 1, "AccountOpened", OPENED),
        event(1, 2, 2, "MoneyDeposited", DEPOSITED),
        event(2, 1, 3, "AccountOpened", OPENED),
        event(1, 3, 4, "MoneyDeposited", DEPOSITED),
    ];
    let mut known = AccountCache::default();
    let (sequence, sizes) = folded(&records, &mut known);
    assert_eq!(sizes, [2, 2, 4]);

    let mut again = AccountCache::default();
    let batch = fold(&records, &sequence, &mut again);
    let first = batch.accounts[0];
    assert_eq!((first.state.version, first.state.balance, first.position), (3, 150, 4));
    let history: Vec<_> =
        batch.history.iter().map(|row| (row.position, row.entry.after.balance)).collect();
    assert_eq!(history, [(1, 100), (2, 125), (4, 150), (3, 100)], "in the order of the key");
    let recorded_at = Some("2026-11-24T12:00:00Z".parse().unwrap());
    let moved = Move {
        partition: PARTITION,
        epoch: 7,
        from: 0,
        to: 4,
        kafka_offset: Some(4),
        event_id: Some(EVENT),
        recorded_at,
    };
    assert_eq!(batch.checkpoints, [moved]);
    assert!(
        matches!(known.get(Uuid::from_u128(1)), Some(Known::State(state)) if state.version == 3)
    );
}

#[test]
fn an_inapplicable_event_is_quarantined_and_blocks_only_its_own_account() {
    let records = [
        event(1, 1, 1, "AccountOpened", OPENED),
        event(1, 2, 2, "AccountMelted", "{}"),
        event(1, 3, 3, "MoneyDeposited", DEPOSITED),
        event(2, 1, 4, "AccountOpened", OPENED),
        event(3, 7, 5, "MoneyDeposited", DEPOSITED),
        Record::read(PARTITION, Some(5), b"not \0 json"),
    ];
    let mut known = AccountCache::default();
    let (sequence, sizes) = folded(&records, &mut known);
    assert_eq!(sizes, [2, 2, 2]);

    let mut again = AccountCache::default();
    let quarantine = fold(&records, &sequence, &mut again).quarantine;
    let waits: Vec<_> =
        quarantine.iter().map(|quarantined| (quarantined.position, quarantined.waits)).collect();
    assert_eq!(waits, [(Some(2), false), (Some(3), true), (Some(5), false), (None, false)]);
    assert!(quarantine[0].reason.contains("`AccountMelted`"), "{quarantine:?}");
    assert!(quarantine[2].reason.contains("version 7 of the account comes where 1 is next"));
    assert_eq!((quarantine[3].account, quarantine[3].kafka_offset), (None, Some(5)));
    assert_eq!(quarantine[3].document, b"not \0 json");
    assert_eq!(known.get(Uuid::from_u128(1)), Some(Known::Quarantined));
}

#[test]
fn the_last_change_of_the_owner_in_a_batch_counts() {
    let records = [
        event(1, 1, 1, "AccountOpened", OPENED),
        event(1, 2, 2, "OwnerChanged", r#"{"owner":"customer-4712"}"#),
        event(1, 3, 3, "OwnerChanged", r#"{"owner":"customer-4713"}"#),
        event(1, 4, 4, "MoneyDeposited", DEPOSITED),
        event(2, 1, 5, "AccountOpened", OPENED),
    ];
    let batch = fold(&records, &Sequence::default(), &mut AccountCache::default());
    let accounts: Vec<_> =
        batch.accounts.iter().map(|account| (account.state.version, account.owner)).collect();
    assert_eq!(accounts, [(4, Some("customer-4713")), (1, None)]);
    let history: Vec<_> = batch.history.iter().map(|row| row.entry.owner).collect();
    assert_eq!(history, [None, Some("customer-4712"), Some("customer-4713"), None, None]);
}

const HOLD: &str = "00000000-0000-0000-0000-0000000000a1";

#[test]
fn a_row_says_how_its_event_came_and_what_it_is_of() {
    let leg = format!(
        r#"{{"transfer_id":"{HOLD}","counterparty":"{HOLD}","counterparty_version":7,"amount":40}}"#
    );
    let hold = format!(r#"{{"hold_id":"{HOLD}","amount":30}}"#);
    let mut records = [
        event(1, 1, 1, "AccountOpened", OPENED),
        event(1, 2, 2, "MoneySent", &leg),
        event(1, 3, 3, "HoldPlaced", &hold),
        event(1, 4, 4, "HoldReleased", &hold),
        event(1, 5, 5, "EntryReversed", r#"{"version":2,"entry":"withdrawal","amount":40}"#),
        event(1, 6, 6, "OverdraftLimitSet", r#"{"limit":500}"#),
    ];
    let published_at = Some("2026-11-24T12:00:01Z".parse().unwrap());
    records[1].published_at = published_at;
    let Ok(of_log) = &records[2].content else { panic!() };
    records[2] = Record::of_feed(of_log.recorded.clone(), of_log.store_id);
    let batch = fold(&records, &Sequence::default(), &mut AccountCache::default());
    let came: Vec<_> =
        batch.history.iter().map(|row| (row.kafka_offset, row.published_at)).collect();
    assert_eq!(
        came[..4],
        [(Some(0), None), (Some(1), published_at), (None, None), (Some(3), None)]
    );
    let held: Vec<_> =
        batch.history.iter().map(|row| (row.entry.after.balance, row.entry.after.held)).collect();
    assert_eq!(held, [(100, 0), (60, 0), (60, 30), (60, 0), (100, 0), (100, 0)]);
    let of: Vec<_> = batch
        .history
        .iter()
        .map(|row| (row.entry.transfer.is_some(), row.entry.hold.is_some()))
        .collect();
    assert_eq!(of[..4], [(false, false), (true, false), (false, true), (false, true)]);
    assert_eq!(
        (batch.history[4].entry.reverses, batch.accounts[0].state.overdraft_limit),
        (Some(2), 500)
    );
}

#[test]
fn a_hold_that_ends_and_never_began_is_set_aside() {
    let hold = format!(r#"{{"hold_id":"{HOLD}","amount":30}}"#);
    let records = [event(1, 1, 1, "AccountOpened", OPENED), event(1, 2, 2, "HoldReleased", &hold)];
    let batch = fold(&records, &Sequence::default(), &mut AccountCache::default());
    assert_eq!((batch.history.len(), batch.quarantine.len()), (1, 1));
    assert!(
        batch.quarantine[0].reason.contains("the held amount would be -30"),
        "{:?}",
        batch.quarantine
    );
}

#[test]
fn what_waits_is_kept_as_the_topic_carries_it() {
    let records = [event(1, 1, 1, "AccountOpened", OPENED)];
    let mut known = AccountCache::default();
    known.set(Uuid::from_u128(1), Known::Quarantined);
    let sequence = Sequence::default();
    let batch = fold(&records, &sequence, &mut known);
    let read = Record::read(PARTITION, Some(0), &batch.quarantine[0].document);
    let (read, was) = (read.content.unwrap(), records[0].content.as_ref().unwrap());
    assert_eq!(read.store_id, was.store_id);
    assert_eq!(
        serde_json::to_value(&read.recorded).unwrap(),
        serde_json::to_value(&was.recorded).unwrap()
    );
}

#[test]
fn a_discarded_event_is_passed_over_if_it_still_can_not_be_applied() {
    let records = [
        event(1, 1, 1, "AccountOpened", OPENED),
        event(1, 2, 2, "AccountMelted", "{}"),
        event(1, 3, 3, "MoneyDeposited", DEPOSITED),
        event(1, 3, 4, "MoneyDeposited", DEPOSITED),
        event(2, 1, 5, "AccountMelted", "{}"),
    ];
    let discarded = |numbers: &[i64]| {
        let mut known = AccountCache::default();
        known.discard(
            numbers.iter().map(|number| Position { partition: PARTITION, number: *number }),
        );
        known
    };
    let mut known = discarded(&[2, 3, 4, 5]);
    let batch = fold(&records, &Sequence::default(), &mut known);
    assert_eq!(batch.quarantine, []);
    let history: Vec<_> = batch.history.iter().map(|row| row.entry.after.version).collect();
    assert_eq!(history, [1, 3], "none of what was passed over, and what can be applied is");
    let account = batch.accounts[0];
    assert_eq!((account.state.version, account.state.balance, account.position), (3, 125, 3));
    assert_eq!(batch.accounts.len(), 1, "without its opening there is no account");

    let mut known = discarded(&[2]);
    let batch = fold(&records[..2], &Sequence::default(), &mut known);
    let account = batch.accounts[0];
    assert_eq!(
        (account.state.version, account.state.balance, account.position),
        (2, 100, 2),
        "past the gap"
    );
}
