//! What a command is told, as far as it follows from what was asked before: no ids and times that the service makes.

use command_service::domain::{AccountSummary, Refusal};
use command_service::outcome::{
    Accepted, AccountChange, Answer, CommandError, CommandResult, Outcome,
};
use passbook_shared::event::AccountEvent;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Done { replayed: bool, own: ToldLeg, to: Option<ToldLeg> },
    Refused { replayed: bool, refusal: Refusal },
    Error(CommandError),
}

/// What it did to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToldLeg {
    pub(super) account_id: Uuid,
    pub(super) version: i64,
    pub(super) account: AccountSummary,
    pub(super) events: Vec<Happened>,
}

/// An event, and which command caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) version: i64,
    pub(super) event: AccountEvent,
    pub(super) command_id: Uuid,
}

impl Told {
    /// The same without times at which events were recorded: those are the store's to choose.
    pub(super) fn timeless(self) -> Self {
        let leg = |leg: ToldLeg| ToldLeg {
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

    /// The same, as it is told to whoever asks again.
    pub(super) fn again(self) -> Self {
        match self {
            Self::Done { own, to, .. } => Self::Done { replayed: true, own, to },
            Self::Refused { refusal, .. } => Self::Refused { replayed: true, refusal },
            error @ Self::Error(_) => error,
        }
    }

    pub(super) fn by_service(result: &CommandResult) -> Self {
        match result {
            Err(error) => Self::Error(error.clone()),
            Ok(Answer { replayed, outcome: Outcome::Refused(refusal) }) => {
                Self::Refused { replayed: *replayed, refusal: refusal.clone() }.timeless()
            }
            Ok(Answer { replayed, outcome: Outcome::Accepted(Accepted { own, to }) }) => {
                Self::Done { replayed: *replayed, own: told(own), to: to.as_ref().map(told) }
                    .timeless()
            }
        }
    }
}

impl Happened {
    /// A reversal counts from when its entry was recorded, unless somebody has chosen a time.
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

fn told(leg: &AccountChange) -> ToldLeg {
    let AccountChange { account_id, version, account, events, .. } = leg;
    let events = events.iter().map(|event| happened(*account_id, event)).collect();
    ToldLeg { account_id: *account_id, version: *version, account: *account, events }
}

fn happened(account_id: Uuid, event: &RecordedEvent) -> Happened {
    assert_eq!(event.account_id, account_id, "an event of another account");
    Happened {
        version: event.version,
        event: event.decode().unwrap(),
        command_id: event.metadata.command_id,
    }
}
