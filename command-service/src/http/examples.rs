//! Example answers for the documentation, produced by the code that produces real ones.

mod events;

use std::sync::Arc;

use passbook_shared::cloud_event;
use passbook_shared::event::AccountEvent;
use serde_json::{Value, json};
use uuid::Uuid;

use self::events::recorded;
use super::answer::{Body, Shape};
use crate::domain::{Account, evolve};
use crate::outcome::AccountChange;

/// Account of the examples.
pub(super) const ACCOUNT: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b60);
/// Receiving account of the examples.
pub(super) const OTHER: Uuid = Uuid::from_u128(0x0199_0d2c_7b10_7c41_8e52_93d7_0a4c_1f88);
/// Hold of the examples.
pub(super) const HOLD: Uuid = Uuid::from_u128(0x0199_0d2d_11a3_7e02_a6f9_4b3c_7d52_e016);

/// Store of the examples.
const STORE: Uuid = Uuid::from_u128(0x6f1f_6f0e_6d9c_4b8e_9a55_64d6_f9b2_f5a1);

/// Returns the answer to an opening.
pub(super) fn opening() -> Option<Value> {
    answer(Shape::Account, [events::opened()?])
}

/// Returns the answer to a deposit.
pub(super) fn deposit() -> Option<Value> {
    answer(Shape::Account, [events::opened()?, events::deposited()?])
}

/// Returns the answer to a transfer.
pub(super) fn transfer() -> Option<Value> {
    let own = change(ACCOUNT, &[events::opened()?, AccountEvent::MoneySent(events::leg(OTHER)?)])?;
    let to =
        change(OTHER, &[events::opened()?, AccountEvent::MoneyReceived(events::leg(ACCOUNT)?)])?;
    body(&own, Some(&to), Shape::Transfer)
}

/// Returns the answer to a hold.
pub(super) fn hold() -> Option<Value> {
    answer(Shape::Hold, [events::opened()?, events::held()?])
}

/// Returns the answer to the capture of a hold.
pub(super) fn capture() -> Option<Value> {
    answer(Shape::Hold, [events::opened()?, events::held()?, events::captured()?])
}

/// Returns the answer to the release of a hold.
pub(super) fn release() -> Option<Value> {
    answer(Shape::Hold, [events::opened()?, events::held()?, events::released()?])
}

/// Returns the answer to the reversal of a deposit.
pub(super) fn reversal() -> Option<Value> {
    answer(Shape::Account, [events::opened()?, events::deposited()?, events::reversed()?])
}

/// Returns the answer to a change of the overdraft limit.
pub(super) fn overdraft_limit() -> Option<Value> {
    answer(Shape::Account, [events::opened()?, events::limited()])
}

/// Returns the answer to a change of the owner.
pub(super) fn owner() -> Option<Value> {
    answer(Shape::Account, [events::opened()?, events::owner_changed()?])
}

/// Returns the answer to a freeze.
pub(super) fn freeze() -> Option<Value> {
    answer(Shape::Account, [events::opened()?, events::frozen()])
}

/// Returns the change by an accepted deposit.
pub(super) fn accepted_deposit() -> Option<AccountChange> {
    change(ACCOUNT, &[events::opened()?, events::deposited()?])
}

/// Returns a page of events.
pub(super) fn page() -> Option<Value> {
    let event = |version, event| recorded(ACCOUNT, version, &event);
    let events = [event(1, events::opened()?)?, event(2, events::deposited()?)?];
    Some(json!({ "data": events, "has_more": false }))
}

/// Returns an event of each type with the value of its record in the topic.
pub(super) fn records() -> impl Iterator<Item = (AccountEvent, Value)> {
    events::every().into_iter().flatten().zip(1..).filter_map(|(event, version)| {
        let mut record = Vec::new();
        cloud_event::encode(&recorded(ACCOUNT, version, &event)?, STORE, 0, &mut record).ok()?;
        Some((event, serde_json::from_slice(&record).ok()?))
    })
}

/// Returns an account folded from its events.
pub(super) fn state() -> Option<Value> {
    let mut answer = deposit()?;
    answer.as_object_mut()?.remove("events");
    Some(answer)
}

/// Returns the answer to the last event of a history.
fn answer<const N: usize>(shape: Shape, history: [AccountEvent; N]) -> Option<Value> {
    body(&change(ACCOUNT, &history)?, None, shape)
}

fn body(own: &AccountChange, to: Option<&AccountChange>, shape: Shape) -> Option<Value> {
    serde_json::to_value(Body::of(own, to, shape)?).ok()
}

/// Returns the change that the last event of a history made.
fn change(account_id: Uuid, history: &[AccountEvent]) -> Option<AccountChange> {
    let version = i64::try_from(history.len()).ok()?;
    let event = recorded(account_id, version, history.last()?)?;
    Some(AccountChange {
        account_id,
        version,
        position: event.position,
        account: history.iter().fold(Account::default(), evolve).summary()?,
        events: vec![Arc::new(event)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_exists() {
        let answers = [
            opening(),
            deposit(),
            transfer(),
            hold(),
            capture(),
            release(),
            reversal(),
            overdraft_limit(),
            owner(),
        ];
        for example in answers.into_iter().chain([freeze(), page(), state()]) {
            assert!(example.is_some());
        }
    }

    #[test]
    fn the_last_event_of_a_hold_determines_its_answer() {
        let hold = |example: Option<Value>| example.unwrap()["hold"].clone();
        let expected = |status: &str, captured: i64| {
            json!({
                "hold_id": HOLD,
                "amount": 5000,
                "captured": captured,
                "status": status,
                "expires_at": "2026-12-01T00:00:00.000000Z",
            })
        };
        assert_eq!(hold(super::hold()), expected("open", 0));
        assert_eq!(hold(capture()), expected("captured", 3_000));
        assert_eq!(hold(release()), expected("released", 0));
    }
}
