//! Connections that break during appends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use command_service::domain::Command;
use command_service::outcome::CommandError;
use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::log::Log;
use crate::requests::{accepted, money, request, with_key};

/// Terminates connections that append, until `most` are terminated. Returns their number so far,
/// and the task.
pub(crate) fn cut(log: &Log, most: i64) -> (Arc<AtomicI64>, JoinHandle<()>) {
    let (superuser, count) = (log.superuser_url().to_owned(), Arc::<AtomicI64>::default());
    let counting = Arc::clone(&count);
    let cutting = tokio::spawn(async move {
        // As a superuser: the owner can neither see nor terminate connections of another role.
        let mut connection = PgConnection::connect(&superuser).await.unwrap();
        while counting.load(Ordering::Relaxed) < most {
            tokio::time::sleep(Duration::from_millis(15)).await;
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE pid <> pg_backend_pid() AND datname = current_database()
                          AND query LIKE '%passbook.append%'";
            let now: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            counting.fetch_add(now, Ordering::Relaxed);
        }
    });
    (count, cutting)
}

/// Returns the number of events of each command in the log.
async fn commands(log: &Log) -> BTreeMap<Uuid, i64> {
    let mut commands = BTreeMap::new();
    for (.., command, _) in log.events().await {
        *commands.entry(command).or_default() += 1;
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_random_lose_and_repeat_nothing() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts: Vec<Uuid> = join_all((0..8).map(|_| instance.open())).await;
    let writers = (0..16).map(|writer: usize| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for turn in 0..150 {
                let mut deposit =
                    request(accounts[(writer + turn) % 8], Command::Deposit(money(1)));
                // Every other deposit has a key.
                if turn % 2 == 0 {
                    deposit = with_key(deposit, &format!("{writer}-{turn}"));
                }
                let command_id = deposit.command_id;
                accepted(instance.send(deposit).await);
                acknowledged.push(command_id);
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let (cut, cutter) = cut(&log, 40);
    let acknowledged: Vec<Uuid> =
        join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 3, "only {cut} connections were cut during appends");
    cutter.abort();
    let in_log = commands(&log).await;
    assert_eq!(acknowledged.len(), 16 * 150);
    assert!(
        acknowledged.iter().all(|command| in_log.get(command) == Some(&1)),
        "an acknowledged command is not there exactly once"
    );
    assert_eq!(in_log.len(), 16 * 150 + 8, "commands in the log");
    log.assert_dense().await;
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

/// Uses the default patience of the service. An error may be answered, and must be true.
#[tokio::test(flavor = "multi_thread")]
async fn commands_on_a_hot_account_get_true_answers_over_broken_connections() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance_with(Duration::from_millis(1_800)));
    let account = instance.open().await;
    let (cut, cutter) = cut(&log, 10);
    let writers = (0..512).map(|_| {
        let instance = Arc::clone(&instance);
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..6 {
                let deposit = request(account, Command::Deposit(money(1)));
                let command_id = deposit.command_id;
                answers.push((command_id, instance.send(deposit).await));
            }
            answers
        })
    });
    let answers: Vec<_> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    cutter.abort();
    assert!(cut.load(Ordering::Relaxed) > 0, "no connection was cut during an append");
    let in_log = commands(&log).await;
    let mut done = 0;
    for (command, answer) in answers {
        let times = in_log.get(&command).copied().unwrap_or_default();
        match answer {
            Err(CommandError::OutcomeUnknown) => assert!(times <= 1),
            Err(CommandError::StoreUnavailable(_)) => assert_eq!(times, 0),
            answer => {
                accepted(answer);
                assert_eq!(times, 1);
                done += 1;
            }
        }
    }
    assert!(done > 1_000, "only {done} were accepted");
    log.assert_dense().await;
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_even_the_owner_changes_history() {
    let log = Log::start().await;
    let instance = log.instance();
    instance.open().await;
    for change in [
        "UPDATE passbook.events SET version = 2",
        "DELETE FROM passbook.events",
        "TRUNCATE passbook.events",
    ] {
        let error = sqlx::query(change).execute(&log.pool).await.unwrap_err().to_string();
        assert!(error.contains("never updated, deleted or truncated"), "{change}: {error}");
    }
    instance.end().await;
    log.end().await;
}
