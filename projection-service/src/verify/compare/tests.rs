use passbook_shared::event::AccountStatus;
use passbook_shared::timestamp::Timestamp;

use super::*;
use crate::projection::AccountState;

const PARTITION: Partition = Partition::new(3);
const ID: Uuid = Uuid::from_u128(7);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn folded(standing: Standing) -> Folded {
    let state = AccountState {
        version: 4,
        status: AccountStatus::Open,
        balance: 125,
        held: 0,
        overdraft_limit: 0,
        transaction_count: 4,
    };
    let applied = Applied {
        state,
        position: 9,
        opened_at: at(1),
        last_activity: at(4),
        currency: "EUR".parse().unwrap(),
        owner: "customer-4711".into(),
        opening_owner: None,
        metadata: Some(Box::new(serde_json::from_str(r#"{"branch":"north"}"#).unwrap())),
        tenant: Some("acme".into()),
    };
    Folded { version: 4, standing, applied: Some(applied) }
}

fn found(compare: impl FnOnce(&mut Findings)) -> Vec<Difference> {
    let mut findings = Findings::default();
    compare(&mut findings);
    findings.samples
}

#[test]
fn every_column_of_an_account_is_compared() {
    let folded = folded(Standing::Whole);
    let right = row(PARTITION, ID, folded.applied.as_ref().unwrap());
    assert_eq!(found(|findings| account(PARTITION, Some(&folded), &right, findings)), []);
    let wrong = [
        Account { opened_at: at(2), ..right.clone() },
        Account { last_activity: at(5), ..right.clone() },
        Account { version: 5, ..right.clone() },
        Account { position: 10, ..right.clone() },
        Account { balance: 126, ..right.clone() },
        Account { held: 1, ..right.clone() },
        Account { overdraft_limit: 1, ..right.clone() },
        Account { transaction_count: 5, ..right.clone() },
        Account { partition: Partition::new(4), ..right.clone() },
        Account { status: "melted", ..right.clone() },
        Account { currency: "JPY", ..right.clone() },
        Account { owner: "somebody", ..right.clone() },
        Account { opening_owner: Some("somebody"), ..right.clone() },
        Account { metadata: None, ..right.clone() },
        Account { tenant: None, ..right.clone() },
        Account { metadata: Some(json!({"branch": "south"})), ..right.clone() },
    ];
    for wrong in wrong {
        let differences = found(|findings| account(PARTITION, Some(&folded), &wrong, findings));
        let [Difference { what: DifferenceKind::AccountDiffers, expected, found, .. }] =
            &differences[..]
        else {
            panic!("{differences:?}")
        };
        let names = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!((names(expected).len(), names(expected)), (1, names(found)));
        assert_ne!(expected, found);
    }
}

#[test]
fn surplus_and_missing_accounts_are_found_and_lost_ones_are_skipped() {
    let whole = folded(Standing::Whole);
    let there = row(PARTITION, ID, whole.applied.as_ref().unwrap());
    let what =
        |differences: Vec<Difference>| differences.into_iter().map(|d| d.what).collect::<Vec<_>>();
    assert_eq!(
        what(found(|findings| account(PARTITION, None, &there, findings))),
        [DifferenceKind::AccountTooMany]
    );
    let unopened = Folded { applied: None, ..folded(Standing::Aside) };
    assert_eq!(
        what(found(|findings| account(PARTITION, Some(&unopened), &there, findings))),
        [DifferenceKind::AccountTooMany]
    );
    for (standing, missing) in [(Standing::Whole, 1), (Standing::Aside, 1), (Standing::Lost, 0)] {
        assert_eq!(
            found(|findings| account_missing(PARTITION, ID, &folded(standing), findings)).len(),
            missing
        );
    }
    let other = Account { balance: 1, ..there };
    assert_eq!(
        found(|findings| account(PARTITION, Some(&folded(Standing::Lost)), &other, findings)),
        []
    );
}

fn deposited() -> Entry<'static> {
    Entry {
        account_id: ID,
        version: 4,
        position: 9,
        recorded_at: at(4),
        amount: Some(25),
        balance: 125,
        held: 0,
        overdraft_limit: 0,
        transaction_count: 4,
        effective_at: None,
        reverses: None,
        hold_amount: None,
        expires_at: None,
        hold_id: None,
        transfer_id: Some(ID),
        counterparty: Some(ID),
        counterparty_version: Some(2),
        status: "open",
        event_type: "MoneyDeposited",
        reference: Some("r"),
        owner: None,
        metadata: None,
    }
}

#[test]
fn every_column_of_a_history_row_is_compared() {
    let right = deposited();
    assert_eq!(found(|findings| entry(PARTITION, &right, Some(&right), findings)), []);
    let wrong = Entry { amount: Some(26), reference: None, ..right.clone() };
    let differences = found(|findings| entry(PARTITION, &right, Some(&wrong), findings));
    assert_eq!(
        (differences[0].what, differences[0].version),
        (DifferenceKind::HistoryDiffers, Some(4))
    );
    assert_eq!(differences[0].expected, json!({"amount": 25, "reference": "r"}));
    assert_eq!(differences[0].found, json!({"amount": 26, "reference": null}));
    assert_eq!(
        found(|findings| entry(PARTITION, &right, None, findings))[0].what,
        DifferenceKind::HistoryMissing
    );

    let wrong = [
        Entry { reverses: Some(2), ..right.clone() },
        Entry { hold_amount: Some(1), ..right.clone() },
        Entry { expires_at: Some(at(9)), ..right.clone() },
        Entry { hold_id: Some(ID), ..right.clone() },
        Entry { transfer_id: None, ..right.clone() },
        Entry { counterparty: Some(Uuid::nil()), ..right.clone() },
        Entry { counterparty_version: Some(3), ..right.clone() },
        Entry { owner: Some("somebody"), ..right.clone() },
    ];
    for wrong in wrong {
        let differences = found(|findings| entry(PARTITION, &right, Some(&wrong), findings));
        assert_eq!(differences[0].found.as_object().unwrap().len(), 1, "{differences:?}");
    }
}

#[test]
fn a_checkpoint_must_name_the_event_at_its_position() {
    let last = Last { position: 9, event_id: ID, recorded_at: at(4) };
    let right = Checkpoint {
        partition: PARTITION,
        position: 9,
        epoch: 1,
        kafka_offset: None,
        event_id: Some(ID),
        recorded_at: Some(at(4)),
    };
    let empty = Checkpoint { position: 0, event_id: None, recorded_at: None, ..right };
    assert_eq!(found(|findings| checkpoint(&right, Some(last), findings)), []);
    assert_eq!(found(|findings| checkpoint(&empty, None, findings)), []);
    let wrong = [
        Checkpoint { position: 10, ..right },
        Checkpoint { event_id: Some(Uuid::nil()), ..right },
        Checkpoint { event_id: None, ..right },
        Checkpoint { recorded_at: Some(at(5)), ..right },
    ];
    for wrong in wrong {
        assert_eq!(
            found(|findings| checkpoint(&wrong, Some(last), findings))[0].what,
            DifferenceKind::Checkpoint
        );
    }
    assert_eq!(found(|findings| checkpoint(&right, None, findings)).len(), 1);
}
