//! Loading of accounts from snapshots and events, or from events alone.

use std::time::Duration;

use command_service::domain::Command;
use passbook_shared::event::OwnerChanged;
use passbook_shared::text::Owner;
use sqlx::Row;

use crate::log::Log;
use crate::requests::{accepted, money, request};

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_only_a_cache() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    for _ in 0..50 {
        accepted(instance.send(request(account, Command::Deposit(money(2)))).await);
    }
    instance.end().await;
    let kept: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM passbook.snapshots ORDER BY version")
            .fetch_all(&log.pool)
            .await
            .unwrap();
    assert_eq!(kept, [20, 40]);

    for damage in [
        "UPDATE passbook.snapshots SET state = '{\"open\": 7}' WHERE version = 40",
        "UPDATE passbook.snapshots SET state_version = 999",
        "DELETE FROM passbook.snapshots",
    ] {
        sqlx::query(damage).execute(&log.pool).await.unwrap();
        let instance = log.instance();
        let mut trial = request(account, Command::Withdraw(money(100)));
        trial.dry_run = true;
        assert_eq!(accepted(instance.send(trial).await).account.balance, 0, "{damage}");
        instance.end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_loaded_from_snapshots_and_from_events() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let change_owner = |owner: &str| {
        let owner = Owner::new(owner).unwrap();
        request(account, Command::ChangeOwner(OwnerChanged { owner, reason: None }))
    };
    assert_eq!(accepted(instance.send(change_owner("else")).await).version, 2);
    for _ in 0..30 {
        accepted(instance.send(request(account, Command::Deposit(money(2)))).await);
    }
    instance.end().await;
    let owner: String =
        sqlx::query_scalar("SELECT state #>> '{open,owner}' FROM passbook.snapshots")
            .fetch_one(&log.pool)
            .await
            .unwrap();
    assert_eq!(owner, "else");
    for snapshots in ["SELECT 1", "DELETE FROM passbook.snapshots"] {
        sqlx::query(snapshots).execute(&log.pool).await.unwrap();
        let instance = log.instance();
        let unchanged = accepted(instance.send(change_owner("else")).await);
        assert_eq!((unchanged.version, unchanged.events.len()), (32, 0), "{snapshots}");
        instance.end().await;
    }
    log.end().await;
}

/// As after a change of the state's shape, which invalidates all snapshots.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_account_is_loaded_in_steps_that_leave_snapshots() {
    const EVENTS: i64 = 70_000;
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    instance.end().await;
    sqlx::query(
        "WITH head AS (
            UPDATE passbook.log_head AS h SET position = h.position + $2 - 1
              FROM passbook.events AS e
             WHERE e.partition = h.partition AND e.account_id = $1 RETURNING h.partition)
         INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version,
                                      account_id, event_id, command_id, type, data)
         SELECT n, n, e.recorded_at, head.partition, 1, $1, gen_random_uuid(), gen_random_uuid(),
                'MoneyDeposited', '{\"amount\": 3}'
           FROM head, passbook.events AS e, generate_series(2, $2) AS n WHERE e.account_id = $1",
    )
    .bind(account)
    .bind(EVENTS)
    .execute(&log.pool)
    .await
    .unwrap();

    let instance = log.instance_with(Duration::from_millis(1_800));
    let withdrawn = accepted(instance.send(request(account, Command::Withdraw(money(1)))).await);
    assert_eq!((withdrawn.version, withdrawn.account.balance), (EVENTS + 1, 3 * (EVENTS - 1) - 1));
    instance.end().await;
    let kept = sqlx::query(
        "SELECT version, (state #>> '{open,balance}')::bigint FROM passbook.snapshots
              ORDER BY version",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    let kept: Vec<(i64, i64)> = kept.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        kept,
        [20_000, 40_000, 60_000].map(|version| (version, 3 * (version - 1))),
        "a snapshot at each step"
    );
    log.assert_dense().await;
    log.end().await;
}
