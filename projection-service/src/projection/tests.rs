use passbook_shared::event::{
    AccountFrozen, AccountOpened, HoldExpired, HoldReleased, OverdraftLimitSet, OwnerChanged,
    ReversedTransfer, ReversibleEntry,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Text};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::*;

mod holds;
mod money;

fn opened(initial_deposit: i64) -> AccountEvent {
    AccountEvent::AccountOpened(AccountOpened {
        owner: Text::new("customer-4711").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit,
        overdraft_limit: 5_000,
        effective_at: None,
        metadata: Metadata::default(),
        tenant: None,
    })
}

fn money(amount: i64) -> MoneyMoved {
    MoneyMoved {
        amount: Amount::new(amount).unwrap(),
        reference: None,
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
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

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

fn leg(amount: i64) -> TransferLeg {
    TransferLeg {
        transfer_id: A,
        counterparty: B,
        counterparty_version: 7,
        amount: Amount::new(amount).unwrap(),
        reference: Some(Text::new("rent").unwrap()),
        effective_at: Some(at()),
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    }
}

fn placed(amount: i64) -> AccountEvent {
    AccountEvent::HoldPlaced(HoldPlaced {
        hold_id: A,
        amount: Amount::new(amount).unwrap(),
        expires_at: Some(at()),
        reference: Some(Text::new("room 12").unwrap()),
        metadata: Metadata::default(),
    })
}

fn captured(amount: i64, released: i64) -> AccountEvent {
    AccountEvent::HoldCaptured(HoldCaptured {
        hold_id: A,
        amount: Amount::new(amount).unwrap(),
        released,
        expires_at: Some(at()),
        reference: None,
        metadata: Metadata::default(),
    })
}

fn released(amount: i64) -> AccountEvent {
    AccountEvent::HoldReleased(HoldReleased {
        hold_id: A,
        amount: Amount::new(amount).unwrap(),
        expires_at: None,
        reason: Some(Text::new("cancelled").unwrap()),
    })
}

fn reversed(entry: ReversibleEntry, transfer: Option<ReversedTransfer>) -> AccountEvent {
    AccountEvent::EntryReversed(EntryReversed {
        version: 2,
        entry,
        amount: Amount::new(300).unwrap(),
        transfer,
        effective_at: Some(at()),
        reference: Some(Text::new("sent twice").unwrap()),
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    })
}

fn at() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

struct Given {
    state: Option<AccountState>,
}

#[track_caller]
fn given(events: &[AccountEvent]) -> Given {
    let mut state: Option<AccountState> = None;
    for event in events {
        let version = state.map_or(1, |state| state.version + 1);
        state = Some(
            project(state.as_ref(), version, event)
                .expect("given events follow on each other")
                .after,
        );
    }
    Given { state }
}

impl Given {
    #[track_caller]
    fn when<'e>(&self, event: &'e AccountEvent) -> Result<Entry<'e>, Inapplicable> {
        self.when_version(self.state.map_or(1, |state| state.version + 1), event)
    }

    fn when_version<'e>(
        &self,
        version: i64,
        event: &'e AccountEvent,
    ) -> Result<Entry<'e>, Inapplicable> {
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
fn an_overdraft_limit_is_set_and_moves_nothing() {
    let event = AccountEvent::OverdraftLimitSet(OverdraftLimitSet { limit: 70_000 });
    let entry = given(&[opened(700)]).when(&event).unwrap();
    assert_eq!(
        (entry.amount, entry.after.overdraft_limit, entry.after.transaction_count),
        (None, 70_000, 1)
    );
}

#[test]
fn a_change_of_the_owner_names_the_new_one_and_moves_nothing() {
    let event = AccountEvent::OwnerChanged(OwnerChanged {
        owner: Text::new("customer-4712").unwrap(),
        reason: Some(Text::new("inherited").unwrap()),
    });
    let before = given(&[opened(700), frozen()]);
    let entry = before.when(&event).unwrap();
    assert_eq!((entry.owner, entry.reference), (Some("customer-4712"), Some("inherited")));
    assert_eq!(entry.amount, None);
    assert_eq!(entry.after, AccountState { version: 3, ..before.state.unwrap() });
    assert_eq!(given(&[]).when(&opened(700)).unwrap().owner, None, "only changes");
}

#[test]
fn freezing_and_closing_move_nothing() {
    let event = frozen();
    let entry = given(&[opened(700)]).when(&event).unwrap();
    assert_eq!((entry.amount, entry.after.status), (None, AccountStatus::Frozen));
    assert_eq!(
        (entry.after.version, entry.after.balance, entry.after.transaction_count),
        (2, 700, 1)
    );

    let event = AccountEvent::AccountUnfrozen(Reason::default());
    assert_eq!(
        given(&[opened(0), frozen()]).when(&event).unwrap().after.status,
        AccountStatus::Open
    );
    let event = AccountEvent::AccountClosed(Reason::default());
    assert_eq!(given(&[opened(0)]).when(&event).unwrap().after.status, AccountStatus::Closed);
}

#[test]
fn what_no_decider_wrote_is_not_applied() {
    let closed = AccountEvent::AccountClosed(Reason::default());
    let refused =
        |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    assert_eq!(refused(&[opened(0)], &opened(0)), Inapplicable::OpenedTwice);
    let limit = AccountEvent::OverdraftLimitSet(OverdraftLimitSet { limit: 1 });
    for event in [deposited(1), AccountEvent::MoneyReceived(leg(1)), placed(1), limit] {
        assert_eq!(refused(&[opened(0), closed.clone()], &event), Inapplicable::AfterClosing);
        assert_eq!(refused(&[], &event), Inapplicable::NotOpened);
    }
    assert_eq!(refused(&[opened(MAX_AMOUNT)], &deposited(1)), Inapplicable::Overflow);
    let gap = given(&[opened(0)]).when_version(3, &closed).unwrap_err();
    assert_eq!(gap, Inapplicable::Version { expected: 2, found: 3 });
    assert_eq!(gap.to_string(), "version 3 of the account comes where 2 is next");
}
