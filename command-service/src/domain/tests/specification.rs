//! `given(events).when(command).then(events)`, with short names for accounts, events and commands.

mod commands;
mod events;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

pub(crate) use self::commands::*;
pub(crate) use self::events::*;
use super::log::Log;
use crate::domain::{Account, Command, Decided, Refusal};

/// Account under test.
pub(crate) const ACCOUNT: Uuid = Uuid::from_u128(0xA);
/// Counterparty of the account under test.
pub(crate) const OTHER: Uuid = Uuid::from_u128(0xB);

/// Accounts with their histories.
#[must_use]
pub(super) struct Given {
    log: Log,
    now: Timestamp,
}

/// Decision on the command.
#[must_use]
pub(super) struct When(Result<Decided, Refusal>);

/// Starts with the history of [`ACCOUNT`].
pub(super) fn given(history: impl IntoIterator<Item = AccountEvent>) -> Given {
    Given { log: Log::default(), now: at(0) }.and(ACCOUNT, history)
}

/// Starts with the history of [`ACCOUNT`], each event at its time in seconds.
pub(super) fn given_at(history: impl IntoIterator<Item = (i64, AccountEvent)>) -> Given {
    Given { log: Log::default(), now: at(0) }.and_at(ACCOUNT, history)
}

impl Given {
    /// Adds the history of another account, each event at its time in seconds.
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

    /// Adds the history of another account.
    pub(super) fn and(
        mut self,
        account_id: Uuid,
        history: impl IntoIterator<Item = AccountEvent>,
    ) -> Self {
        history.into_iter().for_each(|event| self.log.append(account_id, event));
        self
    }

    /// Sets the clock.
    pub(super) fn at(self, seconds: i64) -> Self {
        Self { now: at(seconds), ..self }
    }

    /// Decides a command on [`ACCOUNT`].
    pub(super) fn when(self, command: Command) -> When {
        When(self.log.decide(ACCOUNT, &command, self.now))
    }

    /// Asserts the state.
    #[track_caller]
    pub(super) fn then_it_is(self, account: &Account) {
        assert_eq!(self.log.account(ACCOUNT), account);
    }

    /// Asserts the held and the available money.
    #[track_caller]
    pub(super) fn then_it_has(self, held: i64, available: i64) {
        let summary = self.log.account(ACCOUNT).summary().expect("the account was opened");
        assert_eq!((summary.held, summary.available), (held, available));
    }
}

impl When {
    /// Asserts that exactly these events follow.
    #[track_caller]
    pub(super) fn then(self, events: impl IntoIterator<Item = AccountEvent>) {
        assert_eq!(
            self.0,
            Ok(Decided { events: events.into_iter().collect(), counterparty: Vec::new() })
        );
    }

    /// Asserts one event on each account.
    #[track_caller]
    pub(super) fn then_on_both(self, own: AccountEvent, other: AccountEvent) {
        self.then_each([own], [other]);
    }

    /// Asserts the events of each account.
    #[track_caller]
    pub(super) fn then_each(
        self,
        own: impl IntoIterator<Item = AccountEvent>,
        other: impl IntoIterator<Item = AccountEvent>,
    ) {
        let (events, counterparty) = (own.into_iter().collect(), other.into_iter().collect());
        assert_eq!(self.0, Ok(Decided { events, counterparty }));
    }

    /// Asserts that the command is accepted without an event.
    #[track_caller]
    pub(super) fn then_nothing(self) {
        self.then([]);
    }

    /// Asserts a refusal.
    #[track_caller]
    pub(super) fn then_refused(self, refusal: Refusal) {
        assert_eq!(self.0, Err(refusal));
    }

    /// Asserts a refusal by the other account.
    #[track_caller]
    pub(super) fn then_refused_by_other(self, refusal: Refusal) {
        self.then_refused(Refusal::Counterparty { account_id: OTHER, refusal: Box::new(refusal) });
    }
}
