//! Bodies of answers.

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
use crate::outcome::{Accepted, AccountChange};

/// Which of the bodies it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum Shape {
    Account,
    Hold,
    Transfer,
}

/// What an accepted command is answered with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Body<'a> {
    Account(CommandAnswer<'a>),
    Hold(HoldAnswer<'a>),
    Transfer(TransferAnswer<'a>),
}

/// The account after the command, and the events that the command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CommandAnswer<'a> {
    account_id: Uuid,
    /// The account's version after the command; also the `ETag`.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Where the account's newest event is in the log: partition and position. For `at_least` of a query.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    account: &'a AccountSummary,
    /// Oldest first; none if what was asked for was so already.
    events: Vec<AnsweredEvent<'a>>,
}

/// An event that a command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CausedEvent)]
pub(in crate::http) struct AnsweredEvent<'a> {
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: &'a str,
    /// Its place in the account, from 1.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// What happened.
    #[schema(value_type = EventData)]
    data: &'a RawValue,
}

/// The account after a command on one of its holds, and the hold.
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
    /// The account that sent.
    from: CommandAnswer<'a>,
    /// The account that received.
    to: CommandAnswer<'a>,
}

impl<'a> Body<'a> {
    /// The body for what was done, made of nothing else; nothing if that is not what such a command does.
    pub(in crate::http) fn of(accepted: &'a Accepted, shape: Shape) -> Option<Self> {
        let own = CommandAnswer::of(&accepted.own);
        match shape {
            Shape::Account => Some(Self::Account(own)),
            Shape::Hold => {
                let hold = AnsweredHold::after(&last_event(&accepted.own)?)?;
                Some(Self::Hold(HoldAnswer { answer: own, hold }))
            }
            Shape::Transfer => {
                let AccountEvent::MoneySent(leg) = last_event(&accepted.own)? else { return None };
                let to = CommandAnswer::of(accepted.to.as_ref()?);
                Some(Self::Transfer(TransferAnswer { transfer_id: leg.transfer_id, from: own, to }))
            }
        }
    }

    /// For the `ETag`: the version of the account that the command was for.
    pub(super) fn version(&self) -> i64 {
        match self {
            Self::Account(own) | Self::Hold(HoldAnswer { answer: own, .. }) => own.version,
            Self::Transfer(TransferAnswer { from, .. }) => from.version,
        }
    }
}

fn last_event(done: &AccountChange) -> Option<AccountEvent> {
    done.events.last()?.decode().ok()
}

impl<'a> CommandAnswer<'a> {
    /// The answer to what was done.
    fn of(done: &'a AccountChange) -> Self {
        Self {
            account_id: done.account_id,
            version: done.version,
            position: done.position,
            account: &done.account,
            events: done.events.iter().map(|event| AnsweredEvent::of(event)).collect(),
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
