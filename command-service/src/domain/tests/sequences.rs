//! Random sequences of commands on a few accounts, compared with the model: 100,000 in total, in
//! parts that emphasize different rules.

mod bookkeeping;
mod steps;

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::money::MAX_AMOUNT;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use self::bookkeeping::{
    counterparty_of, entries_are_reversed_once, from_outside, holds_end_once, legs_match,
};
use self::steps::{ACCOUNTS, Kind, Step, steps};
use super::log::{Log, place};
use super::model::{Model, ModelAccount};
use super::specification::at;
use crate::domain::account::OpenAccount;
use crate::domain::{Account, evolve};

use Kind::{
    Capture, ChangeOwner, Close, Deposit, Expire, Freeze, Hold, Open, Release, Reverse,
    SetOverdraftLimit, Transfer, Unfreeze, Withdraw,
};

const ALL: &[Kind] = &[
    Open,
    Deposit,
    Deposit,
    Withdraw,
    Withdraw,
    Transfer,
    Transfer,
    Transfer,
    Hold,
    Hold,
    Capture,
    Release,
    Expire,
    Reverse,
    Reverse,
    Reverse,
    SetOverdraftLimit,
    ChangeOwner,
    Freeze,
    Unfreeze,
    Unfreeze,
    Close,
];
const HOLDS: &[Kind] = &[
    Deposit,
    Withdraw,
    Hold,
    Hold,
    Hold,
    Hold,
    Capture,
    Capture,
    Release,
    Expire,
    SetOverdraftLimit,
    Freeze,
    Unfreeze,
    Unfreeze,
    Close,
];
const TRANSFERS: &[Kind] = &[
    Deposit, Withdraw, Transfer, Transfer, Transfer, Transfer, Reverse, Reverse, Reverse, Reverse,
    Freeze, Unfreeze, Unfreeze, Close,
];

/// Runs random sequences through the decider and the model.
fn run(sequences: u32, kinds: &'static [Kind], largest: i64) {
    let config =
        ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(sequences) };
    TestRunner::new(config).run(&steps(kinds, largest), |steps| sequence(&steps)).unwrap();
}

#[test]
fn sequences_of_all_commands() {
    run(40_000, ALL, 1_000);
}

#[test]
fn sequences_with_extreme_amounts() {
    run(20_000, ALL, MAX_AMOUNT);
}

#[test]
fn sequences_of_holds_and_expiries() {
    run(20_000, HOLDS, 100);
}

#[test]
fn sequences_of_transfers_and_reversals() {
    run(20_000, TRANSFERS, 100);
}

fn sequence(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut log, mut model, mut now, mut net_inflow) =
        (Log::default(), Model::default(), 0, 0_i128);
    for step in steps {
        now += step.later;
        let (account_id, command) = step.command(&log, now);
        let decided = log.decide(account_id, &command, at(now));
        prop_assert_eq!(
            &decided,
            &log.decide(account_id, &command, at(now)),
            "a decision must be repeatable"
        );
        let expected = model.execute(account_id, &command, at(now));
        prop_assert_eq!(
            decided.as_ref().map(|_| ()).map_err(Clone::clone),
            expected,
            "{:?}",
            command
        );
        let Ok(decided) = decided else { continue };
        let counterparty = decided.events.last().and_then(counterparty_of);
        prop_assert_eq!(counterparty.is_some(), !decided.counterparty.is_empty());
        let own = decided.events.into_iter().map(|event| (account_id, event));
        let mut legs = Vec::new();
        let other = decided.counterparty.into_iter();
        let other = counterparty.into_iter().flat_map(|id| other.clone().map(move |e| (id, e)));
        for (account_id, event) in own.chain(other) {
            net_inflow += from_outside(&event);
            let permitted = log.permits(account_id, &event);
            prop_assert!(
                permitted.is_ok(),
                "{:?} was decided but is forbidden: {:?}",
                event,
                permitted
            );
            legs.extend(permitted.into_iter().flatten());
            log.append_at(account_id, event, Some(at(now)));
        }
        for leg in legs {
            let other = place(leg.version).and_then(|place| log.events(leg.account_id).get(place));
            prop_assert_eq!(other, Some(&leg.event), "the other leg must be the expected one");
        }
        accounts_match(&log, &model)?;
        prop_assert_eq!(
            model.accounts.values().map(|account| account.balance).sum::<i128>(),
            net_inflow
        );
    }
    for (_, history) in log.accounts() {
        prop_assert_eq!(&history.events.iter().fold(Account::default(), evolve), &history.account);
        entries_are_reversed_once(&history.events)?;
        holds_end_once(&history.events)?;
    }
    legs_match(&log)
}

/// Compares each account with the model.
fn accounts_match(log: &Log, model: &Model) -> Result<(), TestCaseError> {
    for account_id in ACCOUNTS {
        let (Some(summary), Some(kept)) =
            (log.account(account_id).summary(), model.accounts.get(&account_id))
        else {
            prop_assert!(
                log.events(account_id).is_empty() && !model.accounts.contains_key(&account_id)
            );
            continue;
        };
        prop_assert_eq!(log.events(account_id).len(), kept.entries.len());
        let status = if kept.closed {
            "closed"
        } else if kept.no_money_out {
            "frozen"
        } else {
            "open"
        };
        prop_assert_eq!(summary.status.as_str(), status);
        prop_assert_eq!(i128::from(summary.balance), kept.balance);
        prop_assert_eq!(i128::from(summary.held), kept.held());
        prop_assert_eq!(i128::from(summary.available), kept.available());
        prop_assert_eq!(i128::from(summary.overdraft_limit), kept.limit);
        prop_assert!(summary.available >= -summary.overdraft_limit);
        prop_assert!(
            summary.balance.abs() <= MAX_AMOUNT && (0..=MAX_AMOUNT).contains(&summary.held)
        );
        if let Account::Open(open) = log.account(account_id) {
            prop_assert_eq!(&*open.owner, &kept.owner);
            holds_match(open, kept)?;
        }
    }
    Ok(())
}

fn holds_match(open: &OpenAccount, kept: &ModelAccount) -> Result<(), TestCaseError> {
    let is_open =
        |hold_id| kept.holds.get(hold_id).is_some_and(|hold| hold.status == HoldStatus::Open);
    prop_assert!(open.holds.keys().all(is_open));
    prop_assert_eq!(
        open.holds.values().map(|hold| i128::from(hold.amount)).sum::<i128>(),
        kept.held()
    );
    Ok(())
}

#[test]
fn events_and_states_survive_serialization() {
    let stored = |steps: Vec<Step>| {
        let (mut log, mut now) = (Log::default(), 0);
        for step in steps {
            now += step.later;
            let (account_id, command) = step.command(&log, now);
            for event in log.decide(account_id, &command, at(now)).unwrap_or_default().events {
                let data = event.data().unwrap();
                let read = AccountEvent::decode(event.event_type(), event.schema_version(), &data)
                    .unwrap();
                prop_assert_eq!(&read, &event);
                log.append(account_id, read);
            }
            let state = serde_json::to_string(log.account(account_id)).unwrap();
            prop_assert_eq!(
                &serde_json::from_str::<Account>(&state).unwrap(),
                log.account(account_id)
            );
        }
        Ok(())
    };
    TestRunner::new(ProptestConfig::with_cases(2_000))
        .run(&steps(ALL, MAX_AMOUNT), stored)
        .unwrap();
}

#[test]
fn a_corrupt_log_does_not_break_the_fold() {
    // Events decided for one account, applied to another that may never have allowed them.
    let shuffled = |steps: Vec<Step>| {
        let (mut log, mut wrong) = (Log::default(), Log::default());
        for (n, step) in steps.into_iter().enumerate() {
            let (account_id, command) = step.command(&log, 0);
            for event in log.decide(account_id, &command, at(0)).unwrap_or_default().events {
                log.append(account_id, event.clone());
                wrong.append(ACCOUNTS[n % 2], event);
            }
            let _ = wrong.decide(ACCOUNTS[n % 2], &command, at(0));
            let summary = wrong.account(ACCOUNTS[n % 2]).summary();
            prop_assert!(summary.is_none_or(|summary| summary.balance.abs() <= MAX_AMOUNT));
        }
        Ok(())
    };
    TestRunner::new(ProptestConfig::with_cases(2_000))
        .run(&steps(ALL, MAX_AMOUNT), shuffled)
        .unwrap();
}
