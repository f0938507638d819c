//! A hold in an answer.

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// A hold as a command has left it. Amounts in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = HoldSummary)]
pub(in crate::http) struct AnsweredHold {
    hold_id: Uuid,
    /// The amount when it was placed.
    #[schema(minimum = 1, examples(5_000))]
    amount: i64,
    /// How much of that went out.
    #[schema(minimum = 0, examples(0))]
    captured: i64,
    status: HoldStatus,
    /// When it ends, or would have ended, by itself; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false, examples("2026-12-01T00:00:00.000000Z"))]
    expires_at: Option<Timestamp>,
}

impl AnsweredHold {
    /// The hold after an event of its, which is all that is to be known: a repeat is answered after others have followed.
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
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::examples;

    #[test]
    fn an_answer_tells_the_whole_hold_from_the_last_event_of_it() {
        let told = |example: Option<serde_json::Value>| example.unwrap()["hold"].to_string();
        let id = examples::HOLD;
        let whole = |status: &str, captured: i64| {
            format!(
                r#"{{"amount":5000,"captured":{captured},"expires_at":"2026-12-01T00:00:00.000000Z","hold_id":"{id}","status":"{status}"}}"#
            )
        };
        assert_eq!(told(examples::hold()), whole("open", 0));
        assert_eq!(told(examples::capture()), whole("captured", 3_000));
        assert_eq!(told(examples::release()), whole("released", 0));
    }
}
