//! `given(events).when(command).then(events)`, and short names for what the tests speak of.

use passbook_shared::event::{AccountEvent, AccountFrozen, AccountOpened, MoneyMoved, Reason};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Owner, Reference};

use crate::domain::{Account, Command, Refusal, decide, evolve};

/// An account with a history.
#[must_use]
pub(super) struct Given(Account);

/// What was decided.
#[must_use]
pub(super) struct When(Result<Vec<AccountEvent>, Refusal>);

/// An account to which this has happened.
pub(super) fn given(history: impl IntoIterator<Item = AccountEvent>) -> Given {
    Given(history.into_iter().fold(Account::default(), |account, event| evolve(account, &event)))
}

impl Given {
    /// Asks this of it.
    pub(super) fn when(self, command: Command) -> When {
        When(decide(&self.0, &command))
    }

    /// How it stands.
    #[track_caller]
    pub(super) fn then_it_is(self, account: &Account) {
        assert_eq!(&self.0, account);
    }
}

impl When {
    /// These events follow.
    #[track_caller]
    pub(super) fn then(self, events: impl IntoIterator<Item = AccountEvent>) {
        assert_eq!(self.0, Ok(events.into_iter().collect()));
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
}

pub(super) fn opening(initial_deposit: i64, overdraft_limit: i64) -> AccountOpened {
    AccountOpened {
        owner: Owner::new("customer-4711").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit,
        overdraft_limit,
        metadata: Metadata::default(),
    }
}

pub(super) fn money(minor_units: i64) -> MoneyMoved {
    MoneyMoved {
        amount: Amount::new(minor_units).unwrap(),
        reference: Some(Reference::new("INV-1").unwrap()),
        effective_at: None,
        metadata: Metadata::default(),
    }
}

pub(super) fn because(reason: &str) -> Reason {
    Reason { reason: Some(Reference::new(reason).unwrap()) }
}

pub(super) fn freeze(block_credits: bool) -> AccountFrozen {
    AccountFrozen { reason: because("court order").reason, block_credits }
}

pub(super) fn opened_with(balance: i64) -> AccountEvent {
    AccountEvent::AccountOpened(opening(balance, 0))
}

pub(super) fn opened_with_overdraft(balance: i64, overdraft_limit: i64) -> AccountEvent {
    AccountEvent::AccountOpened(opening(balance, overdraft_limit))
}

pub(super) fn deposited(minor_units: i64) -> AccountEvent {
    AccountEvent::MoneyDeposited(money(minor_units))
}

pub(super) fn withdrawn(minor_units: i64) -> AccountEvent {
    AccountEvent::MoneyWithdrawn(money(minor_units))
}

pub(super) fn frozen() -> AccountEvent {
    AccountEvent::AccountFrozen(freeze(false))
}

pub(super) fn frozen_both_ways() -> AccountEvent {
    AccountEvent::AccountFrozen(freeze(true))
}

pub(super) fn unfrozen() -> AccountEvent {
    AccountEvent::AccountUnfrozen(because("lifted"))
}

pub(super) fn closed() -> AccountEvent {
    AccountEvent::AccountClosed(because("moved away"))
}

pub(super) fn deposit(minor_units: i64) -> Command {
    Command::Deposit(money(minor_units))
}

pub(super) fn withdraw(minor_units: i64) -> Command {
    Command::Withdraw(money(minor_units))
}

pub(super) fn unfreeze() -> Command {
    Command::Unfreeze(because("lifted"))
}

pub(super) fn close() -> Command {
    Command::Close(because("moved away"))
}
