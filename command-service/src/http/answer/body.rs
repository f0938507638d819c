//! Bodies of answers to accepted commands.

use passbook_shared::event::AccountEvent;
use passbook_shared::event::schema::EventData;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::hold::AnsweredHold;
use crate::domain::AccountSummary;
use crate::outcome::AccountChange;

/// Type of an answer's body.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum Shape {
    Account,
    Hold,
    Transfer,
}

/// Body of the answer to an accepted command.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Body<'a> {
    Account(CommandAnswer<'a>),
    Hold(HoldAnswer<'a>),
    Transfer(TransferAnswer<'a>),
}

/// Account after the command, and the events that the command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CommandAnswer<'a> {
    account_id: Uuid,
    /// Version of the account after the command; also the `ETag`.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Position of the account's newest event in the log: partition and number. For `at_least` of a
    /// query.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    account: &'a AccountSummary,
    /// Events in order; empty if the account already was in the requested state.
    events: Vec<AnsweredEvent<'a>>,
}

/// Event that a command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CausedEvent)]
pub(in crate::http) struct AnsweredEvent<'a> {
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: &'a str,
    /// Version of the account after the event, from 1.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Position in the log: partition and number.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// Payload of the event.
    #[schema(value_type = EventData)]
    data: &'a RawValue,
}

/// Account after a command on one of its holds, and the hold.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct HoldAnswer<'a> {
    #[serde(flatten)]
    answer: CommandAnswer<'a>,
    hold: AnsweredHold,
}

/// Both accounts after a transfer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TransferAnswer<'a> {
    transfer_id: Uuid,
    /// Sending account.
    from: CommandAnswer<'a>,
    /// Receiving account.
    to: CommandAnswer<'a>,
}

impl<'a> Body<'a> {
    /// Builds the body of type `shape`. Returns `None` if the events do not fit the shape.
    pub(in crate::http) fn of(
        own: &'a AccountChange,
        to: Option<&'a AccountChange>,
        shape: Shape,
    ) -> Option<Self> {
        let answer = CommandAnswer::of(own);
        match shape {
            Shape::Account => Some(Self::Account(answer)),
            Shape::Hold => {
                let hold = AnsweredHold::after(&last_event(own)?)?;
                Some(Self::Hold(HoldAnswer { answer, hold }))
            }
            Shape::Transfer => {
                let AccountEvent::MoneySent(leg) = last_event(own)? else { return None };
                let (from, to) = (answer, CommandAnswer::of(to?));
                Some(Self::Transfer(TransferAnswer { transfer_id: leg.transfer_id, from, to }))
            }
        }
    }

    /// Returns the version for the `ETag`: that of the account that the command addressed.
    pub(super) fn version(&self) -> i64 {
        match self {
            Self::Account(own) | Self::Hold(HoldAnswer { answer: own, .. }) => own.version,
            Self::Transfer(TransferAnswer { from, .. }) => from.version,
        }
    }
}

fn last_event(change: &AccountChange) -> Option<AccountEvent> {
    // The command's own event: expiries of holds come before it.
    change.events.last()?.decode().ok()
}

impl<'a> CommandAnswer<'a> {
    fn of(change: &'a AccountChange) -> Self {
        Self {
            account_id: change.account_id,
            version: change.version,
            position: change.position,
            account: &change.account,
            events: change.events.iter().map(|event| AnsweredEvent::of(event)).collect(),
        }
    }
}

impl<'a> AnsweredEvent<'a> {
    fn of(event: &'a RecordedEvent) -> Self {
        Self {
            event_id: event.event_id,
            event_type: &event.event_type,
            version: event.version,
            position: event.position,
            recorded_at: event.recorded_at,
            data: &event.data,
        }
    }
}
