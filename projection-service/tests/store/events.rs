//! Events of accounts, as tests write them.

use passbook_shared::event::{AccountEvent, AccountOpened, MoneyMoved};
use passbook_shared::money::Amount;
use passbook_shared::text::Text;
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) fn opened(owner: &str) -> AccountEvent {
    AccountEvent::AccountOpened(AccountOpened {
        owner: Text::new(owner).unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit: 100,
        overdraft_limit: 0,
        effective_at: None,
        metadata: serde_json::from_str(r#"{"branch":"north"}"#).unwrap(),
        tenant: None,
    })
}

pub(crate) fn deposited(amount: i64) -> AccountEvent {
    AccountEvent::MoneyDeposited(MoneyMoved {
        amount: Amount::new(amount).unwrap(),
        reference: Some(Text::new("invoice").unwrap()),
        effective_at: Some("2026-11-23T08:00:00Z".parse().unwrap()),
        metadata: serde_json::from_str(r#"{"till":"3"}"#).unwrap(),
        allow_backdated_overdraft: false,
    })
}

pub(crate) fn event(event_type: &str, data: Value) -> AccountEvent {
    AccountEvent::decode(event_type, 1, &serde_json::value::to_raw_value(&data).unwrap()).unwrap()
}

fn leg(transfer_id: Uuid, counterparty: Uuid, counterparty_version: i64) -> Value {
    json!({
        "transfer_id": transfer_id, "counterparty": counterparty,
        "counterparty_version": counterparty_version, "amount": 40, "reference": "rent",
        "metadata": {"till": "3"},
    })
}

pub(crate) fn sent(transfer_id: Uuid, to: Uuid, version: i64) -> AccountEvent {
    event("MoneySent", leg(transfer_id, to, version))
}

pub(crate) fn received(transfer_id: Uuid, from: Uuid, version: i64) -> AccountEvent {
    event("MoneyReceived", leg(transfer_id, from, version))
}

/// Reverses the leg of a transfer, as the other account has it at this version.
pub(crate) fn reversed_received(
    undone: i64,
    transfer_id: Uuid,
    from: Uuid,
    version: i64,
) -> AccountEvent {
    let transfer =
        json!({"transfer_id": transfer_id, "counterparty": from, "counterparty_version": version});
    event(
        "EntryReversed",
        json!({
            "version": undone, "entry": "transfer_received", "amount": 40, "transfer": transfer,
        }),
    )
}

pub(crate) fn reversed_deposit(undone: i64, amount: i64) -> AccountEvent {
    event(
        "EntryReversed",
        json!({"version": undone, "entry": "deposit", "amount": amount, "reference": "sent twice"}),
    )
}

/// Each hold is of 50.
pub(crate) fn placed(hold: u128) -> AccountEvent {
    event(
        "HoldPlaced",
        json!({
            "hold_id": id(hold), "amount": 50, "expires_at": at(900), "reference": "room 12",
            "metadata": {"desk": "2"},
        }),
    )
}

pub(crate) fn captured(hold: u128) -> AccountEvent {
    event(
        "HoldCaptured",
        json!({"hold_id": id(hold), "amount": 30, "released": 20, "expires_at": at(900)}),
    )
}

pub(crate) fn released(hold: u128) -> AccountEvent {
    event("HoldReleased", json!({"hold_id": id(hold), "amount": 50, "reason": "cancelled"}))
}

pub(crate) fn expired(hold: u128) -> AccountEvent {
    event("HoldExpired", json!({"hold_id": id(hold), "amount": 50, "expires_at": at(900)}))
}

pub(crate) fn owner_changed(owner: &str) -> AccountEvent {
    event("OwnerChanged", json!({"owner": owner, "reason": "inherited"}))
}

/// One event per second.
pub(crate) fn timed(events: Vec<AccountEvent>) -> Vec<(AccountEvent, Timestamp)> {
    events.into_iter().zip(0..).map(|(event, second)| (event, at(second))).collect()
}

/// Returns the time `seconds` after midnight.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    Timestamp::from_micros(midnight.as_micros() + seconds * 1_000_000).unwrap()
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}
