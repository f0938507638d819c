//! Append at library level, on a real Postgres: an acknowledged command is in the log exactly once,
//! numbers are dense, keys and versions are honoured, whatever races or breaks.
#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

/// Instances of the service.
mod instance;
/// Postgres cluster of the tests.
#[path = "../support/postgres.rs"]
mod postgres;

/// Log in a database of its own.
mod log;
/// Requests and their results.
mod requests;

/// Commands of every kind while connections break.
mod broken;
/// Effective time.
mod effective;
/// Deposits while connections break.
mod faults;
/// Holds.
mod holds;
/// Accounts that are not in the cache.
mod loading;
/// Random requests, compared with a reference.
mod random;
/// Forks and accepted restores.
mod restores;
/// Rights of the service's role.
mod rights;
/// Several commands in one request.
mod sets;
/// Transfers and their reversals.
mod transfers;
/// Background maintenance: expiry of holds, retention of keys.
mod upkeep;
/// Health check of the append.
mod writes;

use std::sync::Arc;

use command_service::domain::{Command, Refusal};
use command_service::outcome::{CommandError, Outcome};
use futures_util::future::join_all;
use uuid::Uuid;

use log::Log;
use requests::{accepted, money, opening, outcome, refused, request, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_leave_dense_positions_and_versions() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts: Vec<Uuid> = join_all((0..20).map(|_| instance.open())).await;
    let writers = (0..64).map(|writer: usize| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move {
            for turn in 0..25 {
                let account = accounts[(writer + turn) % accounts.len()];
                accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    log.assert_dense().await;
    assert_eq!(log.events().await.len(), 20 + 64 * 25);
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_effect_and_one_answer_even_if_refused() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposit = || with_key(request(account, Command::Deposit(money(500))), "pay-1");

    let answers = join_all((0..50).map(|_| instance.send(deposit()))).await;
    let answers: Vec<Outcome> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.iter().all(|answer| outcome(answer) == outcome(&answers[0])),
        "the answers differ"
    );
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);

    let too_much = || with_key(request(account, Command::Withdraw(money(501))), "pay-2");
    let first = instance.send(too_much()).await.unwrap();
    accepted(instance.send(request(account, Command::Deposit(money(1_000)))).await);
    let again = instance.send(too_much()).await.unwrap();
    assert_eq!(
        (outcome(&first), false, true),
        (outcome(&again), first.is_replay(), again.is_replay())
    );

    let other = with_key(request(account, Command::Deposit(money(501))), "pay-1");
    assert_eq!(instance.send(other).await.unwrap_err(), CommandError::KeyReused);

    // An instance that has never seen the key gives the same answer from the log.
    let other_instance = log.instance();
    let elsewhere = other_instance.send(deposit()).await.unwrap();
    assert_eq!((outcome(&elsewhere), elsewhere.is_replay()), (outcome(&answers[0]), true));
    assert_eq!(log.events().await.len(), 3);
    join_all([instance.end(), other_instance.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_hot_account_neither_lose_nor_overdraw() {
    let log = Log::start().await;
    let instances = [Arc::new(log.instance()), Arc::new(log.instance())];
    let account = instances[0].open().await;
    accepted(instances[0].send(request(account, Command::Deposit(money(100)))).await);
    let writers = (0..32).map(|writer: usize| {
        let instance = Arc::clone(&instances[writer % 2]);
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..10 {
                match instance.send(request(account, Command::Withdraw(money(1)))).await {
                    Ok(Outcome::Accepted { .. }) => taken += 1,
                    Ok(_) | Err(CommandError::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            taken
        })
    });
    let taken: i64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    let withdrawn = log.events().await.len() - 2;
    assert_eq!(
        i64::try_from(withdrawn).unwrap(),
        taken,
        "withdrawals in the log and acknowledged withdrawals"
    );
    assert_eq!(taken, 100, "the whole balance was withdrawn");
    log.assert_dense().await;
    for instance in instances {
        Arc::into_inner(instance).unwrap().end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_decided_on_the_log_not_on_the_cache() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open().await;
    assert!(matches!(
        refused(here.send(request(account, Command::Withdraw(money(5)))).await),
        Refusal::InsufficientFunds { available: 0, overdraft_limit: 0 }
    ));
    accepted(there.send(request(account, Command::Deposit(money(5)))).await);
    let taken = accepted(here.send(request(account, Command::Withdraw(money(5)))).await);
    assert_eq!((taken.version, taken.account.balance), (3, 0));

    let mut outdated = request(account, Command::Deposit(money(1)));
    outdated.expected_versions = Some(vec![2]);
    assert_eq!(
        refused(there.send(outdated.clone()).await),
        Refusal::VersionMismatch { current_version: 3 }
    );
    outdated.expected_versions = Some(vec![3]);
    assert_eq!(accepted(there.send(outdated).await).version, 4);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_under_an_existing_id_is_refused_and_a_dry_run_appends_nothing() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open().await;
    assert_eq!(refused(there.send(request(account, opening())).await), Refusal::AccountExists);
    let unknown = Uuid::new_v4();
    assert_eq!(
        refused(here.send(request(unknown, Command::Deposit(money(1)))).await),
        Refusal::AccountNotFound
    );

    // A dry run reads the log as well, because it inserts nothing that a unique key could refuse.
    let mut opening_trial = request(account, opening());
    opening_trial.dry_run = true;
    let elsewhere = log.instance();
    assert_eq!(refused(elsewhere.send(opening_trial).await), Refusal::AccountExists);
    elsewhere.end().await;

    let mut trial = with_key(request(account, Command::Deposit(money(7))), "trial");
    trial.dry_run = true;
    let dry_run = accepted(here.send(trial).await);
    assert_eq!((dry_run.version, dry_run.account.balance, dry_run.events.len()), (2, 7, 1));
    let executed =
        accepted(here.send(with_key(request(account, Command::Deposit(money(9))), "trial")).await);
    assert_eq!((executed.version, executed.account.balance), (2, 9));
    assert_eq!(log.events().await.len(), 2);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}
