//! Answers for the documentation, made by the code that makes real ones.

mod happened;

use std::sync::Arc;

use passbook_shared::cloud_event;
use passbook_shared::event::AccountEvent;
use serde_json::{Value, json};
use uuid::Uuid;

use self::happened::recorded;
use super::answer::{Body, Shape};
use super::bulk;
use crate::domain::{Account, Refusal, evolve};
use crate::outcome::{Accepted, AccountChange, Answer, Outcome};

/// The account that examples speak of.
pub(super) const ACCOUNT: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b60);
/// The one that money is sent to.
pub(super) const OTHER: Uuid = Uuid::from_u128(0x0199_0d2c_7b10_7c41_8e52_93d7_0a4c_1f88);
/// A hold on the account.
pub(super) const HOLD: Uuid = Uuid::from_u128(0x0199_0d2d_11a3_7e02_a6f9_4b3c_7d52_e016);

/// The store that they are of.
const STORE: Uuid = Uuid::from_u128(0x6f1f_6f0e_6d9c_4b8e_9a55_64d6_f9b2_f5a1);

/// The answer to an opening.
pub(super) fn opening() -> Option<Value> {
    answer(Shape::Account, [happened::opened()?])
}

/// The answer to a deposit.
pub(super) fn deposit() -> Option<Value> {
    answer(Shape::Account, [happened::opened()?, happened::deposited()?])
}

/// The answer to a transfer.
pub(super) fn transfer() -> Option<Value> {
    let own =
        change(ACCOUNT, &[happened::opened()?, AccountEvent::MoneySent(happened::leg(OTHER)?)])?;
    let to = change(
        OTHER,
        &[happened::opened()?, AccountEvent::MoneyReceived(happened::leg(ACCOUNT)?)],
    )?;
    told(&Accepted { own, to: Some(to) }, Shape::Transfer)
}

/// The answer to a hold.
pub(super) fn hold() -> Option<Value> {
    answer(Shape::Hold, [happened::opened()?, happened::held()?])
}

/// The answer to the capture of a hold.
pub(super) fn capture() -> Option<Value> {
    answer(Shape::Hold, [happened::opened()?, happened::held()?, happened::captured()?])
}

/// The answer to the release of a hold.
pub(super) fn release() -> Option<Value> {
    answer(Shape::Hold, [happened::opened()?, happened::held()?, happened::released()?])
}

/// The answer to the reversal of a deposit.
pub(super) fn reversal() -> Option<Value> {
    answer(Shape::Account, [happened::opened()?, happened::deposited()?, happened::reversed()?])
}

/// The answer to a change of the overdraft limit.
pub(super) fn overdraft_limit() -> Option<Value> {
    answer(Shape::Account, [happened::opened()?, happened::limited()])
}

/// The answer to a freeze.
pub(super) fn freeze() -> Option<Value> {
    answer(Shape::Account, [happened::opened()?, happened::frozen()])
}

/// The answer to two commands, one of which was refused.
pub(super) fn bulk() -> Option<Value> {
    let own = change(ACCOUNT, &[happened::opened()?, happened::deposited()?])?;
    let outcomes = [
        Outcome::Accepted(Accepted { own, to: None }),
        Outcome::Refused(Refusal::InsufficientFunds { available: 125_000, overdraft_limit: 0 }),
    ];
    let results = outcomes.map(|outcome| Ok(Answer { replayed: false, outcome }));
    serde_json::from_slice(&bulk::example(&results).ok()?).ok()
}

/// A page of events.
pub(super) fn page() -> Option<Value> {
    let event = |version, event| recorded(ACCOUNT, version, &event);
    let events = [event(1, happened::opened()?)?, event(2, happened::deposited()?)?];
    Some(json!({ "data": events, "has_more": false }))
}

/// An event of each type, and the value of its record in the topic.
pub(super) fn records() -> impl Iterator<Item = (AccountEvent, Value)> {
    happened::every().into_iter().flatten().zip(1..).filter_map(|(event, version)| {
        let mut record = Vec::new();
        cloud_event::encode(&recorded(ACCOUNT, version, &event)?, STORE, 0, &mut record).ok()?;
        Some((event, serde_json::from_slice(&record).ok()?))
    })
}

/// An account folded from its events.
pub(super) fn state() -> Option<Value> {
    let mut answer = deposit()?;
    answer.as_object_mut()?.remove("events");
    Some(answer)
}

/// What the last event of a history was answered with.
fn answer<const N: usize>(shape: Shape, history: [AccountEvent; N]) -> Option<Value> {
    told(&Accepted { own: change(ACCOUNT, &history)?, to: None }, shape)
}

fn told(accepted: &Accepted, shape: Shape) -> Option<Value> {
    serde_json::to_value(Body::of(accepted, shape)?).ok()
}

/// What the last event of a history did to the account.
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
    fn there_are_examples() {
        let answers = [
            opening(),
            deposit(),
            transfer(),
            hold(),
            capture(),
            release(),
            reversal(),
            overdraft_limit(),
        ];
        for example in answers.into_iter().chain([freeze(), bulk(), page(), state()]) {
            assert!(example.is_some());
        }
    }
}
