//! Strategies for events of every type and shape.

use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::super::*;
use crate::money::{Amount, Currency, MAX_AMOUNT};
use crate::tenant::Tenant;
use crate::text::{Metadata, Text};

/// Text without NUL, of at most `longest` characters of any script.
fn text<const MAX: usize, const MIN: usize>(
    longest: usize,
) -> impl Strategy<Value = Text<MAX, MIN>> {
    let characters = any::<char>().prop_filter("NUL", |c| *c != '\0');
    proptest::collection::vec(characters, MIN..=longest)
        .prop_map(|characters| Text::new(String::from_iter(characters)).unwrap())
}

/// Time of the years 1 to 9999.
pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    let micros = Timestamp::FIRST.as_micros()..=Timestamp::LAST.as_micros();
    micros.prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![1..=100_i64, 1..=MAX_AMOUNT, Just(MAX_AMOUNT)]
        .prop_map(|units| Amount::new(units).unwrap())
}

fn amount_or_zero() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(MAX_AMOUNT), 0..=MAX_AMOUNT]
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec!["EUR", "JPY", "KWD"]).prop_map(|code| code.parse().unwrap())
}

fn id() -> impl Strategy<Value = uuid::Uuid> {
    any::<u128>().prop_map(uuid::Uuid::from_u128)
}

fn metadata() -> impl Strategy<Value = Metadata> {
    btree_map(text::<64, 1>(4), text::<500, 0>(4), 0..3).prop_map(|entries| {
        let mut metadata = Metadata::default();
        entries.iter().for_each(|(key, value)| metadata.insert(key, value).unwrap());
        metadata
    })
}

/// Tenant.
pub(crate) fn tenant() -> impl Strategy<Value = Tenant> {
    "[A-Za-z0-9._-]{1,64}".prop_map(|name| name.parse().unwrap())
}

prop_compose! {
    fn opened()(
        owner in text(5), currency in currency(), initial_deposit in amount_or_zero(),
        overdraft_limit in amount_or_zero(), effective_at in of(time()), metadata in metadata(),
        tenant in of(tenant()),
    ) -> AccountOpened {
        AccountOpened {
            owner, currency, initial_deposit, overdraft_limit, effective_at, metadata, tenant,
        }
    }
}

prop_compose! {
    fn moved()(
        amount in amount(), reference in of(text(5)), effective_at in of(time()),
        metadata in metadata(), allow_backdated_overdraft: bool,
    ) -> MoneyMoved {
        MoneyMoved { amount, reference, effective_at, metadata, allow_backdated_overdraft }
    }
}

prop_compose! {
    fn leg()(
        moved in moved(), transfer_id in id(), counterparty in id(),
        counterparty_version in 1..i64::MAX,
    ) -> TransferLeg {
        let MoneyMoved { amount, reference, effective_at, metadata, allow_backdated_overdraft } =
            moved;
        TransferLeg {
            transfer_id, counterparty, counterparty_version, amount, reference, effective_at,
            metadata, allow_backdated_overdraft,
        }
    }
}

prop_compose! {
    fn reversed()(
        moved in moved(), version in 1..i64::MAX,
        entry in select(vec![
            ReversibleEntry::Deposit, ReversibleEntry::Withdrawal,
            ReversibleEntry::TransferSent, ReversibleEntry::TransferReceived,
        ]),
        transfer in of((id(), id(), 1..i64::MAX)),
    ) -> EntryReversed {
        let MoneyMoved { amount, reference, effective_at, metadata, allow_backdated_overdraft } =
            moved;
        let transfer = transfer.map(|(transfer_id, counterparty, counterparty_version)| {
            ReversedTransfer { transfer_id, counterparty, counterparty_version }
        });
        EntryReversed {
            version, entry, amount, transfer, effective_at, reference, metadata,
            allow_backdated_overdraft,
        }
    }
}

prop_compose! {
    fn captured()(
        hold_id in id(), amount in amount(), released in amount_or_zero(),
        expires_at in of(time()), reference in of(text(5)), metadata in metadata(),
    ) -> HoldCaptured {
        HoldCaptured { hold_id, amount, released, expires_at, reference, metadata }
    }
}

fn reason() -> impl Strategy<Value = Reason> {
    of(text(5)).prop_map(|reason| Reason { reason })
}

/// Events of the life of a hold.
fn of_hold() -> impl Strategy<Value = AccountEvent> {
    prop_oneof![
        captured().prop_map(
            |HoldCaptured { hold_id, amount, expires_at, reference, metadata, .. }| {
                AccountEvent::HoldPlaced(HoldPlaced {
                    hold_id,
                    amount,
                    expires_at,
                    reference,
                    metadata,
                })
            }
        ),
        captured().prop_map(AccountEvent::HoldCaptured),
        (id(), amount(), of(time()), reason()).prop_map(|(hold_id, amount, expires_at, reason)| {
            let Reason { reason } = reason;
            AccountEvent::HoldReleased(HoldReleased { hold_id, amount, expires_at, reason })
        }),
        (id(), amount(), time()).prop_map(|(hold_id, amount, expires_at)| {
            AccountEvent::HoldExpired(HoldExpired { hold_id, amount, expires_at })
        }),
    ]
}

/// Event of any type.
pub(crate) fn event() -> impl Strategy<Value = AccountEvent> {
    prop_oneof![
        opened().prop_map(AccountEvent::AccountOpened),
        moved().prop_map(AccountEvent::MoneyDeposited),
        moved().prop_map(AccountEvent::MoneyWithdrawn),
        leg().prop_map(AccountEvent::MoneySent),
        leg().prop_map(AccountEvent::MoneyReceived),
        of_hold(),
        reversed().prop_map(AccountEvent::EntryReversed),
        amount_or_zero()
            .prop_map(|limit| AccountEvent::OverdraftLimitSet(OverdraftLimitSet { limit })),
        (text(5), reason()).prop_map(|(owner, Reason { reason })| {
            AccountEvent::OwnerChanged(OwnerChanged { owner, reason })
        }),
        (reason(), any::<bool>()).prop_map(|(Reason { reason }, block_credits)| {
            AccountEvent::AccountFrozen(AccountFrozen { reason, block_credits })
        }),
        reason().prop_map(AccountEvent::AccountUnfrozen),
        reason().prop_map(AccountEvent::AccountClosed),
    ]
}

/// JSON of any shape, with names that payloads have.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let names = select(vec!["amount", "owner", "currency", "hold_id", "metadata", "entry"]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(names, inner, 0..6).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}
