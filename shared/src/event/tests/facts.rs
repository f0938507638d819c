//! Facts that follow from an event.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::*;
use super::{ID, shortest, with};

#[test]
fn events_about_money_have_an_effective_time() {
    let time = "2026-11-23T08:00:00.000000Z";
    for (event_type, ..) in shortest() {
        let event = with(event_type, json!({"effective_at": time}));
        let has_one = matches!(
            event_type,
            "AccountOpened"
                | "MoneyDeposited"
                | "MoneyWithdrawn"
                | "MoneySent"
                | "MoneyReceived"
                | "EntryReversed"
        );
        assert_eq!(event.effective_at(), has_one.then(|| time.parse().unwrap()), "{event_type}");
    }
}

#[test]
fn a_side_row_follows_from_holds_sent_transfers_and_reversals_only() {
    let ended = |event_type| with(event_type, json!({})).side_row().map(|row| format!("{row:?}"));
    for (event_type, status) in
        [("HoldCaptured", "Captured"), ("HoldReleased", "Released"), ("HoldExpired", "Expired")]
    {
        assert_eq!(ended(event_type), Some(format!("HoldEnded({ID}, {status})")));
    }
    for event_type in AccountEvent::TYPES {
        let event = with(event_type, json!({}));
        match (event.side_row(), &event) {
            (Some(SideRow::HoldPlaced(row)), AccountEvent::HoldPlaced(placed)) => {
                assert_eq!(row, placed);
            }
            (Some(SideRow::TransferSent(row)), AccountEvent::MoneySent(leg)) => {
                assert_eq!(row, leg);
            }
            (Some(SideRow::EntryReversed(row)), AccountEvent::EntryReversed(reversed)) => {
                assert_eq!(row, reversed);
            }
            (Some(SideRow::HoldEnded(..)), _) => assert!(event_type.starts_with("Hold")),
            (row, _) => {
                assert_eq!(row, None, "{event_type}");
                let rowless = ["Account", "MoneyD", "MoneyW", "MoneyR", "Overdraft", "Owner"];
                assert!(rowless.iter().any(|start| event_type.starts_with(start)), "{event_type}");
            }
        }
    }
}

#[test]
fn a_reversal_moves_money_the_other_way() {
    for (entry, movement) in
        [("deposit", -40), ("withdrawal", 40), ("transfer_sent", 40), ("transfer_received", -40)]
    {
        let event = with("EntryReversed", json!({"entry": entry, "amount": 40}));
        let AccountEvent::EntryReversed(reversed) = event else { panic!("another type") };
        assert_eq!(reversed.movement(), movement, "{entry}");
    }
    let raw = RawValue::from_string(r#"{"version":2,"entry":"hold","amount":1}"#.to_owned());
    assert!(AccountEvent::decode("EntryReversed", 1, &raw.unwrap()).is_err());
}

#[test]
fn statuses_have_one_name_in_json_and_in_tables() {
    let name = |status: Value| status.as_str().unwrap().to_owned();
    for status in HoldStatus::ALL {
        assert_eq!(name(json!(status)), status.as_str());
    }
    assert_eq!(
        HoldStatus::ALL.map(HoldStatus::as_str),
        ["open", "captured", "released", "expired"]
    );
    for (status, text) in [
        (AccountStatus::Open, "open"),
        (AccountStatus::Frozen, "frozen"),
        (AccountStatus::Closed, "closed"),
    ] {
        assert_eq!((name(json!(status)).as_str(), status.as_str()), (text, text));
        assert_eq!(text.parse(), Ok(status));
    }
    assert!("Open".parse::<AccountStatus>().is_err());
}
