//! Outcomes as far as the requests determine them: without ids and times that the service chooses.

use command_service::domain::{AccountSummary, Refusal};
use command_service::outcome::{AccountChange, CommandError, CommandResult, Outcome};
use passbook_shared::event::AccountEvent;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

/// Outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Done { replayed: bool, own: ObservedChange, to: Option<ObservedChange> },
    Refused { replayed: bool, refusal: Refusal },
    Error(CommandError),
}

/// Change of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObservedChange {
    pub(super) account_id: Uuid,
    pub(super) version: i64,
    pub(super) account: AccountSummary,
    pub(super) events: Vec<Happened>,
}

/// Event and the command that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) version: i64,
    pub(super) event: AccountEvent,
    pub(super) command_id: Uuid,
}

impl Observed {
    /// Removes the times that the store chooses.
    pub(super) fn timeless(self) -> Self {
        let leg = |leg: ObservedChange| ObservedChange {
            events: leg.events.into_iter().map(Happened::timeless).collect(),
            ..leg
        };
        match self {
            Self::Done { replayed, own, to } => {
                Self::Done { replayed, own: leg(own), to: to.map(leg) }
            }
            Self::Refused { replayed, refusal } => {
                Self::Refused { replayed, refusal: timeless(refusal) }
            }
            error @ Self::Error(_) => error,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Returns the outcome of a repeat.
    pub(super) fn replayed(self) -> Self {
        match self {
            Self::Done { own, to, .. } => Self::Done { replayed: true, own, to },
            Self::Refused { refusal, .. } => Self::Refused { replayed: true, refusal },
            error @ Self::Error(_) => error,
        }
    }

    /// Returns the outcome of a result of the service.
    pub(super) fn by_service(result: &CommandResult) -> Self {
        match result {
            Err(error) => Self::Error(error.clone()),
            Ok(Outcome::Refused { replayed, refusal }) => {
                Self::Refused { replayed: *replayed, refusal: refusal.clone() }.timeless()
            }
            Ok(Outcome::Accepted { replayed, own, to }) => {
                Self::Done { replayed: *replayed, own: change(own), to: to.as_ref().map(change) }
                    .timeless()
            }
        }
    }
}

impl Happened {
    /// Removes the effective time of a reversal: by default, it is the time at which its entry was
    /// recorded.
    pub(super) fn timeless(mut self) -> Self {
        if let AccountEvent::EntryReversed(reversed) = &mut self.event {
            reversed.effective_at = None;
        }
        self
    }
}

fn timeless(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::InsufficientFundsAt { available, overdraft_limit, .. } => {
            Refusal::InsufficientFundsAt { available, overdraft_limit, at: Timestamp::LAST }
        }
        Refusal::Counterparty { account_id, refusal } => {
            Refusal::Counterparty { account_id, refusal: Box::new(timeless(*refusal)) }
        }
        refusal => refusal,
    }
}

fn change(leg: &AccountChange) -> ObservedChange {
    let AccountChange { account_id, version, account, events, .. } = leg;
    let events = events.iter().map(|event| happened(*account_id, event)).collect();
    ObservedChange { account_id: *account_id, version: *version, account: *account, events }
}

fn happened(account_id: Uuid, event: &RecordedEvent) -> Happened {
    assert_eq!(event.account_id, account_id, "an event of another account");
    Happened {
        version: event.version,
        event: event.decode().unwrap(),
        command_id: event.metadata.command_id,
    }
}
