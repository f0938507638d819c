//! Answers for the documentation, made of the types that real ones are made of.

use std::sync::Arc;

use passbook_shared::event::{AccountEvent, AccountFrozen, AccountOpened, MoneyMoved};
use passbook_shared::money::{Amount, Currency};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::text::{Metadata, Owner, Reference};
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::CommandAnswer;
use crate::domain::{Account, evolve};
use crate::lanes::Leg;

/// The account that examples speak of.
pub(super) const ACCOUNT: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b60);

/// The answer to an opening.
pub(super) fn opening() -> Option<Value> {
    answer(&[opened()?])
}

/// The answer to a deposit.
pub(super) fn deposit() -> Option<Value> {
    answer(&[opened()?, deposited()?])
}

/// The answer to a freeze.
pub(super) fn freeze() -> Option<Value> {
    let frozen = AccountFrozen { reason: Reference::new("court order").ok(), block_credits: true };
    answer(&[opened()?, AccountEvent::AccountFrozen(frozen)])
}

/// A page of events.
pub(super) fn page() -> Option<Value> {
    let events = [recorded(1, &opened()?)?, recorded(2, &deposited()?)?];
    Some(json!({ "data": events, "has_more": false }))
}

/// An account folded from its events.
pub(super) fn state() -> Option<Value> {
    let mut answer = deposit()?;
    answer.as_object_mut()?.remove("events");
    Some(answer)
}

fn opened() -> Option<AccountEvent> {
    Some(AccountEvent::AccountOpened(AccountOpened {
        owner: Owner::new("customer-4711").ok()?,
        currency: "EUR".parse::<Currency>().ok()?,
        initial_deposit: 100_000,
        overdraft_limit: 0,
        metadata: Metadata::default(),
    }))
}

fn deposited() -> Option<AccountEvent> {
    Some(AccountEvent::MoneyDeposited(MoneyMoved {
        amount: Amount::new(25_000)?,
        reference: Reference::new("INV-2026-0042").ok(),
        effective_at: None,
        metadata: Metadata::default(),
    }))
}

/// What the last event of a history was answered with.
fn answer(history: &[AccountEvent]) -> Option<Value> {
    let version = i64::try_from(history.len()).ok()?;
    let event = recorded(version, history.last()?)?;
    let leg = Leg {
        account_id: ACCOUNT,
        version,
        position: event.position,
        account: history.iter().fold(Account::default(), evolve).summary()?,
        events: vec![Arc::new(event)],
    };
    serde_json::to_value(CommandAnswer::of(&leg)).ok()
}

fn recorded(version: i64, event: &AccountEvent) -> Option<RecordedEvent> {
    let id = |kind: u128| Uuid::from_u128(ACCOUNT.as_u128() + (kind << 64) + u128::from(version.unsigned_abs()));
    let context = CommandContext { idempotency_key: Some(format!("order-{version}")), ..CommandContext::default() };
    Some(RecordedEvent {
        event_id: id(1),
        account_id: ACCOUNT,
        event_type: event.event_type().to_owned(),
        version,
        position: Position { partition: 3, number: 1040 + version },
        schema_version: event.schema_version(),
        recorded_at: "2026-11-24T12:00:00Z".parse::<Timestamp>().ok()?,
        data: event.data().ok()?,
        metadata: EventMetadata { command_id: id(2), context },
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_examples() {
        for example in [super::opening(), super::deposit(), super::freeze(), super::page(), super::state()] {
            assert!(example.is_some());
        }
    }
}
