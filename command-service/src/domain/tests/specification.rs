//! `given(events).when(command).then(events)`, and short names for what the tests speak of.

mod commands;
mod events;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

pub(super) use self::commands::*;
pub(super) use self::events::*;
use super::log::Log;
use crate::domain::{Account, Command, Decided, Refusal};

/// The account that is spoken of.
pub(super) const ACCOUNT: Uuid = Uuid::from_u128(0xA);
/// One that it sends money to or gets some from.
pub(super) const OTHER: Uuid = Uuid::from_u128(0xB);

/// An account with a history, and perhaps others.
#[must_use]
pub(super) struct Given {
    log: Log,
    now: Timestamp,
}

/// What was decided.
#[must_use]
pub(super) struct When(Result<Decided, Refusal>);

/// The account, to which this has happened.
pub(super) fn given(history: impl IntoIterator<Item = AccountEvent>) -> Given {
    Given { log: Log::default(), now: at(0) }.and(ACCOUNT, history)
}

/// The account, to which this has happened, each after so many seconds.
pub(super) fn given_at(history: impl IntoIterator<Item = (i64, AccountEvent)>) -> Given {
    Given { log: Log::default(), now: at(0) }.and_at(ACCOUNT, history)
}

impl Given {
    /// Another account, to which that has happened, each after so many seconds.
    pub(super) fn and_at(
        mut self,
        account_id: Uuid,
        history: impl IntoIterator<Item = (i64, AccountEvent)>,
    ) -> Self {
        for (seconds, event) in history {
            self.log.append_at(account_id, event, Some(at(seconds)));
            self.now = self.now.max(at(seconds));
        }
        self
    }

    /// Another account, to which that has happened.
    pub(super) fn and(
        mut self,
        account_id: Uuid,
        history: impl IntoIterator<Item = AccountEvent>,
    ) -> Self {
        history.into_iter().for_each(|event| self.log.append(account_id, event));
        self
    }

    /// It is so late.
    pub(super) fn at(self, seconds: i64) -> Self {
        Self { now: at(seconds), ..self }
    }

    /// Asks this of the account.
    pub(super) fn when(self, command: Command) -> When {
        When(self.log.decide(ACCOUNT, &command, self.now))
    }

    /// How it stands.
    #[track_caller]
    pub(super) fn then_it_is(self, account: &Account) {
        assert_eq!(self.log.account(ACCOUNT), account);
    }

    /// How much of its money is set aside, and how much is there to go out.
    #[track_caller]
    pub(super) fn then_it_has(self, held: i64, available: i64) {
        let summary = self.log.account(ACCOUNT).summary().expect("it was opened");
        assert_eq!((summary.held, summary.available), (held, available));
    }
}

impl When {
    /// These events follow.
    #[track_caller]
    pub(super) fn then(self, events: impl IntoIterator<Item = AccountEvent>) {
        assert_eq!(
            self.0,
            Ok(Decided { events: events.into_iter().collect(), counterparty: None })
        );
    }

    /// This follows on the account, and that on the other.
    #[track_caller]
    pub(super) fn then_on_both(self, own: AccountEvent, other: AccountEvent) {
        assert_eq!(self.0, Ok(Decided { events: vec![own], counterparty: Some(other) }));
    }

    /// It is accepted, and nothing follows: what is asked for is so already.
    #[track_caller]
    pub(super) fn then_nothing(self) {
        self.then([]);
    }

    /// It is refused.
    #[track_caller]
    pub(super) fn then_refused(self, refusal: Refusal) {
        assert_eq!(self.0, Err(refusal));
    }

    /// It is refused because of the other account.
    #[track_caller]
    pub(super) fn then_refused_by_other(self, refusal: Refusal) {
        self.then_refused(Refusal::Counterparty { account_id: OTHER, refusal: Box::new(refusal) });
    }
}
