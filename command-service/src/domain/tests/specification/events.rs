//! Short names for events. Amounts are in minor units.

use passbook_shared::event::{
    AccountEvent, AccountFrozen, AccountOpened, EntryReversed, HoldCaptured, HoldExpired,
    HoldPlaced, HoldReleased, MoneyMoved, OverdraftLimitSet, OwnerChanged, Reason,
    ReversedTransfer, ReversibleEntry, TransferLeg,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Owner, Reference};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::OTHER;

pub(crate) const TRANSFER: Uuid = Uuid::from_u128(0x7);
pub(crate) const HOLD: Uuid = Uuid::from_u128(0x8);

/// Returns the moment `seconds` after the start of the test.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000).unwrap()
}

pub(super) fn reference(text: &str) -> Option<Reference> {
    Some(Reference::new(text).unwrap())
}

pub(crate) fn opening(initial_deposit: i64, overdraft_limit: i64) -> AccountOpened {
    AccountOpened {
        owner: Owner::new("customer-4711").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit,
        overdraft_limit,
        effective_at: None,
        metadata: Metadata::default(),
        tenant: None,
    }
}

pub(crate) fn money(minor_units: i64) -> MoneyMoved {
    MoneyMoved {
        amount: Amount::new(minor_units).unwrap(),
        reference: reference("INV-1"),
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    }
}

pub(crate) fn because(reason: &str) -> Reason {
    Reason { reason: reference(reason) }
}

pub(crate) fn freeze(block_credits: bool) -> AccountFrozen {
    AccountFrozen { reason: because("court order").reason, block_credits }
}

pub(crate) fn opened_with(balance: i64) -> AccountEvent {
    AccountEvent::AccountOpened(opening(balance, 0))
}

pub(crate) fn opened_with_overdraft(balance: i64, overdraft_limit: i64) -> AccountEvent {
    AccountEvent::AccountOpened(opening(balance, overdraft_limit))
}

pub(crate) fn deposited(minor_units: i64) -> AccountEvent {
    AccountEvent::MoneyDeposited(money(minor_units))
}

pub(crate) fn withdrawn(minor_units: i64) -> AccountEvent {
    AccountEvent::MoneyWithdrawn(money(minor_units))
}

pub(crate) fn frozen() -> AccountEvent {
    AccountEvent::AccountFrozen(freeze(false))
}

pub(crate) fn frozen_both_ways() -> AccountEvent {
    AccountEvent::AccountFrozen(freeze(true))
}

pub(crate) fn unfrozen() -> AccountEvent {
    AccountEvent::AccountUnfrozen(because("lifted"))
}

pub(crate) fn closed() -> AccountEvent {
    AccountEvent::AccountClosed(because("moved away"))
}

pub(crate) fn limited(limit: i64) -> AccountEvent {
    AccountEvent::OverdraftLimitSet(OverdraftLimitSet { limit })
}

pub(in super::super) fn owned_by(owner: &str) -> AccountEvent {
    let reason = reference("inherited");
    AccountEvent::OwnerChanged(OwnerChanged { owner: Owner::new(owner).unwrap(), reason })
}

/// Leg of [`TRANSFER`] to or from [`OTHER`], whose leg has that version.
pub(crate) fn sent(minor_units: i64, other_version: i64) -> AccountEvent {
    AccountEvent::MoneySent(leg(TRANSFER, minor_units, OTHER, other_version))
}

pub(crate) fn received(minor_units: i64, other_version: i64) -> AccountEvent {
    AccountEvent::MoneyReceived(leg(TRANSFER, minor_units, OTHER, other_version))
}

pub(crate) fn leg(
    transfer_id: Uuid,
    minor_units: i64,
    counterparty: Uuid,
    counterparty_version: i64,
) -> TransferLeg {
    TransferLeg {
        transfer_id,
        counterparty,
        counterparty_version,
        amount: Amount::new(minor_units).unwrap(),
        reference: reference("rent"),
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    }
}

/// [`HOLD`] that expires after `seconds`.
pub(crate) fn held_until(minor_units: i64, seconds: Option<i64>) -> AccountEvent {
    AccountEvent::HoldPlaced(hold_of(HOLD, minor_units, seconds.map(at)))
}

pub(crate) fn held(minor_units: i64) -> AccountEvent {
    held_until(minor_units, None)
}

pub(crate) fn hold_of(
    hold_id: Uuid,
    minor_units: i64,
    expires_at: Option<Timestamp>,
) -> HoldPlaced {
    let amount = Amount::new(minor_units).unwrap();
    HoldPlaced {
        hold_id,
        amount,
        expires_at,
        reference: reference("room 12"),
        metadata: Metadata::default(),
    }
}

pub(crate) fn captured(minor_units: i64, released: i64) -> AccountEvent {
    AccountEvent::HoldCaptured(HoldCaptured {
        hold_id: HOLD,
        amount: Amount::new(minor_units).unwrap(),
        released,
        expires_at: None,
        reference: reference("two nights"),
        metadata: Metadata::default(),
    })
}

pub(crate) fn released(minor_units: i64) -> AccountEvent {
    let (amount, reason) = (Amount::new(minor_units).unwrap(), reference("cancelled"));
    AccountEvent::HoldReleased(HoldReleased { hold_id: HOLD, amount, expires_at: None, reason })
}

pub(crate) fn expired(minor_units: i64, seconds: i64) -> AccountEvent {
    let amount = Amount::new(minor_units).unwrap();
    AccountEvent::HoldExpired(HoldExpired { hold_id: HOLD, amount, expires_at: at(seconds) })
}

pub(crate) fn reversed(version: i64, entry: ReversibleEntry, minor_units: i64) -> AccountEvent {
    AccountEvent::EntryReversed(reversal_of(version, entry, minor_units, None))
}

/// Reversal of a leg of [`TRANSFER`]; the other leg is reversed by that version of its account.
pub(crate) fn leg_reversed(
    version: i64,
    entry: ReversibleEntry,
    minor_units: i64,
    (counterparty, counterparty_version): (Uuid, i64),
) -> AccountEvent {
    let transfer = ReversedTransfer { transfer_id: TRANSFER, counterparty, counterparty_version };
    AccountEvent::EntryReversed(reversal_of(version, entry, minor_units, Some(transfer)))
}

fn reversal_of(
    version: i64,
    entry: ReversibleEntry,
    minor_units: i64,
    transfer: Option<ReversedTransfer>,
) -> EntryReversed {
    let (amount, reference) = (Amount::new(minor_units).unwrap(), reference("twice"));
    EntryReversed {
        version,
        entry,
        amount,
        transfer,
        effective_at: None,
        reference,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    }
}
