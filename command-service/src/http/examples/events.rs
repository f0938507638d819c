//! Events of the examples' account.

use passbook_shared::event::{
    AccountEvent, AccountFrozen, AccountOpened, EntryReversed, HoldCaptured, HoldExpired,
    HoldPlaced, HoldReleased, MoneyMoved, OverdraftLimitSet, OwnerChanged, Reason, ReversibleEntry,
    TransferLeg,
};
use passbook_shared::money::{Amount, Currency};
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::text::{Metadata, Owner, Reference};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{HOLD, OTHER};

const TRANSFER: Uuid = Uuid::from_u128(0x0199_0d2d_8c3e_7b15_9d20_6e1f_84b3_a5c7);

/// Returns one event of each type, in the order of [`AccountEvent::TYPES`].
pub(super) fn every() -> [Option<AccountEvent>; AccountEvent::TYPES.len()] {
    [
        opened(),
        deposited(),
        moved().map(AccountEvent::MoneyWithdrawn),
        leg(OTHER).map(AccountEvent::MoneySent),
        leg(OTHER).map(AccountEvent::MoneyReceived),
        held(),
        captured(),
        released(),
        expired(),
        reversed(),
        Some(limited()),
        owner_changed(),
        Some(frozen()),
        Some(AccountEvent::AccountUnfrozen(reason())),
        Some(AccountEvent::AccountClosed(reason())),
    ]
}

pub(super) fn opened() -> Option<AccountEvent> {
    Some(AccountEvent::AccountOpened(AccountOpened {
        owner: Owner::new("customer-4711").ok()?,
        currency: "EUR".parse::<Currency>().ok()?,
        initial_deposit: 100_000,
        overdraft_limit: 0,
        effective_at: None,
        metadata: Metadata::default(),
        tenant: None,
    }))
}

pub(super) fn deposited() -> Option<AccountEvent> {
    moved().map(AccountEvent::MoneyDeposited)
}

fn moved() -> Option<MoneyMoved> {
    Some(MoneyMoved {
        amount: Amount::new(25_000)?,
        reference: Reference::new("INV-2026-0042").ok(),
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    })
}

pub(super) fn leg(counterparty: Uuid) -> Option<TransferLeg> {
    Some(TransferLeg {
        transfer_id: TRANSFER,
        counterparty,
        counterparty_version: 2,
        amount: Amount::new(25_000)?,
        reference: Reference::new("rent 2026-12").ok(),
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    })
}

pub(super) fn held() -> Option<AccountEvent> {
    Some(AccountEvent::HoldPlaced(HoldPlaced {
        hold_id: HOLD,
        amount: Amount::new(5_000)?,
        expires_at: expiry(),
        reference: Reference::new("room 12").ok(),
        metadata: Metadata::default(),
    }))
}

pub(super) fn captured() -> Option<AccountEvent> {
    Some(AccountEvent::HoldCaptured(HoldCaptured {
        hold_id: HOLD,
        amount: Amount::new(3_000)?,
        released: 2_000,
        expires_at: expiry(),
        reference: Reference::new("room 12, two nights").ok(),
        metadata: Metadata::default(),
    }))
}

pub(super) fn released() -> Option<AccountEvent> {
    let (amount, reason) = (Amount::new(5_000)?, Reference::new("cancelled").ok());
    Some(AccountEvent::HoldReleased(HoldReleased {
        hold_id: HOLD,
        amount,
        expires_at: expiry(),
        reason,
    }))
}

pub(super) fn reversed() -> Option<AccountEvent> {
    Some(AccountEvent::EntryReversed(EntryReversed {
        version: 2,
        entry: ReversibleEntry::Deposit,
        amount: Amount::new(25_000)?,
        transfer: None,
        effective_at: "2026-11-23T08:00:00Z".parse().ok(),
        reference: Reference::new("booked twice").ok(),
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    }))
}

pub(super) fn limited() -> AccountEvent {
    AccountEvent::OverdraftLimitSet(OverdraftLimitSet { limit: 50_000 })
}

pub(super) fn owner_changed() -> Option<AccountEvent> {
    Some(AccountEvent::OwnerChanged(OwnerChanged {
        owner: Owner::new("customer-4712").ok()?,
        reason: Reference::new("inherited").ok(),
    }))
}

pub(super) fn frozen() -> AccountEvent {
    AccountEvent::AccountFrozen(AccountFrozen {
        reason: Reference::new("court order").ok(),
        block_credits: true,
    })
}

fn expired() -> Option<AccountEvent> {
    Some(AccountEvent::HoldExpired(HoldExpired {
        hold_id: HOLD,
        amount: Amount::new(5_000)?,
        expires_at: expiry()?,
    }))
}

fn reason() -> Reason {
    Reason { reason: Reference::new("at the owner's request").ok() }
}

fn expiry() -> Option<Timestamp> {
    "2026-12-01T00:00:00Z".parse().ok()
}

/// Returns the event as recorded in the log.
pub(super) fn recorded(
    account_id: Uuid,
    version: i64,
    event: &AccountEvent,
) -> Option<RecordedEvent> {
    let id = |kind: u128| {
        Uuid::from_u128(account_id.as_u128() + (kind << 64) + u128::from(version.unsigned_abs()))
    };
    let context = CommandContext {
        idempotency_key: Some(format!("order-{version}")),
        ..CommandContext::default()
    };
    Some(RecordedEvent {
        event_id: id(1),
        account_id,
        event_type: event.event_type().to_owned(),
        version,
        position: Position { partition: Partition::new(3), number: 1040 + version },
        schema_version: event.schema_version(),
        recorded_at: "2026-11-24T12:00:00Z".parse::<Timestamp>().ok()?,
        data: event.data().ok()?,
        metadata: EventMetadata { command_id: id(2), context },
    })
}
