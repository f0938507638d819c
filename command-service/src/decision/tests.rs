//! Batches that are decided without Postgres: the states, the times and the ids are given.

use std::collections::{BTreeMap, HashMap};

use passbook_shared::event::{AccountOpened, HoldPlaced, MoneyMoved};
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::batch::{DecidedBatch, decide_batch};
use super::change::ChangeEvents;
use super::command::Decision;
use super::command_set::CommandSet;
use super::context::DecisionContext;
use crate::domain::command::{Release, Transfer};
use crate::domain::facts::Facts;
use crate::domain::{Command, Refusal};
use crate::log::prepared_command::PreparedCommand;
use crate::outcome::CommandError;
use crate::request::CommandRequest;

const PARTITIONS: i16 = 4;
const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
const NOW: &str = "2026-01-01T12:00:00Z";

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn open(balance: i64) -> Command {
    let (owner, currency) = ("ada", "EUR");
    Command::Open(of::<AccountOpened>(json!({
        "owner": owner, "currency": currency, "initial_deposit": balance, "overdraft_limit": 0,
    })))
}

fn deposit(amount: i64) -> Command {
    Command::Deposit(of::<MoneyMoved>(json!({"amount": amount})))
}

fn withdraw(amount: i64) -> Command {
    Command::Withdraw(of::<MoneyMoved>(json!({"amount": amount})))
}

fn transfer(id: u128, to: Uuid, amount: i64) -> Command {
    Command::Transfer(Transfer {
        transfer_id: Uuid::from_u128(id),
        to,
        amount: of(json!(amount)),
        reference: None,
        effective_at: None,
        metadata: of(json!({})),
        allow_backdated_overdraft: false,
    })
}

fn hold(id: u128, amount: i64, expires_at: &str) -> Command {
    let json = json!({"hold_id": Uuid::from_u128(id), "amount": amount, "expires_at": expires_at});
    Command::Hold(of::<HoldPlaced>(json))
}

fn release(id: u128) -> Command {
    Command::Release(Release { hold_id: Uuid::from_u128(id), reason: None })
}

fn request(account_id: Uuid, command: Command) -> CommandRequest {
    CommandRequest {
        account_id,
        command,
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::from_u128(99),
        context: CommandContext::default(),
    }
}

fn with_key(mut request: CommandRequest, key: &str) -> CommandRequest {
    request.context.idempotency_key = Some(key.to_owned());
    request
}

fn set(is_atomic: bool, requests: Vec<CommandRequest>) -> CommandSet {
    let prepared = |request| PreparedCommand::new(request, PARTITIONS);
    CommandSet { commands: requests.into_iter().map(prepared).collect(), is_atomic }
}

fn each(requests: Vec<CommandRequest>) -> Vec<CommandSet> {
    requests.into_iter().map(|request| set(false, vec![request])).collect()
}

/// Creates the context of accounts that were never opened.
fn context() -> DecisionContext {
    let states = [ADA, BOB].map(|account_id| {
        let command = PreparedCommand::new(request(account_id, deposit(1)), PARTITIONS);
        (account_id, (command.partition, crate::log::loaded::Loaded::default()))
    });
    DecisionContext {
        states: HashMap::from(states),
        facts: Facts::default(),
        times: (0..PARTITIONS).map(|partition| (partition, time(NOW))).collect::<BTreeMap<_, _>>(),
        most_holds: 2,
        new_id: Uuid::nil,
    }
}

fn decide(context: &DecisionContext, sets: &[CommandSet]) -> DecidedBatch {
    decide_batch(context, sets.iter().enumerate(), |_| false).unwrap()
}

/// Decides on accounts of which ada has 100 and bob nothing. The openings are the first set.
fn decide_after_openings(sets: Vec<CommandSet>) -> DecidedBatch {
    let openings = set(false, vec![request(ADA, open(100)), request(BOB, open(0))]);
    let sets: Vec<CommandSet> = std::iter::once(openings).chain(sets).collect();
    let mut batch = decide(&context(), &sets);
    batch.decisions.drain(..2);
    batch
}

fn event_types(batch: &DecidedBatch) -> Vec<&str> {
    let after_openings = batch.changes.append.events.iter().skip(2);
    after_openings.map(|event| event.event_type).collect()
}

/// Returns the decisions as text: the version, the refusal's or the error's name.
fn described(batch: &DecidedBatch) -> Vec<String> {
    let describe = |decision: &Decision| match decision {
        Decision::Accepted { own, .. } => format!("v{}", own.version),
        Decision::Refused(Refusal::InsufficientFunds { .. }) => "funds".to_owned(),
        Decision::Refused(refusal) => format!("{refusal:?}"),
        Decision::Error(error) => format!("{error:?}"),
    };
    batch.decisions.iter().map(|(_, decision)| describe(decision)).collect()
}

#[test]
fn a_command_is_decided_on_what_the_one_before_it_left() {
    let batch = decide_after_openings(each(vec![
        request(ADA, withdraw(80)),
        request(ADA, withdraw(80)),
        request(ADA, deposit(60)),
        request(ADA, withdraw(80)),
    ]));
    assert_eq!(described(&batch), ["v2", "funds", "v3", "v4"]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn", "MoneyDeposited", "MoneyWithdrawn"]);
    let versions: Vec<i64> =
        batch.changes.append.events.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 1, 2, 3, 4]);
}

#[test]
fn a_refusal_asserts_the_version_that_the_batch_started_from() {
    let batch = decide_after_openings(each(vec![request(ADA, withdraw(101))]));
    let asserted = &batch.changes.append.asserted;
    assert_eq!(
        asserted.iter().map(|row| (row.account_id, row.version)).collect::<Vec<_>>(),
        [(ADA, 0)]
    );
}

#[test]
fn a_transfer_changes_both_accounts_and_its_id_is_taken_afterwards() {
    let batch = decide_after_openings(each(vec![
        request(ADA, transfer(7, BOB, 30)),
        request(BOB, withdraw(30)),
        request(ADA, transfer(7, BOB, 30)),
    ]));
    assert_eq!(event_types(&batch), ["MoneySent", "MoneyReceived", "MoneyWithdrawn"]);
    assert_eq!(described(&batch)[..2], ["v2", "v3"]);
    assert!(matches!(batch.decisions[2].1, Decision::Refused(_)), "{:?}", described(&batch));
}

#[test]
fn an_atomic_set_with_a_refusal_leaves_nothing_but_the_check_of_its_states() {
    let batch = decide_after_openings(vec![
        set(
            true,
            vec![
                with_key(request(ADA, deposit(5)), "a"),
                request(ADA, withdraw(1_000)),
                request(BOB, deposit(1)),
            ],
        ),
        set(false, vec![request(ADA, withdraw(100))]),
    ]);
    assert_eq!(described(&batch), ["SetAborted", "funds", "SetAborted", "v2"]);
    assert_eq!(batch.aborted, [1]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn"]);
    let Decision::Accepted { own, .. } = &batch.decisions[3].1 else { panic!() };
    assert_eq!(own.account.balance, 0, "the set's deposit is not there");
    assert!(batch.changes.append.keys.iter().all(|key| key.key != "a"));
    assert_eq!(batch.changes.append.asserted.len(), 3);
}

#[test]
fn a_refusal_that_the_set_itself_caused_is_not_kept() {
    let kept = |batch: &DecidedBatch| {
        let keys = batch.changes.append.keys.iter();
        keys.filter(|key| key.refusal.is_some()).map(|key| key.key.clone()).collect::<Vec<_>>()
    };
    // Ada has 100: alone, the second withdrawal would be accepted.
    let caused = decide_after_openings(vec![set(
        true,
        vec![request(ADA, withdraw(60)), with_key(request(ADA, withdraw(60)), "caused")],
    )]);
    assert_eq!((described(&caused)[1].as_str(), kept(&caused)), ("funds", Vec::new()));
    let alone = decide_after_openings(vec![set(
        true,
        vec![request(BOB, deposit(1)), with_key(request(ADA, withdraw(1_000)), "alone")],
    )]);
    assert_eq!(kept(&alone), ["alone"]);
}

#[test]
fn an_atomic_set_is_merged_once_all_of_it_is_accepted() {
    let batch = decide_after_openings(vec![
        set(true, vec![request(ADA, withdraw(40)), request(BOB, deposit(40))]),
        set(false, vec![request(BOB, withdraw(40))]),
    ]);
    assert_eq!(described(&batch), ["v2", "v2", "v3"]);
    assert!(batch.aborted.is_empty());
    let ranges = batch.decisions.iter().map(|(_, decision)| match decision {
        Decision::Accepted { own, .. } => match &own.events {
            ChangeEvents::InBatch(range) => range.clone(),
            ChangeEvents::DryRun(..) => panic!("no dry run"),
        },
        Decision::Refused(_) | Decision::Error(_) => panic!("not accepted"),
    });
    assert_eq!(ranges.collect::<Vec<_>>(), [2..3, 3..4, 4..5]);
}

#[test]
fn a_dry_run_answers_with_its_events_and_changes_nothing() {
    let mut dry = request(ADA, withdraw(100));
    dry.dry_run = true;
    let batch = decide_after_openings(vec![
        set(false, vec![dry]),
        set(false, vec![request(ADA, withdraw(100))]),
    ]);
    assert_eq!(described(&batch), ["v2", "v2"]);
    assert_eq!(event_types(&batch), ["MoneyWithdrawn"]);
    let Decision::Accepted { own, .. } = &batch.decisions[0].1 else { panic!() };
    let ChangeEvents::DryRun(events, at) = &own.events else { panic!() };
    assert_eq!((events.len(), *at), (1, time(NOW)));
}

#[test]
fn a_hold_that_has_expired_makes_room_and_how_it_ended_is_known() {
    let batch = decide_after_openings(each(vec![
        request(ADA, hold(1, 10, "2026-01-01T12:00:01Z")),
        request(ADA, hold(2, 10, "2026-01-02T00:00:00Z")),
        request(ADA, hold(3, 10, "2026-01-02T00:00:00Z")),
        request(ADA, release(1)),
        request(ADA, hold(3, 10, "2026-01-02T00:00:00Z")),
        request(ADA, release(1)),
    ]));
    let described = described(&batch);
    assert_eq!((&described[0], &described[1]), (&"v2".to_owned(), &"v3".to_owned()));
    assert!(described[2].starts_with("TooManyHolds"), "{described:?}");
    assert_eq!((&described[3], &described[4]), (&"v4".to_owned(), &"v5".to_owned()));
    assert!(described[5].contains("Released") || described[5] == "v5", "{described:?}");
}

#[test]
fn an_account_that_could_not_be_loaded_fails_its_own_command_only() {
    let unknown = Uuid::from_u128(3);
    let batch =
        decide_after_openings(each(vec![request(unknown, deposit(1)), request(ADA, deposit(1))]));
    assert_eq!(described(&batch), [format!("{:?}", CommandError::Internal), "v2".to_owned()]);
}

#[test]
fn a_precondition_is_about_the_version_within_the_batch() {
    let expecting = |version| CommandRequest {
        expected_versions: Some(vec![version]),
        ..request(ADA, deposit(1))
    };
    let batch = decide_after_openings(each(vec![expecting(1), expecting(1), expecting(2)]));
    assert_eq!(described(&batch), ["v2", "VersionMismatch { current_version: 2 }", "v3"]);
}
