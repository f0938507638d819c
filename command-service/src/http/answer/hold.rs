//! Holds in answers.

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// Hold after a command. Amounts are in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = HoldSummary)]
pub(in crate::http) struct AnsweredHold {
    hold_id: Uuid,
    /// Amount when the hold was placed.
    #[schema(minimum = 1, examples(5_000))]
    amount: i64,
    /// Amount that was paid out.
    #[schema(minimum = 0, examples(0))]
    captured: i64,
    status: HoldStatus,
    /// Time of expiry; absent if the hold does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false,
        examples("2026-12-01T00:00:00.000000Z"))]
    expires_at: Option<Timestamp>,
}

impl AnsweredHold {
    /// Derives the hold from its latest event alone: a replayed answer must not depend on later
    /// events.
    pub(super) fn after(event: &AccountEvent) -> Option<Self> {
        let hold = |hold_id, amount, captured, status, expires_at| {
            Some(Self { hold_id, amount, captured, status, expires_at })
        };
        match event {
            AccountEvent::HoldPlaced(placed) => {
                hold(placed.hold_id, placed.amount.get(), 0, HoldStatus::Open, placed.expires_at)
            }
            AccountEvent::HoldCaptured(captured) => {
                let (amount, released) = (captured.amount.get(), captured.released);
                hold(
                    captured.hold_id,
                    amount + released,
                    amount,
                    HoldStatus::Captured,
                    captured.expires_at,
                )
            }
            AccountEvent::HoldReleased(released) => hold(
                released.hold_id,
                released.amount.get(),
                0,
                HoldStatus::Released,
                released.expires_at,
            ),
            AccountEvent::HoldExpired(expired) => hold(
                expired.hold_id,
                expired.amount.get(),
                0,
                HoldStatus::Expired,
                Some(expired.expires_at),
            ),
            AccountEvent::AccountOpened(_)
            | AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneySent(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::EntryReversed(_)
            | AccountEvent::OverdraftLimitSet(_)
            | AccountEvent::OwnerChanged(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => None,
        }
    }
}
