use passbook_shared::event::{AccountFrozen, AccountOpened};
use passbook_shared::money::Amount;

use super::*;

fn opened(initial_deposit: i64) -> AccountEvent {
    AccountEvent::AccountOpened(AccountOpened {
        owner: passbook_shared::text::Text::new("customer-4711").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit,
        overdraft_limit: 5_000,
        metadata: Metadata::default(),
    })
}

fn money(amount: i64) -> MoneyMoved {
    MoneyMoved {
        amount: Amount::new(amount).unwrap(),
        reference: None,
        effective_at: None,
        metadata: Metadata::default(),
    }
}

fn deposited(amount: i64) -> AccountEvent {
    AccountEvent::MoneyDeposited(money(amount))
}

fn withdrawn(amount: i64) -> AccountEvent {
    AccountEvent::MoneyWithdrawn(money(amount))
}

fn frozen() -> AccountEvent {
    AccountEvent::AccountFrozen(AccountFrozen { reason: None, block_credits: false })
}

struct Given {
    state: Option<AccountState>,
}

#[track_caller]
fn given(events: &[AccountEvent]) -> Given {
    let mut state: Option<AccountState> = None;
    for event in events {
        let version = state.map_or(1, |state| state.version + 1);
        state = Some(project(state.as_ref(), version, event).expect("given events follow on each other").after);
    }
    Given { state }
}

impl Given {
    #[track_caller]
    fn when<'e>(&self, event: &'e AccountEvent) -> Result<Entry<'e>, Unapplicable> {
        self.when_version(self.state.map_or(1, |state| state.version + 1), event)
    }

    fn when_version<'e>(&self, version: i64, event: &'e AccountEvent) -> Result<Entry<'e>, Unapplicable> {
        project(self.state.as_ref(), version, event)
    }
}

#[test]
fn an_opening_is_the_first_entry_with_its_initial_deposit() {
    let event = opened(10_000);
    let entry = given(&[]).when(&event).unwrap();
    assert_eq!(entry.amount, Some(10_000));
    let after = AccountState {
        version: 1,
        status: AccountStatus::Open,
        balance: 10_000,
        held: 0,
        overdraft_limit: 5_000,
        transaction_count: 1,
    };
    assert_eq!(entry.after, after);
}

#[test]
fn money_moves_the_balance_and_counts() {
    let event = withdrawn(4_000);
    let entry = given(&[opened(0), deposited(2_500)]).when(&event).unwrap();
    assert_eq!((entry.amount, entry.after.balance, entry.after.transaction_count), (Some(-4_000), -1_500, 3));
}

#[test]
fn freezing_and_closing_move_nothing() {
    let event = frozen();
    let entry = given(&[opened(700)]).when(&event).unwrap();
    assert_eq!((entry.amount, entry.after.status), (None, AccountStatus::Frozen));
    assert_eq!((entry.after.version, entry.after.balance, entry.after.transaction_count), (2, 700, 1));

    let event = AccountEvent::AccountUnfrozen(Reason::default());
    assert_eq!(given(&[opened(0), frozen()]).when(&event).unwrap().after.status, AccountStatus::Open);
    let event = AccountEvent::AccountClosed(Reason::default());
    assert_eq!(given(&[opened(0)]).when(&event).unwrap().after.status, AccountStatus::Closed);
}

#[test]
fn what_no_decider_wrote_is_not_applied() {
    let closed = AccountEvent::AccountClosed(Reason::default());
    let refused = |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    assert_eq!(refused(&[], &deposited(1)), Unapplicable::NotOpened);
    assert_eq!(refused(&[opened(0)], &opened(0)), Unapplicable::OpenedTwice);
    assert_eq!(refused(&[opened(0), closed.clone()], &deposited(1)), Unapplicable::AfterClosing);
    assert_eq!(refused(&[opened(MAX_AMOUNT)], &deposited(1)), Unapplicable::Overflow);
    let gap = given(&[opened(0)]).when_version(3, &closed).unwrap_err();
    assert_eq!(gap, Unapplicable::Version { expected: 2, found: 3 });
    assert_eq!(gap.to_string(), "version 3 of the account comes where 2 is next");
}
