use passbook_shared::event::{
    AccountFrozen, AccountOpened, HoldExpired, HoldReleased, OverdraftLimitSet, ReversedTransfer,
    ReversibleEntry,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Text};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::*;

fn opened(initial_deposit: i64) -> AccountEvent {
    AccountEvent::AccountOpened(AccountOpened {
        owner: Text::new("customer-4711").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit,
        overdraft_limit: 5_000,
        effective_at: None,
        metadata: Metadata::default(),
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
fn money_moves_the_balance_and_counts() {
    let event = withdrawn(4_000);
    let entry = given(&[opened(0), deposited(2_500)]).when(&event).unwrap();
    assert_eq!(
        (entry.amount, entry.after.balance, entry.after.transaction_count),
        (Some(-4_000), -1_500, 3)
    );
}

#[test]
fn the_legs_of_a_transfer_move_money_out_of_one_account_and_into_another() {
    let (sent, received) =
        (AccountEvent::MoneySent(leg(300)), AccountEvent::MoneyReceived(leg(300)));
    for (event, amount) in [(sent, -300), (received, 300)] {
        let entry = given(&[opened(1_000)]).when(&event).unwrap();
        let after = entry.after;
        assert_eq!(
            (entry.amount, after.balance, after.transaction_count),
            (Some(amount), 1_000 + amount, 2)
        );
        assert_eq!(
            entry.transfer,
            Some(Transfer { transfer_id: A, counterparty: B, counterparty_version: 7 })
        );
        assert_eq!((entry.reference, entry.effective_at), (Some("rent"), Some(at())));
    }
}

#[test]
fn a_hold_sets_money_aside_and_its_end_gives_it_free() {
    let event = placed(400);
    let entry = given(&[opened(1_000)]).when(&event).unwrap();
    let hold = Hold { hold_id: A, amount: 400, expires_at: Some(at()) };
    assert_eq!((entry.amount, entry.hold, entry.reference), (None, Some(hold), Some("room 12")));
    assert_eq!(
        (entry.after.balance, entry.after.held, entry.after.transaction_count),
        (1_000, 400, 1)
    );

    let holding = given(&[opened(1_000), placed(400)]);
    let event = captured(150, 250);
    let entry = holding.when(&event).unwrap();
    assert_eq!(
        (entry.amount, entry.hold),
        (Some(-150), Some(hold)),
        "the whole hold, and what was taken of it"
    );
    assert_eq!((entry.after.balance, entry.after.held, entry.after.transaction_count), (850, 0, 2));

    let event = released(400);
    let entry = holding.when(&event).unwrap();
    assert_eq!((entry.amount, entry.reference), (None, Some("cancelled")));
    assert_eq!(entry.hold, Some(Hold { expires_at: None, ..hold }));
    assert_eq!(
        (entry.after.balance, entry.after.held, entry.after.transaction_count),
        (1_000, 0, 1)
    );

    let event = AccountEvent::HoldExpired(HoldExpired {
        hold_id: A,
        amount: Amount::new(400).unwrap(),
        expires_at: at(),
    });
    let entry = holding.when(&event).unwrap();
    assert_eq!((entry.amount, entry.hold, entry.after.held), (None, Some(hold), 0));
}

#[test]
fn a_reversal_moves_money_the_other_way_and_says_what_it_undoes() {
    let transfer = ReversedTransfer { transfer_id: A, counterparty: B, counterparty_version: 9 };
    for (entry, transfer, amount) in [
        (ReversibleEntry::Deposit, None, -300),
        (ReversibleEntry::Withdrawal, None, 300),
        (ReversibleEntry::TransferSent, Some(transfer), 300),
        (ReversibleEntry::TransferReceived, Some(transfer), -300),
    ] {
        let event = reversed(entry, transfer);
        let entry = given(&[opened(1_000), deposited(1)]).when(&event).unwrap();
        assert_eq!((entry.amount, entry.after.balance), (Some(amount), 1_001 + amount));
        assert_eq!(
            (entry.reverses, entry.reference, entry.after.transaction_count),
            (Some(2), Some("sent twice"), 3)
        );
        let found = entry.transfer.map(|t| (t.transfer_id, t.counterparty, t.counterparty_version));
        assert_eq!(found, transfer.map(|_| (A, B, 9)));
    }
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
fn holds_stay_within_what_an_amount_can_be() {
    let refused =
        |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    let below = refused(&[opened(0), placed(10)], &released(11));
    assert_eq!(below, Inapplicable::Held { would_be: -1 });
    assert_eq!(
        below.to_string(),
        "the amount set aside by holds would be -1 minor units, not 0 to 9007199254740991"
    );
    assert_eq!(
        refused(&[opened(0), placed(10)], &captured(6, 5)),
        Inapplicable::Held { would_be: -1 }
    );
    let expired = AccountEvent::HoldExpired(HoldExpired {
        hold_id: A,
        amount: Amount::new(1).unwrap(),
        expires_at: at(),
    });
    assert_eq!(refused(&[opened(0)], &expired), Inapplicable::Held { would_be: -1 });
    let beyond = Inapplicable::Held { would_be: MAX_AMOUNT + 1 };
    assert_eq!(refused(&[opened(0), placed(MAX_AMOUNT)], &placed(1)), beyond);
    let most = captured(MAX_AMOUNT, MAX_AMOUNT);
    assert_eq!(
        refused(&[opened(0), placed(1)], &most),
        Inapplicable::Held { would_be: 1 - 2 * MAX_AMOUNT }
    );
}

#[test]
fn every_movement_stays_within_what_an_amount_can_be() {
    let refused =
        |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    let lowest = [opened(0), withdrawn(MAX_AMOUNT), placed(1)];
    for event in
        [AccountEvent::MoneySent(leg(1)), captured(1, 0), reversed(ReversibleEntry::Deposit, None)]
    {
        assert_eq!(refused(&lowest, &event), Inapplicable::Overflow);
    }
    let most = [opened(MAX_AMOUNT)];
    for event in [AccountEvent::MoneyReceived(leg(1)), reversed(ReversibleEntry::Withdrawal, None)]
    {
        assert_eq!(refused(&most, &event), Inapplicable::Overflow);
    }
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
