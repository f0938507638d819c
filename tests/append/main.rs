//! The append at library level, against a real Postgres: what is acknowledged is in the log exactly once, numbers are
//! dense, keys and versions are honoured, whatever races or breaks.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

/// Connections that break while everything is asked at once.
mod broken;
/// When entries count from.
mod effective;
/// Connections that break.
mod faults;
mod ground;
/// Holds that end, once.
mod holds;
/// Accounts that are not in memory.
mod loading;
/// Random requests, against a reference.
mod random;
/// Forks and accepted restores.
mod restores;
/// What the service's role can do.
mod rights;
/// Commands that are done together or not at all.
mod sets;
/// Appends over two accounts.
mod transfers;
/// What happens without anybody asking.
mod upkeep;
/// The check of the write path.
mod writes;

use std::sync::Arc;

use command_service::domain::{Command, Refusal};
use command_service::outcome::{Answer, CommandError, Outcome};
use futures_util::future::join_all;
use uuid::Uuid;

use ground::{Log, accepted, money, opening, refused, request, said, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_on_many_accounts_leave_dense_numbers() {
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
async fn a_key_has_one_effect_and_one_answer_refusals_included() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposit = || with_key(request(account, Command::Deposit(money(500))), "pay-1");

    let answers = join_all((0..50).map(|_| instance.send(deposit()))).await;
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.iter().all(|answer| said(answer) == said(&answers[0])),
        "every answer is the first"
    );
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);

    let too_much = || with_key(request(account, Command::Withdraw(money(501))), "pay-2");
    let first = instance.send(too_much()).await.unwrap();
    accepted(instance.send(request(account, Command::Deposit(money(1_000)))).await);
    let again = instance.send(too_much()).await.unwrap();
    assert_eq!((said(&first), false, true), (said(&again), first.replayed, again.replayed));

    let other = with_key(request(account, Command::Deposit(money(501))), "pay-1");
    assert_eq!(instance.send(other).await.unwrap_err(), CommandError::KeyReused);

    // An instance that has never seen the key gives the same answer from the log.
    let other_instance = log.instance();
    let elsewhere = other_instance.send(deposit()).await.unwrap();
    assert_eq!((said(&elsewhere), elsewhere.replayed), (said(&answers[0]), true));
    assert_eq!(log.events().await.len(), 3);
    join_all([instance.end(), other_instance.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_hot_account_lose_nothing_and_never_overdraw() {
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
                    Ok(Answer { outcome: Outcome::Accepted(_), .. }) => taken += 1,
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
        "as many withdrawals in the log as were answered"
    );
    assert_eq!(taken, 100, "all of the money could be had, and no more");
    log.assert_dense().await;
    for instance in instances {
        Arc::into_inner(instance).unwrap().end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_decided_on_what_is_there_not_on_what_was_cached() {
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

    let mut late = request(account, Command::Deposit(money(1)));
    late.expected_versions = Some(vec![2]);
    assert_eq!(
        refused(there.send(late.clone()).await),
        Refusal::VersionMismatch { current_version: 3 }
    );
    late.expected_versions = Some(vec![3]);
    assert_eq!(accepted(there.send(late).await).version, 4);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_of_a_taken_id_is_refused_and_a_dry_run_leaves_nothing() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open().await;
    assert_eq!(refused(there.send(request(account, opening())).await), Refusal::AccountExists);
    let nobody = Uuid::new_v4();
    assert_eq!(
        refused(here.send(request(nobody, Command::Deposit(money(1)))).await),
        Refusal::AccountNotFound
    );

    // A dry run too is decided on what is there: nothing that it inserts would find out.
    let mut opening_trial = request(account, opening());
    opening_trial.dry_run = true;
    let elsewhere = log.instance();
    assert_eq!(refused(elsewhere.send(opening_trial).await), Refusal::AccountExists);
    elsewhere.end().await;

    let mut trial = with_key(request(account, Command::Deposit(money(7))), "trial");
    trial.dry_run = true;
    let would_be = accepted(here.send(trial).await);
    assert_eq!((would_be.version, would_be.account.balance, would_be.events.len()), (2, 7, 1));
    let in_earnest =
        accepted(here.send(with_key(request(account, Command::Deposit(money(9))), "trial")).await);
    assert_eq!((in_earnest.version, in_earnest.account.balance), (2, 9));
    assert_eq!(log.events().await.len(), 2);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}
