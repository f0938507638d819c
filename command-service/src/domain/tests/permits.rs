//! Recorded events that no decision leads to are forbidden. The random sequences check that all
//! decided events are permitted.

use passbook_shared::event::{AccountEvent, MoneyMoved, ReversibleEntry};
use passbook_shared::money::MAX_AMOUNT;

use super::log::Log;
use super::specification::*;
use crate::domain::Forbidden;

/// Checks the last event of a history.
fn permitted(history: &[AccountEvent]) -> Result<(), Forbidden> {
    let mut log = Log::default();
    let (last, before) = history.split_last().unwrap();
    before.iter().for_each(|event| log.append(ACCOUNT, event.clone()));
    log.permits(ACCOUNT, last).map(drop)
}

#[test]
fn an_event_that_breaks_a_rule_is_forbidden() {
    let opened = || opened_with(100);
    let other = (OTHER, 3);
    let wrong: &[&[AccountEvent]] = &[
        // Unopened, already open, or closed account.
        &[deposited(1)],
        &[frozen()],
        &[received(1, 2)],
        &[opened(), opened()],
        &[opened_with(0), closed(), deposited(1)],
        &[opened_with(0), closed(), opened_with(0)],
        // Unavailable money, or an amount out of range.
        &[opened(), withdrawn(101)],
        &[opened(), sent(101, 2)],
        &[opened_with_overdraft(0, 50), withdrawn(51)],
        &[opened(), held(60), withdrawn(50)],
        &[opened(), held(60), sent(50, 2)],
        &[opened(), held(101)],
        &[opened(), withdrawn(100), reversed(1, ReversibleEntry::Deposit, 100)],
        &[opened_with(MAX_AMOUNT), deposited(1)],
        &[opened_with(MAX_AMOUNT), received(1, 2)],
        // Limit in use, or already set.
        &[opened_with_overdraft(0, 50), withdrawn(50), limited(49)],
        &[opened_with_overdraft(0, 50), limited(50)],
        // Owner already.
        &[opened(), owned_by("customer-4711")],
        // Frozen account.
        &[opened(), frozen(), withdrawn(1)],
        &[opened(), frozen(), sent(1, 2)],
        &[opened(), frozen(), held(1)],
        &[opened(), held(1), frozen(), captured(1, 0)],
        &[opened(), frozen_both_ways(), deposited(1)],
        &[opened(), frozen_both_ways(), received(1, 2)],
        &[opened(), frozen(), frozen()],
        &[opened(), unfrozen()],
        // Closing with money or holds.
        &[opened(), closed()],
        &[opened_with_overdraft(0, 10), held(5), closed()],
        // Unknown or ended hold, or another amount or expiry.
        &[opened(), captured(1, 0)],
        &[opened(), released(1)],
        &[opened(), held(10), captured(10, 0), captured(10, 0)],
        &[opened(), held(10), released(10), held(10)],
        &[opened(), held(10), held(5)],
        &[opened(), held(10), captured(11, 0)],
        &[opened(), held(10), captured(5, 4)],
        &[opened(), held(10), released(9)],
        &[opened(), held(10), expired(10, 5)],
        &[opened(), held_until(10, Some(5)), expired(10, 6)],
        &[opened(), held_until(10, Some(5)), expired(9, 5)],
        // Unknown, irreversible, different or already reversed entry.
        &[opened(), deposited(5), reversed(3, ReversibleEntry::Deposit, 5)],
        &[opened(), deposited(5), reversed(1, ReversibleEntry::Deposit, 100)],
        &[opened(), deposited(5), reversed(2, ReversibleEntry::Deposit, 6)],
        &[opened(), deposited(5), reversed(2, ReversibleEntry::Withdrawal, 5)],
        &[
            opened(),
            deposited(5),
            reversed(2, ReversibleEntry::Deposit, 5),
            reversed(2, ReversibleEntry::Deposit, 5),
        ],
        &[opened(), sent(5, 2), reversed(2, ReversibleEntry::TransferSent, 5)],
        &[opened(), sent(5, 2), leg_reversed(2, ReversibleEntry::TransferSent, 5, (ACCOUNT, 3))],
        &[opened(), deposited(5), leg_reversed(2, ReversibleEntry::Deposit, 5, other)],
        // Transfer to the same account.
        &[opened(), AccountEvent::MoneySent(leg(TRANSFER, 1, ACCOUNT, 3))],
        &[opened(), AccountEvent::MoneyReceived(leg(TRANSFER, 1, ACCOUNT, 3))],
    ];
    for history in wrong {
        assert!(permitted(history).is_err(), "{history:?}");
        let (_, before) = history.split_last().unwrap();
        for end in 1..=before.len() {
            assert_eq!(
                permitted(&before[..end]),
                Ok(()),
                "{history:?} is forbidden before its last event"
            );
        }
    }
}

#[test]
fn the_expected_other_leg_follows_from_the_transfer() {
    let mut log = Log::default();
    log.append(ACCOUNT, opened_with(100));
    let leg_of = |log: &Log, event: &AccountEvent| log.permits(ACCOUNT, event).unwrap().unwrap();
    let other = leg_of(&log, &sent(40, 7));
    assert_eq!((other.account_id, other.version), (OTHER, 7));
    assert_eq!(other.event, AccountEvent::MoneyReceived(leg(TRANSFER, 40, ACCOUNT, 2)));
    let other = leg_of(&log, &received(40, 7));
    assert_eq!((other.account_id, other.version), (OTHER, 7));
    assert_eq!(other.event, AccountEvent::MoneySent(leg(TRANSFER, 40, ACCOUNT, 2)));
    log.append(ACCOUNT, sent(40, 7));
    let other = leg_of(&log, &leg_reversed(2, ReversibleEntry::TransferSent, 40, (OTHER, 9)));
    let expected = leg_reversed(7, ReversibleEntry::TransferReceived, 40, (ACCOUNT, 3));
    assert_eq!((other.account_id, other.version, other.event), (OTHER, 9, expected));
}

#[test]
fn events_decided_by_other_clocks_are_permitted() {
    // Expiry before the placing by the log's clock; capture or release after the expiry.
    let late: &[&[AccountEvent]] = &[
        &[opened_with(100), held_until(10, Some(-1_000_000))],
        &[opened_with(100), held_until(10, Some(-1_000_000)), expired(10, -1_000_000)],
        &[opened_with(100), held_until(10, Some(1)), expired(10, 1)],
        // Older reversals have no effective time.
        &[opened_with(0), backdated(), reversed(2, ReversibleEntry::Deposit, 5)],
    ];
    for history in late {
        assert_eq!(permitted(history), Ok(()), "{history:?}");
    }
}

fn backdated() -> AccountEvent {
    AccountEvent::MoneyDeposited(MoneyMoved { effective_at: Some(at(-1_000)), ..money(5) })
}
