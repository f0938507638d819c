//! Events that a restore takes away from a running service: nothing that was read of them is used
//! afterwards.

use std::time::Duration;

use command_service::domain::Command;
use command_service::domain::command::Reversal;
use command_service::outcome::Outcome;
use passbook_shared::text::Metadata;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::account_in;
use crate::log::Log;
use crate::requests::{accepted, money, opening, request, transfer, transferred};

/// Deletes the events of an account after `version`, as a restore would, and terminates all other
/// connections.
async fn restore(log: &Log, account: Uuid, version: i64) {
    let restore = Restore::begin(log, "passbook.log_head, passbook.events").await;
    restore.commit(account, version, true).await;
}

/// Restore that has locked some tables of the log.
struct Restore(Transaction<'static, Postgres>);

impl Restore {
    async fn begin(log: &Log, tables: &str) -> Self {
        let pool = PgPool::connect(log.superuser_url()).await.unwrap();
        let mut restore = Self(pool.begin().await.unwrap());
        restore.execute("SET LOCAL session_replication_role = replica").await;
        restore.execute(&format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")).await;
        restore
    }

    /// Deletes the events of an account after `version`.
    async fn commit(mut self, account: Uuid, version: i64, terminates: bool) {
        if terminates {
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND usename <> current_user",
            )
            .await;
        }
        let deletion = format!(
            "DELETE FROM passbook.events WHERE account_id = '{account}' AND version > {version}"
        );
        self.execute(&deletion).await;
        self.execute(
            "UPDATE passbook.log_head AS h SET position = coalesce((SELECT max(e.position)
               FROM passbook.events AS e WHERE e.partition = h.partition), 0)",
        )
        .await;
        self.0.commit().await.unwrap();
    }

    async fn execute(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_discard_their_caches_when_a_backup_is_restored() {
    let log = Log::start().await;
    let instance = log.instance();
    // Partitions of both lanes, each with one account.
    let [first, second, third] = [0, 1, 2].map(account_in);
    for account in [first, second, third] {
        accepted(instance.send(request(account, opening())).await);
        for _ in 0..5 {
            accepted(instance.send(request(account, Command::Deposit(money(100)))).await);
        }
    }
    accepted(instance.send(transfer(first, second, 1)).await);
    for account in [first, second, third] {
        restore(&log, account, 3).await;
    }
    // On a lane's own connection, and on that of the lane for transfers, which uses the caches of
    // others.
    let deposit = accepted(instance.send(request(first, Command::Deposit(money(100)))).await);
    assert_eq!((deposit.version, deposit.account.balance), (4, 300));
    let legs = transferred(instance.send(transfer(second, third, 1)).await);
    assert_eq!(legs.map(|leg| (leg.version, leg.account.balance)), [(4, 199), (4, 201)]);
    log.assert_dense().await;
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_lost_events_is_not_kept() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposit = || request(account, Command::Deposit(money(1)));
    // A snapshot is due at version 20.
    for _ in 2..20 {
        accepted(instance.send(deposit()).await);
    }
    let restore = Restore::begin(&log, "passbook.snapshots").await;
    // Its snapshot is written when the log no longer has the event.
    accepted(instance.send(deposit()).await);
    restore.commit(account, 10, false).await;
    instance.end().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM passbook.snapshots")
        .fetch_one(&log.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
    let instance = log.instance();
    assert_eq!(accepted(instance.send(deposit()).await).version, 11);
    instance.end().await;
    log.assert_dense().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_a_restore_has_removed_is_not_reversed() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposit = || request(account, Command::Deposit(money(1)));
    for _ in 2..5 {
        accepted(instance.send(deposit()).await);
    }
    // Its reversal needs no timeline.
    accepted(instance.send(request(account, Command::Withdraw(money(1)))).await);
    let restore = Restore::begin(&log, "passbook.log_head").await;
    let [first, second] = [(); 2].map(|()| instance.lanes.clone());
    // The lane waits with the deposit, and the reversal waits for the lane.
    let waiting = deposit();
    let waiting = tokio::spawn(async move { first.submit(waiting).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reversal = Reversal {
        version: 5,
        effective_at: None,
        reference: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    };
    let reversal = request(account, Command::Reverse(reversal));
    let reversal = tokio::spawn(async move { second.submit(reversal).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    restore.commit(account, 3, true).await;
    accepted(waiting.await.unwrap());
    let reversed = reversal.await.unwrap();
    assert!(!matches!(reversed, Ok(Outcome::Accepted { .. })), "{reversed:?}");
    instance.end().await;
    log.assert_dense().await;
    log.end().await;
}
